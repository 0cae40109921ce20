"""Reloads under load, with kills: nothing is lost, tasks for one process stay in order, and timers tick once."""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from witness import eventually

import trisig

RELOADS = int(os.environ.get("TRISIG_RELOADS", "4"))
SECONDS = 60 + 10 * RELOADS  # that the storm may take on a busy machine

APP = """
import os, trisig
signals = trisig.Signals()

def note(name, *words):
    fd = os.open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, (" ".join(map(str, words)) + "\\n").encode())
    os.close(fd)

@signals.task("worker1")
def ordered(n: int): note("ordered", n, os.getpid())

@signals.task("worker")
async def pooled(n: int): note("pooled", n)

@signals.timer(0.01, target="mule")
def tick(signum): note("ticks", round(signals.event().due, 4))
"""


class Storm:
    """The storm of one master.

    Args:
        folder: of the application.
        tasks: its two, the one for a process and the one for any.
        master: runs.
    """

    def __init__(self, folder: Path, tasks: tuple[Any, Any], master: trisig.Master) -> None:
        self._folder = folder
        self._master = master
        self._ordered, self._pooled = tasks
        self._chance = random.Random(7)
        self.sent = self.reloaded = self.killed = 0

    async def send(self) -> None:
        """Send tasks until cancelled; each has a number of its own."""
        while True:
            with trio.CancelScope(shield=True):  # a number counts as sent, or is not
                await self._ordered.send(self.sent)
                await self._pooled.send(self.sent)
                self.sent += 1
            await trio.sleep(0.001)

    async def kill(self, seconds: float) -> None:
        """Kill a process some time from now."""
        await trio.sleep(seconds)
        _, *children = self._master.processes
        if children:
            os.kill(self._chance.choice(children).pid, signal.SIGKILL)
            self.killed += 1

    async def reload(self) -> None:
        """Reload so often that enough of them succeed; one whose process is killed while it starts does not.

        Kills come at any moment of two reloads in three, however long they take: so each third one succeeds.
        """
        lasts = 1.0
        for attempt in range(3 * RELOADS):
            (self._folder / "storm_app.py").write_text(f"{APP}\n# {self.reloaded}\n")
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                if attempt % 3 != 2:
                    nursery.start_soon(self.kill, self._chance.uniform(0, lasts))
                with suppress(trisig.ChildFailedError):
                    await self._master.reload()
                    self.reloaded += 1
                    lasts = trio.current_time() - began
            if self.reloaded == RELOADS:
                return

    def lines(self, name: str) -> list[str]:
        """What processes have noted."""
        return (self._folder / name).read_text().splitlines()

    async def settle(self) -> None:
        """Wait until all is done."""
        await eventually(lambda: not (self._master.statistics().queued or self._master.statistics().in_flight))


@pytest.mark.sweep
async def test_reloads_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every task runs, again only after a death; those for one process in order; no due moment of the timer twice."""
    (tmp_path / "storm_app.py").write_text(APP)
    monkeypatch.syspath_prepend(tmp_path)
    app = importlib.import_module("storm_app")
    monkeypatch.delitem(sys.modules, "storm_app")
    with trio.fail_after(SECONDS):
        async with trisig.open_master(app.signals, workers=2, mules=1, application="storm_app", grace=30) as master:
            storm = Storm(tmp_path, (app.ordered, app.pooled), master)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(storm.send)
                await storm.reload()
                nursery.cancel_scope.cancel()
            await storm.settle()
            statistics = master.statistics()
    assert storm.reloaded == RELOADS
    assert storm.killed > RELOADS / 2
    assert statistics.dead_lettered == 0
    ordered = [int(line.split()[0]) for line in storm.lines("ordered")]
    for name, ran in (("ordered", ordered), ("pooled", list(map(int, storm.lines("pooled"))))):
        counts = Counter(ran)
        assert set(counts) == set(range(storm.sent)), name
        assert sum(counts.values()) - storm.sent <= storm.killed, name
    assert list(dict.fromkeys(ordered)) == sorted(set(ordered))
    ticks = Counter(storm.lines("ticks"))
    assert sum(count - 1 for count in ticks.values()) <= storm.killed
    assert len(ticks) > 10
