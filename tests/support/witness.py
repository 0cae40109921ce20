"""What processes did, kept where the test finds it however they end.

`Journal` is for events: every note is one write to the end of a file, so notes of several processes keep their order
and a killed process leaves whole ones. `Trail` is for masses: every process has a row of bytes in memory that was
mapped before the fork, and appends to it what it handled.
"""

import json
import logging
import mmap
import os
import select
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import trio

from trisig import Signals, current_process

T = TypeVar("T")

PATIENCE = 30.0  # seconds that anything may take before a test fails, on a busy machine too
_STEP = 0.003  # seconds between two looks at what cannot be waited for


async def eventually(look: Callable[[], T | None], seconds: float = PATIENCE) -> T:
    """The first true answer of `look`; for states that no descriptor announces."""
    with trio.move_on_after(seconds):
        while not (found := look()):  # noqa: ASYNC110  what is looked at happens in other processes
            await trio.sleep(_STEP)
        return found
    raise AssertionError(f"not within {seconds} s; in the end it was {look()!r}")


async def until_equal(look: Callable[[], T], wanted: T, seconds: float = PATIENCE) -> None:
    """Wait until `look` gives one value; in a loop, where a lambda must not use what the loop changes."""
    with trio.move_on_after(seconds):
        while look() != wanted:  # noqa: ASYNC110  what is looked at happens in other processes
            await trio.sleep(_STEP)
        return
    raise AssertionError(f"not {wanted!r} within {seconds} s; in the end it was {look()!r}")


async def wait_in_vain(seconds: float) -> None:
    """Let some multiple of a bound pass in which what must not happen would have happened."""
    await trio.sleep(seconds)


async def unhandled(signals: Signals, seconds: float = PATIENCE) -> int:
    """The next signal that has no handler."""
    with trio.fail_after(seconds):
        return await signals.wait()


class Journal:
    """Notes of all processes, in the order in which they were written."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "journal"
        self._path.touch()

    def note(self, *words: object) -> None:
        """Write down the name of this process and some words."""
        line = json.dumps([current_process().name, *words]).encode() + b"\n"
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        os.write(fd, line)
        os.close(fd)

    def read(self) -> list[tuple[Any, ...]]:
        """All notes so far."""
        return [tuple(json.loads(line)) for line in self._path.read_text().splitlines()]

    async def until(self, count: int, seconds: float = PATIENCE) -> list[tuple[Any, ...]]:
        """All notes, once there are that many."""

        def enough() -> list[tuple[Any, ...]] | None:
            notes = self.read()
            return notes if len(notes) >= count else None

        try:
            await eventually(enough, seconds)
        except AssertionError:
            raise AssertionError(f"{count} notes expected within {seconds} s, these came: {self.read()}") from None
        return self.read()


class _ToJournal(logging.Handler):
    def __init__(self, journal: Journal) -> None:
        super().__init__()
        self._journal = journal

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        shown = "".join(traceback.format_exception(error)) if error else ""
        self._journal.note(record.levelname, record.getMessage(), shown)


@contextmanager
def logging_to(journal: Journal) -> Iterator[None]:
    """Let every process note what it logs: level, message, traceback."""
    handler = _ToJournal(journal)
    logger = logging.getLogger("trisig")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def words(count: int = 512) -> "memoryview[int]":
    """Numbers that all processes share and that outlive them; make them before the master opens."""
    return memoryview(mmap.mmap(-1, 8 * count)).cast("Q")


class Counts:
    """How often something has happened, by number, in all processes; make it before the master opens.

    Each process has a row: two that add to one word at the same time may count one.
    """

    _KINDS = ("master", "worker", "mule", "spooler")
    _MEMBERS = 8  # of each kind, from 0

    def __init__(self) -> None:
        self._words = words(256 * len(self._KINDS) * self._MEMBERS)

    def add(self, number: int) -> None:
        """Count one more; a handler, if the number is that of its signal."""
        process = current_process()
        row = self._KINDS.index(process.kind) * self._MEMBERS + process.number
        self._words[256 * row + number] += 1

    def __getitem__(self, number: int) -> int:
        return sum(self._words[number::256])


class Trail:
    """What each process handled, in order; make it before the master opens.

    Args:
        length: how many bytes one process may write.
    """

    _KINDS = ("master", "worker", "mule", "spooler")
    _MEMBERS = 5  # of each kind, from 0

    def __init__(self, length: int) -> None:
        self._length = length
        rows = len(self._KINDS) * self._MEMBERS
        self._memory = mmap.mmap(-1, rows * (8 + length))
        self._ends = memoryview(self._memory)[: rows * 8].cast("Q")
        self._bytes = memoryview(self._memory)[rows * 8 :]

    def mark(self, signum: int) -> None:
        """Append to the row of this process; its last step is the one that counts."""
        process = current_process()
        row = self._row(process.kind, process.number)
        self._bytes[row * self._length + self._ends[row]] = signum
        self._ends[row] += 1

    def of(self, name: str) -> bytes:
        """What one process, by its name, has written."""
        kind = name.rstrip("0123456789")
        row = self._row(kind, int(name[len(kind) :] or 0))
        start = row * self._length
        return bytes(self._bytes[start : start + self._ends[row]])

    def total(self) -> int:
        """How much all of them have written."""
        return sum(self._ends)

    def _row(self, kind: str, number: int) -> int:
        return self._KINDS.index(kind) * self._MEMBERS + number


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Hold a process with SIGSTOP meanwhile, from when the kernel has really stopped it."""
    os.kill(pid, signal.SIGSTOP)
    try:
        while _state(pid) != "T":
            pass
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def pid_of(processes: Sequence[Any], name: str) -> int:
    """The pid of one of `Master.processes`."""
    return next(int(process.pid) for process in processes if process.name == name)


async def gone(pids: Sequence[int], seconds: float) -> list[int]:
    """Wait until processes have ended, and reap those that fell to this one; returns those that have not ended."""
    left = []
    deadline = trio.current_time() + seconds
    for pid in pids:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            with trio.move_on_at(deadline):
                await trio.lowlevel.wait_readable(pidfd)
            if not select.select([pidfd], [], [], 0)[0]:  # the deadline may have passed while this process had no CPU
                left.append(pid)
            with suppress(ChildProcessError):
                os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG)  # noqa: ASYNC222  it does not wait
        finally:
            os.close(pidfd)
    return left
