"""The files of a session: whose they are, and what happens if they are not what they should be."""

import json
import os
import secrets
import shutil
import socket
import stat
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import (
    end_script,
    forked,
    is_ready,
    session_files,
    start_holder,
    start_script,
)

from metta.cogworks.curriculum import Curriculum, CurriculumConfig, LearningProgressConfig
from metta.cogworks.curriculum.sessions import (
    Session,
    SessionAccessError,
    SessionDamagedError,
    SessionMismatchError,
    clean_sessions,
    files,
    list_sessions,
    new_session_id,
    open_session,
)
from metta.cogworks.curriculum.sessions.layout import check_layout

pytestmark = [
    pytest.mark.timeout(120),
    # pytest-xdist has threads; what the children run here needs none of them.
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to other users")

LAYOUT = {"max_tasks": 4}
BYTES = 4096
SOMEBODY = 54_321


@pytest.fixture
def session_id() -> Iterator[str]:
    name = new_session_id()
    yield name
    assert session_files(name) == [], "left behind"


def open_it(name: str) -> Session:
    return open_session(name, BYTES, LAYOUT)


# -- whose they are --------------------------------------------------------------------------------


def give_away(path: Path) -> None:
    path.touch(0o600)
    os.chown(path, SOMEBODY, SOMEBODY)


def link_to(target: Path) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def listen(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def second_name(path: Path) -> None:
    path.touch(0o600)
    Path(f"{path}.other").hardlink_to(path)


def with_mode(mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch()
        path.chmod(mode)

    return make


UNFIT: list = [
    pytest.param(give_away, "a file of user 54321 .* have user 54321 or root", marks=as_root),
    (with_mode(0o666), "with mode 0666, .* `chmod 600 /"),
    (with_mode(0o640), "with mode 0640, .* `chmod 600 /"),
    (with_mode(0o602), "with mode 0602, .* `chmod 600 /"),
    (with_mode(0o400), "with mode 0400, .* `chmod 600 /"),
    (link_to(Path("/etc/hostname")), "it is a link of .* remove it: `rm -r /"),
    (link_to(Path("/nowhere/at/all")), "it is a link of"),
    (lambda path: os.mkfifo(path, 0o600), "it is a pipe of"),
    (lambda path: path.mkdir(0o700), "it is a folder of"),
    (listen, "it is a socket of"),
    (second_name, "it is a file with 2 names of .* remove it"),
]


def remove(path: Path) -> None:
    for found in path.parent.glob(path.name + "*"):
        shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()


@pytest.mark.parametrize(("make", "message"), UNFIT)
def test_an_unfit_lock_file_is_refused_and_left_alone(
    session_id: str, make: Callable[[Path], None], message: str
) -> None:
    path = files.lock_path(session_id)
    make(path)
    before = path.lstat()
    try:
        with pytest.raises(
            SessionAccessError,
            match=f"^{path} is not safe to use: .*{message}",
        ):
            open_it(session_id)
        assert session_id not in [info.session_id for info in list_sessions()]
        assert session_id not in [info.session_id for info in clean_sessions()]
        after = path.lstat()
        assert (after.st_ino, after.st_mode, after.st_size) == (
            before.st_ino,
            before.st_mode,
            before.st_size,
        )
    finally:
        remove(path)


@pytest.mark.parametrize(("make", "message"), UNFIT)
def test_the_memory_of_a_session_in_use_is_exchanged(
    session_id: str, make: Callable[[Path], None], message: str
) -> None:
    holder = start_holder(session_id)
    path = files.memory_path(session_id)
    path.unlink()
    make(path)
    try:
        with pytest.raises(SessionAccessError, match=f"^{path} is not safe to use: .*{message}"):
            open_it(session_id)
    finally:
        remove(path)
    assert end_script(holder) == (0, "", "")


@pytest.mark.parametrize(("make", "message"), UNFIT)
def test_unfit_memory_of_a_session_that_is_made(
    session_id: str, make: Callable[[Path], None], message: str
) -> None:
    """It is replaced, where the system can; nobody else comes to share the new one."""
    path = files.memory_path(session_id)
    make(path)
    try:
        if path.is_dir() and not path.is_symlink():
            with pytest.raises(SessionAccessError, match=message):
                open_it(session_id)
        else:
            session = open_it(session_id)
            found = path.lstat()
            assert stat.S_ISREG(found.st_mode)
            assert stat.S_IMODE(found.st_mode) == 0o600
            assert (found.st_uid, found.st_nlink) == (os.geteuid(), 1)
            session.release()
    finally:
        remove(path)
        files.lock_path(session_id).unlink(missing_ok=True)


def test_the_folder_is_private() -> None:
    session = open_it(new_session_id())
    found = files.folder().lstat()
    assert stat.S_ISDIR(found.st_mode)
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, os.geteuid())
    session.release()


def make_for(owner: int, mode: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.mkdir()
        path.chmod(mode)
        os.chown(path, owner, owner)

    return make


def make_link(path: Path) -> None:
    path.symlink_to("/tmp")
    os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)


def make_file(path: Path) -> None:
    path.touch(0o600)
    os.chown(path, SOMEBODY, SOMEBODY)


@as_root
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_for(SOMEBODY, 0o755), "is a folder of user 54321 with mode 0755, .* `chmod 700 /"),
        (make_for(SOMEBODY, 0o1777), "with mode 1777"),
        (make_for(0, 0o700), "is a folder of user 0 with mode 0700, .* have user 0 or root"),
        (make_for(0, 0o777), "is a folder of user 0 with mode 0777, .* have user 0 or root"),
        (make_link, "is a link of user 54321 .* remove it: `rm -r /"),
        (make_file, "is a file of user 54321 .* must be a folder of user 54321 with mode 0700"),
    ],
)
def test_an_unfit_folder_is_refused(make: Callable[[Path], None], message: str) -> None:
    """As another user, whose folder nobody else uses in the meantime."""
    path = files.folder().with_name(f"metta-curriculum-{SOMEBODY}")
    remove(path)
    make(path)

    def child() -> None:
        os.setresuid(SOMEBODY, SOMEBODY, SOMEBODY)
        for use in (lambda: open_it("any"), list_sessions, clean_sessions):
            with pytest.raises(SessionAccessError, match=f"^{path} is not safe .*{message}"):
                use()

    try:
        assert forked(child) == 0
    finally:
        remove(path)


