"""What an operator sees: the status at a glance, tables of signals and sources, and whether all is well."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from program import SECONDS, TRISIG, run, running
from witness import eventually

from trisig._cli.status_text import duration, status_text
from trisig._control.conversation import ask_master

CLEAR = b"\x1b[2J\x1b[1;1H"

APP = """
import pathlib, time, trisig
signals = trisig.Signals()

@signals.handler(17, target="worker1")
def slow(signum):
    pathlib.Path("began").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)

@signals.handler(18, target="mule1")
def quick(signum): ...

@signals.timer(3600, target="mule", signum=19)
def tick(signum): ...

@signals.task("mule")
def resize(width: int) -> None: ...
"""


ENDLESS = """
import pathlib, time, trio, trisig
signals = trisig.Signals()

@signals.handler(17, target="worker1")
def plain(signum):
    pathlib.Path("began17").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)

@signals.handler(18, target="worker2")
async def asynchronous(signum):
    pathlib.Path("began18").touch()
    while not pathlib.Path("go").exists():
        await trio.sleep(0.01)

@signals.task("mule")
async def long() -> None:
    pathlib.Path("beganT").touch()
    while not pathlib.Path("go").exists():
        await trio.sleep(0.01)

@signals.on_start("mule1")
def begin(): long.send_nowait()
"""


def asked(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What a command answers."""
    return run(folder, *words, "--control=control")


def told(folder: Path) -> Any:
    """The status, for programs."""
    return json.loads(asked(folder, "status", "--json").stdout)


async def test_status_at_a_glance(tmp_path: Path) -> None:
    """Totals, the master, each process with what it does and for how long, each signal and task, each source."""
    with running(tmp_path, APP, "--workers=2", "--mules=1"):
        assert asked(tmp_path, "send", "17").returncode == asked(tmp_path, "send", "18").returncode == 0
        await eventually((tmp_path / "began").exists)
        await eventually(lambda: told(tmp_path)["processes"]["worker1"]["busy_for"] > 1 and told(tmp_path)["done"] == 1)
        lines = asked(tmp_path, "status").stdout.splitlines()
        (tmp_path / "go").touch()
    assert lines[0] == "accepted 2  done 1  failed 0  queued 0  in flight 1  dead-lettered 0"
    assert lines[1].startswith("master ")
    assert ", running, up " in lines[1]
    rows = {line.split()[0]: line.split() for line in lines if line}
    assert rows["worker1"][1] == "ready"
    assert rows["worker1"][-3] == "17,"
    assert int(rows["worker1"][-2]) >= 1
    assert "MiB" in rows["worker2"]
    assert rows["17"] == ["17", "worker1", "1", "0", "0", "1", "-", "-", "-", "0"]
    assert rows["18"][:6] == ["18", "mule1", "1", "1", "0", "0"]
    assert rows["18"][7] in ("us", "ms", "s")
    assert rows["app.resize"][1] == "mule"
    assert "timer of signal 19 every 3600 s" in "\n".join(lines)
    assert max(map(len, lines)) <= 100


async def test_tables_of_their_own(tmp_path: Path) -> None:
    """Signals and sources by themselves; a source is removed for good by its signal or its name."""
    with running(tmp_path, APP, "--mules=1"):
        assert asked(tmp_path, "signals").stdout.splitlines()[1].split()[:2] == ["17", "worker1"]
        assert "timer of signal 19 every 3600 s" in asked(tmp_path, "sources", "list").stdout
        assert asked(tmp_path, "sources", "remove", "19").returncode == 0
        assert asked(tmp_path, "sources", "list").stdout.strip() == ""
        refused = asked(tmp_path, "sources", "remove", "19")
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)


