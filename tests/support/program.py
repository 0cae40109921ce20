"""`trisig run` and the commands that ask it, as an operator starts them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 60.0  # that anything may take on a busy machine before a test fails
TRISIG = (sys.executable, "-P", "-m", "trisig")

SLOW = """
import pathlib, time, trisig
signals = trisig.Signals()

@signals.handler(1, target="worker1")
def slow(signum):
    pathlib.Path("began").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    with open("ran", "a") as file:
        file.write("x")

@signals.on_start("worker1")
def begin():
    for _ in range(3):
        signals.send_nowait(1)
"""


def run(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    words = [*TRISIG, *map(str, arguments)]
    return subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment or None
    )


@contextmanager
def running(
    folder: Path,
    source: str,
    *options: str,
    before_exec: Callable[[], object] | None = None,
    ready: str = "master: ready",
    application: str = "app.py",
) -> Iterator[subprocess.Popen[str]]:
    """An application that is ready, with a control socket at `folder / "control"`; stopped at the end.

    Args:
        folder: where it runs.
        source: of the application.
        options: of `trisig run`.
        before_exec: called in the new process.
        ready: words of the line that says that it is.
        application: the file that it is in.
    """
    (folder / application).write_text(source)
    with subprocess.Popen(
        [*TRISIG, "run", application, "--control=control", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before_exec,  # noqa: PLW1509  tests that use it have one thread
    ) as app:
        try:
            read_until(app, ready)
            yield app
        finally:
            app.terminate()
            try:
                app.wait(SECONDS)
            finally:
                app.kill()


def read_until(app: subprocess.Popen[str], words: str) -> list[str]:
    """The lines of the log up to the one with these words."""
    assert app.stderr is not None
    lines = []
    for line in app.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"{words!r} is not in the log: {lines}")
