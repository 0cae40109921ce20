"""Journals without a master, programs with one, and a disk that is full."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

import trisig
from trisig._ipc.shared_memory import shared_bytes
from trisig._journal.journal import Journal
from trisig._journal.lock import JournalLock
from trisig._journal.recorder import JournalRecorder
from trisig._journal.recovery import Pending, recover

SOON = 20.0  # seconds


def recorder(journal: Journal) -> JournalRecorder:
    """Write a journal as its master does; its processes are workers."""
    return JournalRecorder(journal, [f"worker{number}" for number in range(1, len(journal.in_flight_logs) + 1)])


def journal_at(path: Path, names: list[str], slots: int = 1) -> Journal:
    """A new journal, not published yet."""
    return Journal(JournalLock(path), names, slots, shared_bytes(slots))


def left_in(path: Path) -> Pending:
    """What a master that was killed now would leave."""
    return recover(memoryview(path.read_bytes()))


def files(directory: Path) -> set[str]:
    """The names of what is in a directory."""
    return {entry.name for entry in os.scandir(directory)}


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """A disk that is full, as far as this process and its children can tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def life(source: str, *arguments: object) -> Iterator["subprocess.Popen[str]"]:
    """A program with a master; killed at the end of the block if it still runs."""
    command = [sys.executable, "-W", "error", "-c", source, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            yield program
        finally:
            program.kill()


async def line_of(program: "subprocess.Popen[str]") -> str:
    """The next line that a program prints."""
    assert program.stdout is not None
    with trio.fail_after(SOON):
        return (await trio.to_thread.run_sync(program.stdout.readline, abandon_on_cancel=True)).strip()


async def received(signals: trisig.Signals, count: int) -> list[int]:
    """The next signals that nobody handles."""
    got = []
    for _ in range(count):
        with trio.fail_after(SOON):
            got.append(await signals.wait())
    return got