async def test_check_alive(tmp_path: Path) -> None:
    """An idle process that is stopped is a problem, with its name; one that runs a handler is none."""
    with running(tmp_path, APP, "--mules=1"):
        assert asked(tmp_path, "send", "17").returncode == 0
        await eventually((tmp_path / "began").exists)
        assert (asked(tmp_path, "check-alive").returncode, asked(tmp_path, "check-alive").stderr) == (0, "")
        pid = told(tmp_path)["processes"]["mule1"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        done = asked(tmp_path, "check-alive", "--patience=0.2")
        os.kill(pid, signal.SIGCONT)
        assert done.returncode == 1
        assert done.stderr == f"trisig: mule1 (pid {pid}) has not answered for 0.2 s: it is stopped, or hangs\n"
        assert asked(tmp_path, "check-alive").returncode == 0
        (tmp_path / "go").touch()
    nobody = asked(tmp_path, "check-alive")
    assert nobody.returncode == 1
    assert "no master listens" in nobody.stderr


async def test_a_handler_that_runs_for_too_long(tmp_path: Path) -> None:
    """With a limit it is a problem with its name, plain or async, a signal or a task; without one it is none."""
    with running(tmp_path, ENDLESS, "--workers=2", "--mules=1", "--cores=3"):
        assert asked(tmp_path, "send", "17").returncode == asked(tmp_path, "send", "18").returncode == 0
        await eventually(lambda: len(list(tmp_path.glob("began*"))) == 3)
        for limit, expected in ((600.0, 0), (0.05, 3), (None, 0)):
            limits = {"patience": 5.0, "handler_limit": limit}
            found = -1
            while found != expected:
                found = len(await ask_master(tmp_path / "control", "check-alive", **limits))
        done = asked(tmp_path, "check-alive", "--handler-limit=0.05")
        (tmp_path / "go").touch()
    assert done.returncode == 1
    said = sorted(re.sub(r"\d+ s$", "N s", re.sub(r"pid \d+", "pid N", line)) for line in done.stderr.splitlines())
    assert said == [
        "trisig: mule1 (pid N) has been running the task app.long for N s",
        "trisig: worker1 (pid N) has been running the handler of signal 17 for N s",
        "trisig: worker2 (pid N) has been running the handler of signal 18 for N s",
    ]


def test_a_process_that_fails_and_a_source_that_fails_come_first() -> None:
    """Trouble is above everything else, in red on a terminal."""
    process = {
        "name": "worker1", "state": "waiting", "pid": 0, "respawns": 4, "done": 0, "failed": 0, "queued": 0,
        "in_flight": 0, "running": [], "running_tasks": [],
    }  # fmt: skip
    source = {"source": "s" * 60, "state": "failed", "error": "no", "fired": 0, "missed": 0}
    totals = dict.fromkeys(("accepted", "done", "failed", "queued", "in_flight", "dead_lettered", "unjournaled"), 0)
    rest: dict[str, Any] = {"signals": {}, "locks": [], "sources": [source], "processes": {"worker1": process}}
    red, second, *others = status_text({**totals, **rest}, 80).splitlines()
    assert "worker1 is waiting (4 restarts)" in red
    assert red.startswith("\x1b[31m")
    assert "is failed; last error: no" in second
    assert any(line.startswith(f"{15 * 's'}...{15 * 's'} ") for line in others)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min"), (7200, "2 h"), (864000, "10 d")]
)
def test_times_are_short(seconds: float, words: str) -> None:
    """One number and its unit."""
    assert duration(seconds) == words


@pytest.mark.parametrize("no_color", ["", "1"])
def test_watch_on_a_terminal(tmp_path: Path, no_color: str) -> None:
    """It is shown again every second, at the terminal's width, until Ctrl-C, which is its orderly end."""
    with running(tmp_path, APP, "--mules=1"):
        ours, theirs = pty.openpty()
        try:
            command = [*TRISIG, "status", "--watch", "--control=control"]
            environment = {**os.environ, "NO_COLOR": no_color, "COLUMNS": "60", "TERM": "xterm"}
            with subprocess.Popen(command, cwd=tmp_path, stdout=theirs, env=environment) as watching:
                os.close(theirs)
                shown = b""
                while shown.count(CLEAR) < 2:
                    shown += os.read(ours, 65_536)
                watching.send_signal(signal.SIGINT)
                assert watching.wait(SECONDS) == 0
        finally:
            os.close(ours)
    assert max(len(line) for line in shown.replace(CLEAR, b"").split(b"\r\n")) <= 80
