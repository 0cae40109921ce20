"""Opening a journal: for the first time, or to go on where a master that has ended stopped."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import trio

from ._claim import Claim, busy, try_lock, unusable
from ._errors import JournalError
from ._journal import Journal, start_time
from ._recovery import Pending, read_header, recover

_LAST_OF_THEM = 5.0  # seconds for the processes of a killed master to be gone; the kernel takes milliseconds
_PAUSE = 0.02
_ENOUGH = 2**20  # bytes of a journal that hold its header and the names of its queues


async def open_journal(path: Path, names: Sequence[str], slots: int, shared: int) -> tuple[Journal, Pending]:
    """Make the journal of a new master, still to be published, and read what the one before it left.

    Args:
        path: of the journal; a symbolic link stands for what it leads to.
        names: of the queues.
        slots: how many processes there will be.
        shared: bytes of memory that the master shares with them.

    Raises:
        JournalError: what is there is not a journal, or a damaged one. It is left as it is.
        trio.BusyResourceError: another master is using it, or a process that such a one left behind.
        OSError: the file cannot be read or made.
    """
    path = _real(path)
    claim = Claim(path)
    try:
        pending = await _take_over(path)
        return Journal(claim, names, slots, shared), pending
    except BaseException:
        claim.close()
        raise


def _real(path: Path) -> Path:
    """Where a path leads to. What is there and no file is refused: it would be replaced by one."""
    path = Path(os.path.realpath(path))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    except OSError as error:
        raise unusable(path, error) from None
    if not stat.S_ISREG(mode):
        raise JournalError(f"journal {path}: it is not a regular file; name another one")
    return path


async def _take_over(path: Path) -> Pending:
    """What the last master left, once all of its processes are gone. Nobody else can put another file there."""
    try:
        old = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return Pending()
    except OSError as error:
        raise unusable(path, error) from None
    try:
        await _lock(old, path)
        return await trio.to_thread.run_sync(_read, old, path)
    finally:
        os.close(old)


async def _lock(fd: int, path: Path) -> None:
    with trio.move_on_after(_LAST_OF_THEM):
        while not try_lock(fd):
            if _writer_is_alive(fd):
                raise busy(path)
            # No descriptor becomes readable when a lock ends; this loop is bounded, and only after a SIGKILL.
            await trio.sleep(_PAUSE)
        return
    raise trio.BusyResourceError(
        f"journal {path}: its master has ended, but another process holds it: one that a handler has forked, or a "
        f"master in another container; `fuser {path}` names it; end it, or name another file"
    )


def _writer_is_alive(fd: int) -> bool:
    try:
        header = read_header(memoryview(os.pread(fd, _ENOUGH, 0)))
    except ValueError:
        return False
    return start_time(header.pid) == header.started


def _read(fd: int, path: Path) -> Pending:
    with open(fd, "rb", closefd=False) as file:
        data = file.read()
    try:
        return recover(memoryview(data))
    except ValueError as error:
        raise JournalError(f"journal {path}: {error}; move it away, or name another file") from None
