"""The log for machines, its level while the master runs, and the names of slow handlers."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from program import run, running
from witness import Journal, eventually, logging_to

import trisig

APP = """
import logging, time, trisig
signals = trisig.Signals()
mine = logging.getLogger("mine")

@signals.handler(17, target="worker1")
def fails(signum):
    raise ValueError("why\\nnot")

@signals.handler(18, target="worker1")
def says(signum):
    mine.debug("a word %d", signum)

@signals.handler(19, target="worker1")
def slow(signum):
    time.sleep(0.06)
"""
READY = '"message": "ready, '


def ask(folder: Path, **request: object) -> Any:
    """As the command does, without the start of a process."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(folder / "control"))
        control.sendall(json.dumps(request).encode() + b"\n")
        return json.loads(control.recv(100_000))


async def test_one_object_a_line(tmp_path: Path) -> None:
    """Master and children write JSON only: time, level, logger, message and process; number and traceback where due."""
    with running(tmp_path, APP, "--log-format=json", "--slow-handler=0.05", ready=READY) as app:
        for signum in (17, 19):
            assert ask(tmp_path, do="send", signum=signum) == {"answer": None}
        await eventually(lambda: ask(tmp_path, do="status")["answer"]["done"] == 2)
        assert run(tmp_path, "log", "debug", "--control=control").returncode == 0
        assert ask(tmp_path, do="check-alive", patience=30) == {"answer": []}  # each process has heard of it
        ask(tmp_path, do="send", signum=18)
        ask(tmp_path, do="stop")
        assert app.stderr is not None
        events = [json.loads(line) for line in app.stderr]
    assert all({"time", "level", "logger", "message", "process"} <= set(event) for event in events)
    assert all(datetime.fromisoformat(event["time"]).tzinfo is not None for event in events)
    [failed] = [event for event in events if "exception" in event]
    assert (failed["process"], failed["level"], failed["signum"]) == ("worker1", "error", 17)
    assert failed["message"] == "the handler of signal 17 failed"
    assert "ValueError: why\nnot" in failed["exception"]
    [slow] = [event for event in events if event["message"].startswith("the handler of signal 19 took ")]
    assert (slow["level"], slow["signum"]) == ("warning", 19)
    [mine] = [event for event in events if event["logger"] == "mine"]
    assert (mine["message"], mine["level"], mine["process"]) == ("a word 18", "debug", "worker1")
    assert any(event["process"] == "master" and event["message"].startswith("stopping") for event in events)


async def test_the_level_holds_for_processes_that_come_later(tmp_path: Path) -> None:
    """The successor of a process that was killed has it too; a word that is no level is refused."""
    with running(tmp_path, APP) as app:
        assert ask(tmp_path, do="log", level="loud") == {
            "error": "'loud' is not a level: write one of debug, info, warning, error"
        }
        assert ask(tmp_path, do="log", level="debug") == {"answer": None}
        first = ask(tmp_path, do="status")["answer"]["processes"]["worker1"]["pid"]
        os.kill(first, signal.SIGKILL)
        assert ask(tmp_path, do="send", signum=18) == {"answer": None}
        ask(tmp_path, do="stop")
        assert app.stderr is not None
        lines = app.stderr.read()
    assert "DEBUG worker1: a word 18" in lines


async def test_slow_handlers_are_named(tmp_path: Path) -> None:
    """Plain and async ones and tasks, with their time; none that was quick, and none without the option."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    def slow(signum: int) -> None:
        time.sleep(0.2)

    @signals.handler(2, target="worker1")
    async def sleeps(signum: int) -> None:
        await trio.sleep(0.2)

    @signals.handler(3, target="worker1")
    def quick(signum: int) -> None: ...

    @signals.task("worker1")
    def work() -> None:
        time.sleep(0.2)

    async def handle_all(slow_handler: float | None) -> None:
        async with trisig.open_master(signals, workers=1, slow_handler=slow_handler) as master:
            for signum in (3, 1, 3, 2, 3):
                await signals.send(signum)
            await work.send()
            await eventually(lambda: master.statistics().done == 6)

    with logging_to(journal):
        await handle_all(None)
        before = len(journal.read())
        await handle_all(0.15)
    assert not any(" took " in note[2] for note in journal.read()[:before])
    named = sorted(note[2].partition(" took ")[0] for note in journal.read() if " took " in note[2])
    assert named == [
        "worker1: task test_log_control.test_slow_handlers_are_named.<locals>.work",
        "worker1: the handler of signal 1",
        "worker1: the handler of signal 2",
    ]
    with pytest.raises(ValueError, match="slow_handler"):
        async with trisig.open_master(signals, slow_handler=0):
            pass
