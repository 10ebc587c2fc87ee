"""``python -m experiments.study.one_run FOLDER``: train and evaluate the run that
``FOLDER/settings.json`` describes."""

from __future__ import annotations

import fcntl
import json
import sys
from pathlib import Path

from experiments.study.evaluation import evaluate_run
from experiments.study.runs import Evaluation, write_json
from metta.tools.train import TrainTool


def main(folder: Path) -> int:
    """Exit status: 0 with ``result.json`` written, 1 where another process works on this run,
    otherwise TrainTool's."""
    with (folder / "lock").open(
        "w"
    ) as lock:  # a study killed by force leaves its runs behind, still at work
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"error: another process is at work on {folder}: wait for it, or end it")
            return 1
        settings = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        tool = TrainTool.model_validate({**settings["tool"], "data_dir": folder.parent})
        status = tool.invoke()
        if status == 0:
            write_json(
                folder / "result.json", evaluate_run(tool, Evaluation(**settings["evaluation"]))
            )
        return status


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
