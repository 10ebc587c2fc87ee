"""What the documents say holds: Python blocks run, commands exist, links lead somewhere, tables
match the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from metta.cli.recipes import resolve
from metta.cli.runner import build_tool
from metta.cli.settings import split_arguments
from metta.cogworks.curriculum import TaskState

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "metta" / "cogworks" / "curriculum"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *MODULE.glob("*.md")])
DEADLINE_SECONDS = 120  # a block takes seconds; this is for a machine that is busy
_FENCE = re.compile(r"^( *)```(\w*)\s*$")


def blocks(document: Path, language: str) -> list[tuple[int, str]]:
    """``(first line, text)`` of every fenced block in ``language``, indentation of the fence
    removed."""
    found: list[tuple[int, str]] = []
    lines: list[str] | None = None
    start, indent, inside = 0, 0, ""
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and lines is None:
            lines, start, indent, inside = [], number + 1, len(fence[1]), fence[2]
        elif fence and lines is not None and not fence[2]:
            if inside == language:
                found.append((start, "\n".join(lines)))
            lines = None
        elif lines is not None:
            lines.append(line[indent:])
    assert lines is None, f"{document}: the block at line {start} is not closed"
    return found


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


def test_the_documents_are_there() -> None:
    expected = {
        "CONTRIBUTING.md",
        "README.md",
        "docs/README.md",
        "docs/evidence.md",
        "docs/changelog.md",
        "docs/migration.md",
        "metta/cogworks/curriculum/README.md",
        "metta/cogworks/curriculum/sampling_with_replacement_example.md",
        "metta/cogworks/curriculum/structure.md",
    }
    assert expected - {name(document) for document in DOCUMENTS} == set()


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if blocks(d, "python")], ids=name)
def test_its_python_blocks_run(document: Path, tmp_path: Path) -> None:
    """All blocks of a document in one namespace, in order, in a fresh interpreter and an empty
    folder."""
    script: list[str] = []
    for start, text in blocks(document, "python"):
        script += [""] * (
            start - 1 - len(script)
        ) + text.splitlines()  # so that a traceback has the document's line
    path = tmp_path / f"{document.stem}.py"
    path.write_text("\n".join(script) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{name(document)}:\n{done.stderr[-4000:]}"


def commands() -> list[tuple[str, str]]:
    """``(document, arguments)`` of every call of tools/run.py in a shell block; synopses with [...]
    are left out."""
    return [
        (name(document), line.split("tools/run.py", 1)[1].split("#")[0].strip())
        for document in DOCUMENTS
        for language in ("bash", "sh", "shell")
        for _, text in blocks(document, language)
        for line in text.replace("\\\n", " ").splitlines()
        if "tools/run.py" in line and "[" not in line and not line.lstrip().startswith("#")
    ]


@pytest.mark.parametrize(("document", "arguments"), commands())
def test_a_command_exists_and_takes_its_keys(document: str, arguments: str) -> None:
    words = [word for word in arguments.split() if not word.startswith("-") and "=" not in word]
    if words:
        build_tool(
            resolve(words), split_arguments([word for word in arguments.split() if "=" in word])
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_its_links_lead_to_files(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    missing = [
        t
        for t in targets
        if not t.startswith(("http://", "https://")) and not (document.parent / t).exists()
    ]
    assert missing == []


def test_the_index_names_every_document() -> None:
    index = ROOT / "docs" / "README.md"
    targets = re.findall(r"\]\(([^)#\s]+)\)", index.read_text(encoding="utf-8"))
    named = {(index.parent / target).resolve() for target in targets}
    assert set(DOCUMENTS) - {index} <= named
    assert (ROOT / "LICENSE") in named


def test_the_columns_in_structure_md_are_those_of_task_state() -> None:
    text = (MODULE / "structure.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (\d+) \| `(\w+)` \| (.+?) \|$", text, re.MULTILINE)
    fields = [
        (field, info.description)
        for field, info in TaskState.model_fields.items()
        if field != "columns"
    ]
    assert [(int(i), field, meaning) for i, field, meaning in table] == [
        (i, *field) for i, field in enumerate(fields)
    ]
