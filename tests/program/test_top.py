"""`trisig top` in a terminal: what it shows, that keys work, and that the terminal is as before however it ends."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from program import SECONDS, TRISIG, run, running
from witness import stopped

pytest.importorskip("rich")

APP = """
import trisig
signals = trisig.Signals()

@signals.handler(18, target="workers")
def quick(signum): ...

@signals.timer(3600, target="mule", signum=19)
def tick(signum): ...
"""
LEFT = b"\x1b[?1049l"
LINE = re.compile(r"\x1b\[\d+;1H")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Screen:
    """A terminal in which `trisig top` runs.

    Args:
        folder: where it runs.
        columns, lines: of the terminal.
    """

    def __init__(self, folder: Path, columns: int, lines: int) -> None:
        self._ours, theirs = os.openpty()
        self.resize(columns, lines)
        self.attributes = termios.tcgetattr(self._ours)
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [*TRISIG, "top", "--control=control", "--every=0.1"],
            cwd=folder, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env={**environment, "TERM": "xterm-256color"},
            preexec_fn=partial(fcntl.ioctl, 0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  this test has one thread
        )  # fmt: skip
        os.close(theirs)
        self.written = b""

    def resize(self, columns: int, lines: int) -> None:
        """As a window does, with SIGWINCH."""
        termios.tcsetwinsize(self._ours, (lines, columns))

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._ours, keys)

    async def until(self, is_there: Callable[[list[str]], object]) -> list[str]:
        """The lines of the first frame from now on of which this is true."""
        with trio.fail_after(SECONDS):
            while True:
                await trio.lowlevel.wait_readable(self._ours)
                self.written += os.read(self._ours, 65_536)
                *_, whole, _ = ["", "", *self.written.decode().split("\x1b[1;1H")]
                lines = [CONTROL.sub("", line) for line in LINE.split(whole)]
                if is_there(lines):
                    return lines

    async def end(self) -> tuple[int, str]:
        """Its status and its last words; the terminal must be as it was."""
        with trio.fail_after(SECONDS):
            while LEFT not in self.written:
                await trio.lowlevel.wait_readable(self._ours)
                self.written += os.read(self._ours, 65_536)
        _, said = await trio.to_thread.run_sync(partial(self.process.communicate, timeout=SECONDS))
        assert termios.tcgetattr(self._ours) == self.attributes
        assert b"\x1b[?25h" in self.written
        return self.process.returncode, said

    def close(self) -> None:
        """Close the terminal, which ends what is left in it."""
        os.close(self._ours)
        self.process.kill()
        self.process.communicate()


@contextmanager
def screen_of(folder: Path, columns: int = 80, lines: int = 24) -> Iterator[Screen]:
    """A terminal for the block."""
    screen = Screen(folder, columns, lines)
    try:
        yield screen
    finally:
        screen.close()


def having(*words: str) -> Callable[[list[str]], bool]:
    """Whether each of some words is in a line of a frame."""
    return lambda lines: all(any(word in line for line in lines) for word in words)


async def test_it_shows_obeys_and_leaves(tmp_path: Path) -> None:
    """Processes, signals and sources at 80x24; keys send, pause and reload; another size is followed; q is the end."""
    with running(tmp_path, APP, "--workers=2", "--mules=1"), screen_of(tmp_path) as screen:
        lines = await screen.until(having("worker1", "timer of signal 19 every 3600 s", "q quit"))
        assert len(lines) == 24
        assert max(map(len, lines)) == 80
        screen.press(b"s18\r")
        await screen.until(having("done 2"))
        screen.press(b" ")
        await screen.until(having("  paused"))
        screen.press(b" s300\r")
        await screen.until(having("300 is not a signal"))
        screen.resize(40, 10)
        await screen.until(lambda lines: (len(lines), max(map(len, lines))) == (10, 40))
        screen.press(b"ry")
        await screen.until(lambda lines: lines[-1].strip() == "reloaded")
        screen.press(b"q")
        assert await screen.end() == (0, "")


async def test_however_it_ends_the_terminal_is_restored(tmp_path: Path) -> None:
    """A Unix signal is in the status, Ctrl-C is an orderly end, and q works while the master hangs, which it says."""
    with running(tmp_path, APP, "--mules=1") as app:
        for number, status in ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 0)):
            with screen_of(tmp_path) as screen:
                await screen.until(having("worker1"))
                screen.process.send_signal(number)
                assert await screen.end() == (status, "")
        with screen_of(tmp_path) as screen:
            await screen.until(having("worker1"))
            with stopped(app.pid):
                await screen.until(having("the master has not answered for "))
                screen.press(b"q")
                assert await screen.end() == (0, "")
        with screen_of(tmp_path) as screen:
            await screen.until(having("worker1"))
            app.terminate()
            status, said = await screen.end()
    assert status == 1
    assert said.startswith("trisig: control socket control: ")
    assert said.count("\n") == 1


def test_without_rich(tmp_path: Path) -> None:
    """One line says what to install."""
    code = "import sys; sys.modules['rich'] = None; from trisig._cli import main; main()"
    words = [sys.executable, "-c", code, "top", "--control=control"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert 'trisig top needs rich: python -m pip install ".[top]"' in ran.stderr


def test_without_a_terminal(tmp_path: Path) -> None:
    """One line says what to use instead."""
    ran = run(tmp_path, "top", "--control=control")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "trisig: top needs a terminal; `trisig status` writes to anything\n"


@pytest.mark.parametrize("name", ["status", "top"])
def test_pictures_load_nothing(name: str) -> None:
    """The pictures in the documentation refer to no font and nothing else on other hosts."""
    picture = (Path(__file__).parents[2] / "docs" / "pictures" / f"{name}.svg").read_text()
    assert "worker1" in picture
    assert set(re.findall(r"https?://[^\s\"<]+|url\([^#)][^)]*", picture)) == {"http://www.w3.org/2000/svg"}