@as_root
def test_users_do_not_meet(session_id: str) -> None:
    """The same name of two users is two sessions."""
    session = open_it(session_id)
    session.memory[0] = 5
    path = files.folder().with_name(f"metta-curriculum-{SOMEBODY + 1}")

    def child() -> None:
        session.leave()
        os.setresuid(SOMEBODY + 1, SOMEBODY + 1, SOMEBODY + 1)
        own = open_it(session_id)
        assert own.created
        assert own.memory[0] == 0
        assert [info.session_id for info in list_sessions()] == [session_id]
        own.release()

    try:
        assert forked(child) == 0
    finally:
        remove(path)
    session.release()


# -- damaged ---------------------------------------------------------------------------------------


def header(text: bytes, magic: bytes = b"mettacur", length: int | None = None) -> bytes:
    return magic + struct.pack("<Q", len(text) if length is None else length) + text


def described(**fields: object) -> bytes:
    return header(json.dumps({"version": 3, "nbytes": BYTES, "layout": LAYOUT} | fields).encode())


DAMAGES: list[tuple[bytes, str]] = [
    (b"", "its lock file is empty"),
    (b"m", "its lock file begins with b'm' and not with b'mettacur'"),
    (b"mettacur", "its lock file ends after 8 bytes"),
    (b"mettacur\x01\x00", "its lock file ends after 10 bytes"),
    (header(b"{}", magic=b"mettacuR"), "begins with b'mettacuR' and not"),
    (header(b"{}", length=2**63), "announces 9,223,372,036,854,775,808 bytes and holds 2"),
    (header(b"{}", length=1), "announces 1 bytes and holds 2"),
    (header(b"{}", length=3), "announces 3 bytes and holds 2"),
    (header(b""), "its description is no JSON"),
    (header(b"{"), "its description is no JSON"),
    (header(b'{"version": \xff}'), "its description is no JSON .*utf-8"),
    (header(b"[" * 100_000), "its description is no JSON .*recursion"),
    (header(b'{"version": ' + b"9" * 5000 + b"}"), "its description is no JSON"),
    (header(b"[]"), "its description is a list"),
    (header(b"null"), "its description is a NoneType"),
    (header(b"{}"), "its description lacks a field: {}"),
    (described(version="3"), "its description lacks a field"),
    (described(version=None), "its description lacks a field"),
    (described(nbytes="many"), "its description lacks a field"),
    (described(layout=[]), "its description lacks a field"),
    # what a healthy session of another kind says
    (described(version=2), "another version of this package [(]version: the session has 2, this"),
    (described(nbytes=8192), "nbytes: the session has 8192, this process wants 4096"),
    (described(layout={}), "max_tasks: the session has nothing, this process wants 4"),
]


