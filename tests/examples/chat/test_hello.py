"""The smallest example: what it says, and how it ends."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chat_harness import EXAMPLE

HELLO = EXAMPLE.parent / "hello" / "hello.py"
BOUND = 60


@pytest.fixture
def hello(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The example at work, in a group of its own, as in a terminal."""
    command = [sys.executable, "-W", "error", HELLO]
    errors = (tmp_path / "errors").open("w")
    with (
        errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, process_group=0) as process,
    ):
        yield process
        process.kill()


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_shows_the_counts(hello: subprocess.Popen[str], tmp_path: Path, times: int) -> None:
    """It says what to do; Ctrl-C, once or twice, ends it with its counts, which add up, and without a traceback."""
    assert hello.stdout is not None
    first = hello.stdout.readline()
    assert re.search(r"touch \S*hello\.py ", first)
    assert "Ctrl-C" in first
    while "got signal 18" not in hello.stdout.readline():
        pass
    for _ in range(times):
        os.killpg(hello.pid, signal.SIGINT)
    rest, _ = hello.communicate(timeout=BOUND)
    assert hello.returncode == 0
    assert (tmp_path / "errors").read_text() == ""
    accepted, done = re.findall(r"^master   (\d+) signals accepted, (\d+) done", rest, re.MULTILINE)[0]
    parts = re.findall(r"^master   (\d+) of them in (?:worker1|worker2|mule1)$", rest, re.MULTILINE)
    assert 0 < int(done) <= int(accepted) + 1  # a signal for all workers is done twice, and accepted once for each
    assert len(parts) == 3
    assert sum(map(int, parts)) == int(done)
