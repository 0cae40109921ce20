"""A master that is the first process of a container: it reaps what falls to it, and SIGTERM ends it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from program import SECONDS, TRISIG, read_until, run
from witness import eventually

from trisig._control.conversation import ask_master

# In a namespace of its own, as a container has, in which the program has the pid 1.
CONTAINER = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")
APP = """
import pathlib, subprocess, time, trisig
signals = trisig.Signals()

@signals.handler(1, target="worker1")
def leave(signum):
    # As a shell that somebody starts in the container: without our environment, in a session of its own.
    subprocess.run("env -i setsid sh -c 'cat first & cat second & exit'", shell=True)

@signals.handler(2, target="worker1")
def slow(signum):
    pathlib.Path("began").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    pathlib.Path("ended").touch()
"""
ENDLESS_IMPORT = "import pathlib, time\npathlib.Path('began').touch()\ntime.sleep(600)\n"


@pytest.fixture(autouse=True)
def may_make_containers() -> None:
    """Skip where the kernel or a sandbox allows no namespaces."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    tried = subprocess.run([*CONTAINER, "true"], capture_output=True, text=True, timeout=SECONDS, check=False)
    if tried.returncode:
        pytest.skip(f"namespaces are not permitted: {tried.stderr.strip()}")


@pytest.fixture(autouse=True)
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the commands ask, as in the Dockerfile."""
    monkeypatch.setenv("TRISIG_CONTROL", str(tmp_path / "control"))


def documented(instruction: str) -> list[str]:
    """The words of `trisig` after an instruction of the Dockerfile in the documentation."""
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    [words] = re.findall(rf"^{instruction} (\[.*\])$", page, re.MULTILINE)
    command, *others = json.loads(words)
    assert command == "trisig"
    return [str(word) for word in others]


@contextmanager
def container(folder: Path, source: str) -> Iterator[subprocess.Popen[str]]:
    """What the Dockerfile of the documentation runs, as the first process of one."""
    (folder / "app.py").write_text(source)
    words = [*CONTAINER, *TRISIG, *documented("CMD")]
    with subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True) as outside:
        try:
            yield outside
        finally:
            outside.kill()  # and with it, by --kill-child, all that is in the container


def children(pid: int) -> list[tuple[int, str]]:
    """The pids and names of the children of a process, dead ones included."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [(int(child), Path(f"/proc/{child}/stat").read_text().split("(")[1].split(")")[0]) for child in found]


def left_behind(master: int) -> int:
    """How many `cat` are children of the master; 0 while one of them goes."""
    try:
        return sum(name == "cat" for _, name in children(master))
    except FileNotFoundError:
        return 0


async def test_it_reaps_orphans_and_ends_in_order(tmp_path: Path) -> None:
    """What a shell has left behind falls to it and is reaped; SIGTERM lets the handler end, and then all of them."""
    for pipe in ("first", "second"):
        os.mkfifo(tmp_path / pipe)
    with container(tmp_path, APP) as outside:
        assert "master 1," in read_until(outside, "master: ready")[-1]
        [(master, _)] = children(outside.pid)
        assert run(tmp_path, *documented("HEALTHCHECK .* CMD")).returncode == 0
        await ask_master(tmp_path / "control", "send", signum=1)
        await eventually(lambda: left_behind(master) == 2)
        (tmp_path / "first").write_text("")  # lets its reader end
        await eventually(lambda: left_behind(master) == 1)
        await ask_master(tmp_path / "control", "send", signum=2)
        await eventually((tmp_path / "began").exists)
        os.kill(master, signal.SIGTERM)
        read_until(outside, "master: stopping: SIGTERM")
        (tmp_path / "go").touch()
        assert outside.wait(SECONDS) == 0
        assert (tmp_path / "ended").exists()


async def test_sigterm_during_the_import(tmp_path: Path) -> None:
    """It ends the program, though the kernel ends no first process by it."""
    with container(tmp_path, ENDLESS_IMPORT) as outside:
        await eventually((tmp_path / "began").exists)
        [(master, _)] = children(outside.pid)
        os.kill(master, signal.SIGTERM)
        assert outside.wait(SECONDS) == 128 + signal.SIGTERM
