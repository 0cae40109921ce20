"""Opening a journal: for the first time, or to go on where a master that has ended stopped."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

import trio

from trisig._model.errors import JournalError

from .journal import Journal, start_time
from .lock import JournalLock, is_published, journal_in_use, journal_unusable, lock_name, try_lock
from .recovery import Pending, read_header, recover

_LOOK_AGAIN_S = 0.02
_HEAD_BYTES = 2**20  # enough for the header of a journal and the names of its queues


async def open_journal(
    path: Path,
    names: Sequence[str],
    slots: int,
    shared: int,
    *,
    patience_s: float = 5.0,
    retry_s: float = 1.0,
    retried: Collection[int] = (),
) -> tuple[Journal, Pending]:
    """Make the journal of a new master, still to be published, and read what the one before it left.

    Args:
        path: of the journal; a symbolic link stands for what it leads to.
        names: of the queues.
        slots: how many processes there will be.
        shared: bytes of memory that the master shares with them.
        patience_s: seconds for the processes of a killed master to be gone; the kernel takes milliseconds.
        retry_s: seconds until a full disk is asked again.
        retried: the numbers whose handlers are tried again when they fail.

    Raises:
        JournalError: the file is not a journal, or a damaged one. It is left as it is.
        trio.BusyResourceError: another master is using it, or a process that such a one left behind.
        OSError: the file cannot be read or made.
    """
    path = _real(path)
    lock = await _claim(path, patience_s)
    try:
        pending = await _take_over(path, patience_s, retried)
        journal = Journal(lock, names, slots, shared, retry_s)
    except BaseException:
        lock.close()
        raise
    journal.schedules.take_over(pending.schedules)
    return journal, pending


async def _claim(path: Path, patience_s: float) -> JournalLock:
    """Lock the path, once the processes of a killed master, which hold the lock of its journal, are gone."""
    with trio.move_on_after(patience_s):
        while True:
            try:
                return JournalLock(path)
            except trio.BusyResourceError:
                if not _is_left_behind(path):
                    raise
            await trio.sleep(_LOOK_AGAIN_S)
    raise _held(path)


def _is_left_behind(path: Path) -> bool:
    """Whether the lock is held on a published journal whose master has ended, so that it will end soon."""
    try:
        fd = os.open(lock_name(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True  # gone meanwhile, or for the next try to complain of
    try:
        return is_published(fd) and not _writer_is_alive(fd)
    finally:
        os.close(fd)


def _real(path: Path) -> Path:
    """Where a path leads to; anything there but a file is refused, because it would be replaced by one."""
    path = Path(os.path.realpath(path))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    except OSError as error:
        raise journal_unusable(path, error) from None
    if not stat.S_ISREG(mode):
        raise JournalError(f"journal {path}: it is not a regular file; name another one")
    return path


async def _take_over(path: Path, patience_s: float, retried: Collection[int]) -> Pending:
    """What the last master left, once all of its processes are gone.

    The caller has the lock of the path, so no other master can put another file there meanwhile.
    """
    try:
        old = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return Pending()
    except OSError as error:
        raise journal_unusable(path, error) from None
    try:
        await _lock(old, path, patience_s)
        return await trio.to_thread.run_sync(_read, old, path, retried)
    finally:
        os.close(old)


async def _lock(fd: int, path: Path, patience_s: float) -> None:
    with trio.move_on_after(patience_s):
        while not try_lock(fd):
            if _writer_is_alive(fd):
                raise journal_in_use(path)
            # No descriptor becomes readable when a lock ends; this loop is bounded, and only after a SIGKILL.
            await trio.sleep(_LOOK_AGAIN_S)
        return
    raise _held(path)


def _held(path: Path) -> trio.BusyResourceError:
    return trio.BusyResourceError(
        f"journal {path}: its master has ended, but another process holds it: one that a handler has forked, or a "
        f"master in another container; `fuser {path}` names it; end it, or name another file"
    )


def _writer_is_alive(fd: int) -> bool:
    try:
        header = read_header(memoryview(os.pread(fd, _HEAD_BYTES, 0)))
    except ValueError:
        return False
    return start_time(header.pid) == header.started


def _read(fd: int, path: Path, retried: Collection[int]) -> Pending:
    with open(fd, "rb", closefd=False) as file:
        data = file.read()
    try:
        return recover(memoryview(data), retried)
    except ValueError as error:
        raise JournalError(f"journal {path}: {error}; move it away, or name another file") from None
