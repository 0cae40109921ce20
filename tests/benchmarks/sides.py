"""The two sides: how a job becomes a program that runs, prints what it measured and is gone afterwards."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

APPS = Path(__file__).parent / "apps"
PR_SET_CHILD_SUBREAPER = 36
BOUND = 120.0  # seconds that any program may take

Job = dict[str, Any]
Result = dict[str, float]
T = TypeVar("T")


class Side(Protocol):
    """Who is measured."""

    name: str

    def command(self, job: Job, folder: Path, /) -> Sequence[str]:
        """What to start for a job; files it needs go to the folder."""
        ...


class Ours:
    """trisig, in the interpreter that runs the benchmarks."""

    name = "trisig"

    def command(self, _job: Job, _folder: Path) -> Sequence[str]:
        return [sys.executable, str(APPS / "ours.py")]


class Theirs:
    """uWSGI.

    Args:
        program: its path.
    """

    name = "uwsgi"

    def __init__(self, program: str) -> None:
        self._program = program

    def command(self, job: Job, folder: Path) -> Sequence[str]:
        handling = job["mules"] - job["raisers"]
        mules = ["--mule"] * handling + [f"--mule={APPS / 'theirs_raiser.py'}"] * job["raisers"]
        return [
            self._program,
            "--master",
            f"--processes={job['workers']}",
            *mules,
            f"--socket={folder / 'socket'}",
            f"--pythonpath={APPS}",
            "--import=theirs",
        ]


class TrioAlone:
    """What trio needs for as much as its program does of the job, in the same interpreter."""

    name = "trio"

    def command(self, _job: Job, _folder: Path) -> Sequence[str]:
        return [sys.executable, str(APPS / "trio_alone.py")]


class Program:
    """A program of our own, by itself: the growth curves' variants and the peers."""

    def __init__(self, name: str, script: str) -> None:
        self.name = name
        self._script = script

    def command(self, _job: Job, _folder: Path) -> Sequence[str]:
        return [sys.executable, str(APPS / self._script)]


class ProgramError(RuntimeError):
    """A program ended, or its time was up, before it had printed its line."""


@contextmanager
def running(side: Side, job: Job) -> Generator[tuple[int, Result]]:
    """Run a job's program; yields its pid and what it printed, and leaves no process behind."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        (folder / "watched").touch()
        with (folder / "log").open("w+") as log:
            process = _start(side, {**job, **_paths(job, folder)}, folder, log.fileno())
            assert process.stdout is not None
            try:
                yield process.pid, _lines(process, side, job, folder / "log")
            finally:
                _end(process)
                process.stdout.close()


def run(side: Side, job: Job) -> Result:
    """Run a job's program to its end; what it printed."""
    with running(side, job) as (_, result):
        return result


def in_turn(those: Sequence[T], rounds: int) -> Iterator[T]:
    """All of them in each round, which begins at the other end each time: what changes meanwhile hits all alike."""
    for number in range(rounds):
        yield from those if number % 2 == 0 else reversed(those)


def _paths(job: Job, folder: Path) -> Job:
    paths = {"path": str(folder / "watched")}
    return {**paths, "memory": str(folder / "memory")} if job.get("shared") else paths


def _start(side: Side, job: Job, folder: Path, log: int) -> subprocess.Popen[bytes]:
    command = side.command(job, folder)
    environment = {**os.environ, "BENCHMARK_JOB": json.dumps({**job, "started": time.monotonic()})}
    return subprocess.Popen(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        process_group=0,
    )


def _lines(process: subprocess.Popen[bytes], side: Side, job: Job, log: Path) -> Result:
    """What the program printed: its first line, or all of them together if it ends by itself."""
    alarm, result = _Alarm(process), Result()
    assert process.stdout is not None
    with alarm:
        for line in process.stdout:
            if not line.startswith(b"{"):
                continue  # a banner of some library
            result |= json.loads(line)
            if not job.get("ends"):
                break
    if result and not alarm.rang:
        return result
    raise ProgramError(f"{side.name}: {'took too long' if alarm.rang else 'failed'}\n{log.read_text()[-4000:]}")


class _Alarm:
    """Kills a program that prints nothing in time, which ends the wait for its line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.rang = False

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, BOUND)

    def __exit__(self, *exc: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, *_: object) -> None:
        self.rang = True
        _end(self._process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the program's process group, all that it started included, and wait until the last one is gone."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    try:
        while True:
            os.waitpid(-process.pid, 0)
    except ChildProcessError:
        pass


def adopt_orphans() -> None:
    """Let what loses its parent become a child of this process, so that it can be waited for."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
