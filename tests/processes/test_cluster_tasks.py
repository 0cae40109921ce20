"""Tasks in a cluster: functions with arguments that run on another node, once a database has them."""

from __future__ import annotations

import os
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from cluster_tools import LEASE, LONG, a_node, ask, lines
from witness import Journal, eventually, until_equal

import trisig
from trisig.postgres import Cluster

HANGING = """
import time, trisig
from trisig.postgres import Cluster
signals = trisig.Signals()

@signals.task("cluster")
def hang(number: int):
    with open({notes!r}, "a") as file:
        print(number, file=file)
    time.sleep(1000)

if __name__ == "__main__":
    cluster = Cluster({conninfo!r}, node={node!r}, lease={lease})
    trisig.run(signals, workers=1, cluster=cluster, **{options})
"""


async def test_where_a_task_runs_and_with_what(conninfo: str, tmp_path: Path) -> None:
    """On one node, on each, or on the one that is named, with its arguments, whoever sends it; once it is stored."""
    journal = Journal(tmp_path)

    def application(me: str) -> tuple[trisig.Signals, trisig.Task[..., None, None]]:
        signals = trisig.Signals()

        @signals.task("cluster")
        def anywhere(word: str, data: bytes, when: datetime | None = None) -> None:
            journal.note("anywhere", me, trisig.current_process().name, word, len(data), str(when))

        @signals.task("nodes/workers")
        async def everywhere(word: str) -> None:
            journal.note("everywhere", me, trisig.current_process().name, word)

        @signals.task("node_b/mule1")
        async def there(word: str) -> None:
            journal.note("there", me, trisig.current_process().name, word)
            await everywhere.send("from there")
            waiting = ask(conninfo, "SELECT count(*) FROM trisig.signal WHERE task LIKE '%everywhere'")
            journal.note("stored", me, waiting[0][0])

        @signals.handler(1)
        async def start(signum: int) -> None:
            await there.send("from a child")

        return signals, anywhere

    (one, anywhere), (two, _) = application("a"), application("b")
    async with (
        trisig.open_master(one, workers=2, mules=1, cluster=Cluster(conninfo, node="a")) as a,
        trisig.open_master(two, workers=1, mules=1, cluster=Cluster(conninfo, node="b")) as b,
    ):
        await until_equal(lambda: len(a.nodes), 2)
        await one.send(1)
        await anywhere.send("long", bytes(3_000_000), datetime(2026, 1, 2, tzinfo=UTC))
        anywhere.send_nowait("short", b'\\"{},')
        notes = [note[1:] for note in await journal.until(7)]
        await eventually(lambda: not ask(conninfo, "SELECT * FROM trisig.signal"))
    by_task = Counter(note[0] for note in notes)
    assert by_task == {"anywhere": 2, "everywhere": 3, "there": 1, "stored": 1}
    sizes = {tuple(note[3:]) for note in notes if note[0] == "anywhere"}
    assert sizes == {("long", 3_000_000, "2026-01-02 00:00:00+00:00"), ("short", 5, "None")}
    places = {(note[1], note[2]) for note in notes if note[0] == "everywhere"}
    assert places == {("a", "worker1"), ("a", "worker2"), ("b", "worker1")}
    assert ("there", "b", "mule1", "from a child") in map(tuple, notes)
    for master in (a, b):
        end = master.statistics()
        assert end.accepted == end.done


async def test_when_a_task_runs(conninfo: str, tmp_path: Path) -> None:
    """Not before it is due, and those with a lower number first; what is due at once does not wait for others."""
    journal, signals = Journal(tmp_path), trisig.Signals()

    @signals.task("node_b")
    def note(word: str) -> None:
        journal.note(word, time.time())

    async with trisig.open_master(signals, cluster=Cluster(conninfo, node="a")):
        await note.configure(delay=1000).send("in a while")
        await note.send("last")
        await note.configure(priority=7).send("second")
        await note.configure(priority=3).send("first")
        await note.configure(at=datetime.now(UTC) - timedelta(days=1)).send("past")
        assert journal.read() == []
    async with trisig.open_master(signals, cluster=Cluster(conninfo, node="b", lease=2 * LONG)):
        assert [word for _, word, _ in await journal.until(4)] == ["first", "second", "last", "past"]
        soon = time.time() + 0.2
        await note.configure(at=datetime.fromtimestamp(soon, UTC)).send("soon")
        *_, (_, word, at) = await journal.until(5)
        assert word == "soon"
        assert soon <= at < soon + LONG / 5, "it does not wait for the next look at the table, after a grace"
    assert ask(conninfo, "SELECT count(*) FROM trisig.signal WHERE ready IS NOT NULL") == [(1,)]