@pytest.fixture(scope="module")
def holder() -> Iterator[str]:
    """Name of a session that another process has open."""
    name = new_session_id()
    process = start_holder(name)
    yield name
    assert end_script(process) == (0, "", "")
    assert session_files(name) == []


@pytest.fixture
def held(holder: str) -> Iterator[str]:
    """The same; its files are put back afterwards."""
    lock, memory = files.lock_path(holder).read_bytes(), files.memory_path(holder).read_bytes()
    yield holder
    files.lock_path(holder).write_bytes(lock)
    files.memory_path(holder).touch(0o600)
    files.memory_path(holder).write_bytes(memory)
    open_it(holder).release()


@pytest.mark.parametrize(("data", "message"), DAMAGES, ids=[message for _, message in DAMAGES])
def test_a_damaged_lock_file_in_use(held: str, data: bytes, message: str) -> None:
    files.lock_path(held).write_bytes(data)
    with pytest.raises(SessionMismatchError, match=f"session '{held}' is .*{message}") as caught:
        open_it(held)
    healthy = "the session has" in message
    assert isinstance(caught.value, SessionDamagedError) != healthy
    assert "another session_id" in str(caught.value)


def test_the_description_of_a_pool_cut_off_at_every_64th_byte(session_id: str) -> None:
    config = CurriculumConfig(
        algorithm_config=LearningProgressConfig(num_active_tasks=8, session_id=session_id)
    )
    code = "import processes, sys; processes.keep_pool(sys.argv[1])"
    keeper = start_script(code, config.model_dump_json())
    assert is_ready(keeper), keeper.communicate()[1]
    path = files.lock_path(session_id)
    whole = path.read_bytes()
    assert len(whole) > 10 * 64
    for size in range(0, len(whole), 64):
        path.write_bytes(whole[:size])
        with pytest.raises(
            SessionDamagedError,
            match=f"session '{session_id}' is damaged: its lock file .* End the processes that "
            rf"have it open [(]one is {keeper.pid}[)], or use another session_id",
        ):
            Curriculum(config)
    path.write_bytes(whole)
    with Curriculum(config) as curriculum:
        curriculum.get_task().complete(1.0)
    assert end_script(keeper) == (0, "", "")


def test_a_lock_file_of_a_terabyte_is_not_read(held: str) -> None:
    os.truncate(files.lock_path(held), 2**40)
    with pytest.raises(SessionDamagedError, match="and holds 1,099,511,627,760"):
        open_it(held)


@pytest.mark.parametrize("size", [0, 1, BYTES - 1, BYTES + 1, 10 * BYTES])
def test_memory_of_another_size(held: str, size: int) -> None:
    os.truncate(files.memory_path(held), size)
    with pytest.raises(
        SessionDamagedError,
        match=f"session '{held}' is damaged: its memory, .*{held}.memory, has {size:,} bytes and "
        r"not 4,096. End the processes that have it open [(]one is \d+[)], or use another",
    ):
        open_it(held)


def test_memory_that_is_gone(held: str) -> None:
    files.memory_path(held).unlink()
    with pytest.raises(SessionDamagedError, match=f"its memory, .*{held}.memory, is gone. End the"):
        open_it(held)


@pytest.mark.parametrize(("data", "message"), DAMAGES[:5])
def test_what_nobody_has_open_is_replaced(session_id: str, data: bytes, message: str) -> None:
    path = files.lock_path(session_id)
    path.touch(0o600)
    path.write_bytes(data)
    session = open_it(session_id)
    assert session.created
    session.release()


Edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "insert", "delete", "truncate", "extend"]),
        st.integers(0, 200),
        st.binary(min_size=1, max_size=8),
    ),
    min_size=1,
    max_size=4,
)


def edited(data: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
    for kind, at, some in edits:
        at = min(at, len(data))
        data = {
            "flip": data[:at] + some + data[at + len(some) :],
            "insert": data[:at] + some + data[at:],
            "delete": data[:at] + data[at + len(some) :],
            "truncate": data[:at],
            "extend": data + some,
        }[kind]
    return data


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(lock_edits=Edits, memory_edits=st.just([]) | Edits)
def test_random_damage_ends_in_typed_errors(
    holder: str, lock_edits: list, memory_edits: list
) -> None:
    lock, memory = files.lock_path(holder), files.memory_path(holder)
    before = lock.read_bytes(), memory.read_bytes()
    try:
        lock.write_bytes(edited(before[0], lock_edits))
        memory.write_bytes(edited(before[1], memory_edits))
        message = ""
        try:
            open_it(holder).release()
        except SessionMismatchError as error:
            message = str(error)
        assert not message or (holder in message and "another session_id" in message)
    finally:
        lock.write_bytes(before[0])
        memory.write_bytes(before[1])
    open_it(holder).release()


# -- layouts that differ ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours", "named"),
    [
        (
            {"pool": {"seed": 1, "generator": {"kind": "a", "n": 3}}},
            {"pool": {"seed": 1, "generator": {"kind": "b", "n": 3}}},
            "(pool.generator.kind: the session has 'a', this process wants 'b')",
        ),
        ({"a": {"b": 1}}, {"a": 1}, "(a: the session has {'b': 1}, this process wants 1)"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "(a[1]: the session has 2, this process wants 3)"),
        ({"a": [1]}, {"a": [1, 3]}, "(a: the session has [1], this process wants [1, 3])"),
        ({"a": True}, {"a": 1}, "(a: the session has True, this process wants 1)"),
        ({"a": {"b": None}}, {"a": {}}, "(a.b: the session has None, this process wants nothing)"),
        (
            {"a": "x" * 500 + "left" + "y" * 500},
            {"a": "x" * 500 + "right" + "y" * 500},
            f"'{'x' * 19}…{'x' * 20}right{'y' * 35}…",
        ),
    ],
)
def test_differing_fields_are_named_by_path(theirs: dict, ours: dict, named: str) -> None:
    with pytest.raises(SessionMismatchError) as caught:
        check_layout("s", theirs, ours)
    assert named in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), [1.0, None], {"a": {"b": []}}, 1, "x", True])
def test_equal_values_do_not_differ(value: object) -> None:
    check_layout("s", {"field": value}, json.loads(json.dumps({"field": value})))


def test_many_differences_are_counted() -> None:
    theirs = {"pool": {f"f{k:03}": k for k in range(100)}}
    ours = {"pool": {f"f{k:03}": k + 1 for k in range(100)}}
    with pytest.raises(SessionMismatchError, match=r"f009: .*; and 90 more[)]") as caught:
        check_layout("s", theirs, ours)
    assert "f010" not in str(caught.value)


def test_nested_layouts_across_processes(session_id: str) -> None:
    session = open_session(session_id, BYTES, {"pool": {"seed": 1, "pair": (1, 2)}})
    open_session(session_id, BYTES, {"pool": {"seed": 1, "pair": [1, 2]}}).release()

    def child() -> None:
        session.leave()
        open_session(session_id, BYTES, {"pool": {"seed": 1, "pair": (1, 2)}}).release()
        with pytest.raises(SessionMismatchError, match=r"pool.pair\[1\]: the session has 2, this"):
            open_session(session_id, BYTES, {"pool": {"seed": 1, "pair": (1, 3)}})

    assert forked(child) == 0
    session.release()


def test_a_layout_that_is_too_long(session_id: str) -> None:
    with pytest.raises(ValueError, match=r"a layout of .* bytes: at most 16,777,216 are allowed"):
        open_session(session_id, BYTES, {"text": secrets.token_hex(2**23)})
