"""Programs that import uwsgi, run by `trisig uwsgi`, or by uWSGI itself, which takes the same words."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS = 60.0  # that anything may take on a busy machine before a test fails
TRISIG = (sys.executable, "-P", "-m", "trisig", "uwsgi")

NOTES = """
import os
def note(*words):
    fd = os.open(os.path.dirname(os.path.abspath(__file__)) + "/notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, (" ".join(map(str, words)) + chr(10)).encode())
    os.close(fd)
"""


class Program:
    """A program that runs, and what it has noted.

    Args:
        folder: where it runs.
        process: the master.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._folder = folder
        self.process = process

    def notes(self) -> list[str]:
        """All so far, in the order of writing."""
        path = self._folder / "notes"
        return path.read_text().splitlines() if path.exists() else []

    def log(self) -> str:
        """What master and children have logged."""
        return (self._folder / "log").read_text()

    def wait_for(self, *notes: str) -> list[str]:
        """Wait until all of these were noted; returns all notes."""
        self.until(lambda: set(notes) <= set(self.notes()), f"without {notes}")
        return self.notes()

    def until(self, look: Callable[[], object], what: str = "") -> None:
        """Wait for what no descriptor announces."""
        give_up = time.monotonic() + SECONDS
        while not look():
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError(f"{what} in {self.notes()}; the log:\n{self.log()}")
            time.sleep(0.01)


@contextmanager
def running(folder: Path, files: dict[str, str], *words: str, command: Sequence[str] = TRISIG) -> Iterator[Program]:
    """Write files and start a program in their folder; at the end it gets SIGINT, and uWSGI SIGKILL.

    Args:
        folder: where to.
        files: their contents, by name. `notes.py` is written too.
        words: of the command line.
        command: trisig, with or without a program that starts it, or uWSGI.
    """
    for name, content in {"notes.py": NOTES, **files}.items():
        (folder / name).write_text(content)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *words], cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        yield Program(folder, process)
    finally:
        if tuple(command[-len(TRISIG) :]) == TRISIG:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(SECONDS)
            finally:
                process.kill()
        else:  # uWSGI may hang at a SIGINT that comes while its workers start
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(SECONDS)


def decorators() -> str:
    """The text of `uwsgidecorators`, as its package has it. It cannot be imported here."""
    spec = importlib.util.find_spec("uwsgidecorators")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package uwsgidecorators")
    return Path(spec.origin).read_text()
