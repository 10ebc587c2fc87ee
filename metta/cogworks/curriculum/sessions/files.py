"""The files of a session: where they lie, and that nobody but this user can touch them.

A session is two files in a folder of the user's own, mode 0700: ``NAME.lock``, of which bytes are
locked (:mod:`.record_lock`), and ``NAME.memory``, which is mapped. Both have mode 0600. Where
``/dev/shm`` is not to be had, the folder lies in the directory for temporary files.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from metta.cogworks.curriculum.sessions.errors import SessionAccessError, SessionDamagedError

LOCK_SUFFIX, MEMORY_SUFFIX = ".lock", ".memory"
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe must not be waited for
# what opening something else than a file of one's own ends with
_UNFIT = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EACCES, errno.EPERM, errno.ENOTDIR)
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.ENOMEM, errno.EINVAL)
_TYPES = {
    stat.S_IFDIR: "folder",
    stat.S_IFREG: "file",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def folder() -> Path:
    """The folder of this user's sessions, whether it exists or not."""
    shm = Path("/dev/shm")  # Linux; memory-backed
    parent = shm if os.access(shm, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    return parent / f"metta-curriculum-{os.geteuid()}"


def make_folder() -> None:
    """Make the folder if it is missing. SessionAccessError if it is not this user's alone."""
    path = folder()
    with suppress(FileExistsError):
        path.mkdir(_FOLDER_MODE)
    _check(path, path.lstat(), stat.S_IFDIR, _FOLDER_MODE)


def lock_path(session_id: str) -> Path:
    """The file whose bytes are locked."""
    return folder() / (session_id + LOCK_SUFFIX)


def memory_path(session_id: str) -> Path:
    """The file that is mapped."""
    return folder() / (session_id + MEMORY_SUFFIX)


def session_names() -> list[str]:
    """Names of all sessions in the folder, dead ones included."""
    try:
        _check(folder(), folder().lstat(), stat.S_IFDIR, _FOLDER_MODE)
    except FileNotFoundError:
        return []
    names = [name for name in os.listdir(folder()) if name.endswith(LOCK_SUFFIX)]
    return sorted(name.removesuffix(LOCK_SUFFIX) for name in names)


def open_private(path: Path, flags: int = 0) -> int:
    """Open a file for reading and writing. SessionAccessError if it is not a regular file of this
    user alone."""
    try:
        fd = os.open(path, _OPEN | flags, _FILE_MODE)
    except OSError as error:
        if error.errno not in _UNFIT:
            raise
        _check(path, path.lstat(), stat.S_IFREG, _FILE_MODE)
        raise
    try:
        _check(path, os.fstat(fd), stat.S_IFREG, _FILE_MODE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_lock_file(session_id: str) -> int:
    """Open the file whose bytes are locked, or make it."""
    path = lock_path(session_id)
    while True:
        try:
            return open_private(path, os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            pass
        try:
            return open_private(path)
        except FileNotFoundError:  # its last user left in between
            continue


def is_at(path: Path, fd: int) -> bool:
    """Whether the path leads to the open file."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def remove_files(session_id: str, fd: int) -> bool:
    """Remove the session whose locked file ``fd`` is, unless it is gone, or another one has its
    name by now; returns whether it was there."""
    path = lock_path(session_id)
    if not is_at(path, fd):
        return False
    # The memory first: if this process dies in between, what is left is found by its other file.
    _unlink(memory_path(session_id))
    _unlink(path)
    return True


def create_memory(session_id: str, nbytes: int) -> memoryview:
    """Make the mapped file, of zero bytes. MemoryError if there is no room for it."""
    path = memory_path(session_id)
    _unlink(path)  # a leftover; not to be written to, because somebody may still have it mapped
    fd = open_private(path, os.O_CREAT | os.O_EXCL)
    try:
        _allocate(fd, nbytes)
        return memoryview(mmap.mmap(fd, nbytes))
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_ROOM:
            raise
        raise MemoryError(
            f"no shared memory for session {session_id!r}: asked for {nbytes:,} bytes in "
            f"{path.parent} ({error}). Use fewer tasks (num_active_tasks), enlarge the file "
            "system, remove leftovers with `tools/run.py sessions.clean`, or "
            "use_shared_memory=False in a single process"
        ) from error
    finally:
        os.close(fd)


def open_memory(session_id: str, nbytes: int, way_out: str) -> memoryview:
    """Map the memory of a session that others have open. SessionDamagedError, which ends with
    ``way_out``, if it is not there or not as large as it should be."""
    path = memory_path(session_id)
    try:
        fd = open_private(path)
    except FileNotFoundError:
        raise SessionDamagedError(
            f"session {session_id!r} is damaged: its memory, {path}, is gone. {way_out}"
        ) from None
    try:
        found = os.fstat(fd).st_size
        if found != nbytes:
            raise SessionDamagedError(
                f"session {session_id!r} is damaged: its memory, {path}, has {found:,} bytes and "
                f"not {nbytes:,}. {way_out}"
            )
        return memoryview(mmap.mmap(fd, nbytes))
    finally:
        os.close(fd)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        _check(path, path.lstat(), stat.S_IFREG, _FILE_MODE)
        raise


def _allocate(fd: int, nbytes: int) -> None:
    # posix_fallocate reports a full file system here and now; a hole in the file would kill the
    # process at first touch.
    if sys.platform == "linux":
        os.posix_fallocate(fd, 0, nbytes)
    else:
        os.ftruncate(fd, nbytes)


def _check(path: Path, found: os.stat_result, kind: int, mode: int) -> None:
    """SessionAccessError unless it is of the kind, this user's, without a second name, and of no
    use to others."""
    same_kind = stat.S_IFMT(found.st_mode) == kind
    mine = found.st_uid == os.geteuid()
    single = stat.S_ISDIR(found.st_mode) or found.st_nlink <= 1  # 0: it was removed just now
    permissions = stat.S_IMODE(found.st_mode)
    if same_kind and mine and single and permissions & _OTHERS == 0 and permissions & mode == mode:
        return
    if same_kind and mine and single:
        way_out = f"`chmod {mode:o} {path}`, if nobody else was meant to use it"
    elif mine:
        way_out = f"remove it: `rm -r {path}`"
    else:
        way_out = f"have user {found.st_uid} or root remove it, and see why it is there"
    names = "" if single else f" with {found.st_nlink} names"
    raise SessionAccessError(
        f"{path} is not safe to use: it is a {_TYPES.get(stat.S_IFMT(found.st_mode), 'thing')}"
        f"{names} of user {found.st_uid} with mode {permissions:04o}, and must be a "
        f"{_TYPES[kind]} of user {os.geteuid()} with mode {mode:04o}. Way out: {way_out}"
    )
