"""Opening a journal: for the first time, or to go on where a master that has ended stopped."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

import trio

from ._journal import PAGE, Journal, start_time
from ._recovery import Pending, read_header, recover

_LAST_OF_THEM = 5.0  # seconds for the processes of a killed master to be gone; the kernel takes milliseconds
_PAUSE = 0.02


async def open_journal(path: Path, names: Sequence[str], slots: int, shared: int) -> tuple[Journal, Pending, int]:
    """Make the journal of a new master, and read what the one before it left.

    Returns:
        The journal, still to be published; what was pending; the locked descriptor of the old file, to be closed
        after that, or -1 if there is none.

    Raises:
        ValueError: the file is not a journal, or damaged. It is left as it is.
        trio.BusyResourceError: another master is using it.
        OSError: the file cannot be read or made.
    """
    old = await _lock(path)
    try:
        pending = await trio.to_thread.run_sync(_read, old, path) if old >= 0 else Pending()
        return Journal(path, names, slots, shared), pending, old
    except BaseException:
        if old >= 0:
            os.close(old)
        raise


async def _lock(path: Path) -> int:
    """Open and lock what is at the path now; -1 if there is nothing."""
    with trio.move_on_after(_LAST_OF_THEM):
        while True:
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                return -1
            if _locked(fd, path):
                return fd
            busy = _is_alive(fd)
            os.close(fd)
            if busy:
                break
            # No descriptor becomes readable when a lock ends; this loop is bounded, and only after a SIGKILL.
            await trio.sleep(_PAUSE)
    raise trio.BusyResourceError(f"journal {path}: another master is using it; stop that one, or name another file")


def _locked(fd: int, path: Path) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False  # another master has replaced it, and stopped


def _is_alive(fd: int) -> bool:
    """Whether the master that wrote the file still runs."""
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as file, memoryview(file) as data:
        try:
            _, _, pid, started = read_header(data)
        except ValueError:
            return False
    return start_time(pid) == started


def _read(fd: int, path: Path) -> Pending:
    size = os.fstat(fd).st_size
    if not size:
        return Pending()
    with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as file:
        try:
            # A copy: a mapping cannot be closed while any view of it is alive.
            return recover(memoryview(bytes(file) if size >= PAGE else b""))
        except ValueError as error:
            raise ValueError(f"journal {path}: {error}; move it away, or name another file") from None
