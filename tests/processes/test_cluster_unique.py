"""Timers and cron jobs of which a cluster lets each occurrence through once."""

from __future__ import annotations

import time
from pathlib import Path

import psycopg
import pytest
from cluster_tools import ask
from witness import Journal, eventually

import trisig
from trisig.postgres import Cluster

LONG = 100_000_000  # seconds: no tick comes while the test runs


def ticking(journal: Journal, *, unique: bool) -> trisig.Signals:
    """An application with a timer of one second."""
    signals = trisig.Signals()

    @signals.timer(1, signum=1, unique=unique, overlap="queue")
    def tick(signum: int) -> None:
        journal.note(signum)

    return signals


@pytest.mark.parametrize("unique", [True, False], ids=["unique", "control"])
async def test_each_second_passes_once(conninfo: str, tmp_path: Path, *, unique: bool) -> None:
    """Of two nodes with the same timer one fires for each second, and none is left out; without `unique` both fire."""
    journal = Journal(tmp_path)
    one, two = [ticking(journal, unique=unique) for _ in "ab"]
    async with (
        trisig.open_master(one, cluster=Cluster(conninfo, node="a")) as a,
        trisig.open_master(two, cluster=Cluster(conninfo, node="b")) as b,
    ):
        await eventually(lambda: all(master.statistics().sources[0].fired >= 2 for master in (a, b)))
        if not unique:
            await journal.until(4)
            return
        await eventually(lambda: len(journal.read()) == len(dues(conninfo)))
        found = dues(conninfo)
        left_out = found[-1] - found[0] + 1 - len(found)
        # On a busy machine all nodes may be late for a tick: it is folded into the next one then, and counted.
        assert left_out <= min(master.statistics().sources[0].missed for master in (a, b))


def dues(conninfo: str) -> list[int]:
    """The seconds that were let through, in order."""
    return [int(due) for (due,) in ask(conninfo, "SELECT extract(epoch FROM due) FROM trisig.fired ORDER BY due")]


async def test_what_was_due_while_there_was_no_node(conninfo: str, tmp_path: Path) -> None:
    """The first node raises the last occurrence that was missed, if `late` allows it, and only that."""
    journal, signals = Journal(tmp_path), trisig.Signals()
    await Cluster(conninfo, node="a").init()

    @signals.timer(LONG, signum=1, unique=True)
    def missed(signum: int) -> None:
        event = signals.event()
        journal.note(signum, event and event.source, event and event.due)

    @signals.timer(LONG, signum=2, unique=True, late=0.001)
    def too_late(signum: int) -> None:
        journal.note(signum)

    @signals.cron("* * * * *", signum=3, unique=True, catch_up="none", timezone="UTC")
    def not_caught_up(signum: int) -> None: ...

    last = time.time() // LONG * LONG
    names = (
        "timer of signal 1 every 100000000 s",
        "timer of signal 2 every 100000000 s",
        "cron of signal 3 at * * * * * UTC",
    )
    with psycopg.connect(conninfo) as connection:
        for name in names:
            connection.execute("INSERT INTO trisig.fired VALUES (%s, to_timestamp(%s))", (name, last - 5 * LONG))
    async with trisig.open_master(signals, cluster=Cluster(conninfo, node="a")):
        await journal.until(1)
    assert [tuple(note[1:]) for note in journal.read()] == [(1, names[0], last)]


def test_where_unique_is_a_mistake() -> None:
    """It needs a cluster, a signal for the cluster, and whole seconds."""
    signals = trisig.Signals()
    signals.register(1, "worker", print)
    signals.add_timer(1, 1, unique=True)
    with pytest.raises(trisig.TargetError, match="unique=True needs a handler in the cluster: register signal 1 with"):
        trisig.run(signals, cluster=Cluster("host=db", node="a"))
    with pytest.raises(ValueError, match=r"in whole seconds, not 0\.5"):
        signals.timer(0.5, unique=True)
    with pytest.raises(TypeError, match="unique is True or False, not 1"):
        signals.add_cron(1, "* * * * *", unique=1)  # type: ignore[call-overload]  # the mistake
    with pytest.raises(ValueError, match="late is at most 518400 seconds with unique=True"):
        signals.timer(5, unique=True, late=1e6)
    other = trisig.Signals()
    other.timer(5, unique=True)(print)
    with pytest.raises(trisig.TargetError, match="target 'cluster/worker' needs a cluster"):
        trisig.run(other)