async def test_the_node_that_runs_a_task_dies(conninfo: str, tmp_path: Path) -> None:
    """Another one runs it, and no journal does again; one that ends its processes is a dead letter, with arguments."""
    journal, signals, file = Journal(tmp_path), trisig.Signals(), str(tmp_path / "pending")
    notes, go = tmp_path / "doomed/notes", tmp_path / "go"

    def hang(number: int) -> None:
        journal.note(number)
        while not go.exists():
            time.sleep(0.01)

    hang.__module__, hang.__qualname__ = "__main__", "hang"
    task = signals.task("cluster")(hang)

    @signals.task("cluster")
    def end(word: str) -> None:
        os._exit(1)

    lease = 5 * LEASE
    with a_node(tmp_path / "doomed", conninfo, "doomed", HANGING, lease, journal=file) as doomed:
        async with trisig.open_master(
            signals, max_attempts=2, cluster=Cluster(conninfo, node="heir", lease=lease)
        ) as heir:
            await end.send("now")
            await until_equal(lambda: heir.statistics().dead_lettered, 1)
            await eventually(lambda: len(heir.nodes) == 2)
            for number in range(8):  # more than a node whose worker is busy claims
                await task.send(number)
            await eventually(lambda: lines(notes))
            doomed.kill()
            go.touch()
            assert sorted(note[1] for note in await journal.until(8)) == list(range(8))
            await eventually(lambda: not ask(conninfo, "SELECT 1 FROM trisig.signal"))
            dead = ask(conninfo, "SELECT task, arguments, reason, died_on FROM trisig.dead")
    assert [(name.split(".")[-1], reason, node) for name, _, reason, node in dead] == [
        ("end", "it ended its process 2 times", "heir")
    ]
    assert b"now" in dead[0][1]
    cluster = Cluster(conninfo, node="doomed", lease=LEASE)
    async with trisig.open_master(signals, journal=file, cluster=cluster) as again:
        assert again.statistics().accepted == 0


async def test_a_task_that_another_version_knows(conninfo: str, tmp_path: Path) -> None:
    """A node takes only the tasks that it has: the others wait for a node that knows them."""
    journal = Journal(tmp_path)

    def application(node: str, *names: str) -> tuple[trisig.Signals, list[trisig.Task[..., None, None]]]:
        signals, tasks = trisig.Signals(), []
        for name in names:

            def run(name: str = name) -> None:
                journal.note(node, name)

            run.__qualname__ = name
            tasks.append(signals.task("cluster")(run))
        return signals, tasks

    new, (first, second) = application("new", "first", "second")
    old, _ = application("old", "first")
    async with trisig.open_master(new, cluster=Cluster(conninfo, node="new")) as master:
        pass  # it has made the tables
    assert master.nodes
    with psycopg.connect(conninfo) as connection:
        for task in (second, first):
            connection.execute("INSERT INTO trisig.signal (task, arguments) VALUES (%s, %s)", (task.name, b"\x90"))
    async with trisig.open_master(old, cluster=Cluster(conninfo, node="old")):
        assert [note[1:] for note in await journal.until(1)] == [("old", "first")]
        async with trisig.open_master(new, cluster=Cluster(conninfo, node="new")):
            assert [note[1:] for note in await journal.until(2)][1] == ("new", "second")


async def test_mistakes_with_tasks_in_a_cluster(conninfo: str) -> None:
    """There is no result, no spool and no way without a cluster; each is said where the mistake is."""
    signals = trisig.Signals()

    @signals.task("cluster")
    def work() -> None: ...

    with pytest.raises(trisig.TargetError, match="the cluster keeps its tasks itself"):
        signals.task("nodes", durable=True)(work.__wrapped__)
    with pytest.raises(trisig.TargetError, match="target 'cluster' needs a cluster: open the master with cluster="):
        async with trisig.open_master(signals):
            pass
    async with trisig.open_master(signals, cluster=Cluster(conninfo, node="a")):
        with pytest.raises(TypeError, match="runs in the cluster, and no result comes back: write send, not call"):
            await work.call()
