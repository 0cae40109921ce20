"""Masters as nodes of a cluster in a real PostgreSQL: targets, promises, kills, and a database that goes away."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import psycopg
import pytest
import trio
from cluster_tools import LEASE, LONG, a_node, ask, lines, noting, wait_up_for
from postgres_server import a_server
from witness import Journal, eventually, until_equal

import trisig
from trisig._cluster.postgres import statements
from trisig.postgres import Cluster


async def test_where_and_who(conninfo: str, tmp_path: Path) -> None:
    """One node runs what is for the cluster, each what is for the nodes, one what is for it; there, who is named."""
    journal = Journal(tmp_path)
    targets = {"s1": "cluster", "s2": "nodes/workers", "s3": "node_b/mule1", "s4": "node_a"}
    one, two = noting(journal, "a", **targets), noting(journal, "b", **targets)
    async with (
        trisig.open_master(one, workers=2, mules=1, cluster=Cluster(conninfo, node="a")) as a,
        trisig.open_master(two, workers=1, mules=1, cluster=Cluster(conninfo, node="b")) as b,
    ):
        for signals in (one, two):
            for signum in (1, 2, 3, 4):
                await signals.send(signum)
        notes = await journal.until(12)
        await eventually(lambda: not ask(conninfo, "SELECT * FROM trisig.signal"))
        await until_equal(lambda: [[node.name for node in master.nodes] for master in (a, b)], [["a", "b"]] * 2)
    by_number = {
        signum: Counter((node, who) for who, node, found in notes if found == signum) for signum in range(1, 5)
    }
    assert by_number[1].total() == 2
    assert by_number[2] == {("a", "worker1"): 2, ("a", "worker2"): 2, ("b", "worker1"): 2}
    assert (by_number[3], by_number[4].total()) == ({("b", "mule1"): 2}, 2)
    assert {node for node, _ in by_number[4]} == {"a"}
    # A signal counts where it was raised, as done when it is stored, and where it was claimed.
    for master in (a, b):
        end = master.statistics()
        assert end.accepted == end.done
        assert end.cluster is not None
        assert (end.cluster.waiting, end.cluster.claimed) == (0, 0)


async def test_send_returns_when_the_signal_is_stored(conninfo: str, tmp_path: Path) -> None:
    """In a child and in the master: what `send` has returned for is in the database, or was handled."""
    journal, signals = Journal(tmp_path), trisig.Signals()

    @signals.handler(1, target="node_away")
    def never(signum: int) -> None: ...

    @signals.handler(2)
    async def raise_from_a_child(signum: int) -> None:
        await signals.send(1)
        journal.note(ask(conninfo, "SELECT count(*) FROM trisig.signal")[0][0])
        journal.note([node.name for node in signals.nodes()])

    async with trisig.open_master(signals, cluster=Cluster(conninfo, node="here")):
        for stored in range(1, 11):
            await signals.send(1)
            assert ask(conninfo, "SELECT count(*) FROM trisig.signal") == [(stored,)]
        await signals.send(2)
        assert [note[1] for note in await journal.until(2)] == [11, ["here"]]


async def test_nodes_that_come_and_go(conninfo: str, tmp_path: Path) -> None:
    """Each other node hears of it, with its name; a handler in the cluster runs once for all of them."""
    journal = Journal(tmp_path)

    def application(me: str) -> trisig.Signals:
        signals = trisig.Signals()

        @signals.node_up()
        def up(signum: int) -> None:
            event = signals.event()
            journal.note(me, "up", event and event.payload)

        @signals.node_down()
        def down(signum: int) -> None:
            event = signals.event()
            journal.note(me, "down", event and event.payload)

        @signals.node_down("cluster")
        def down_in_all(signum: int) -> None:
            journal.note("someone", "down")

        return signals

    a, b, c = application("a"), application("b"), application("c")
    async with (
        trisig.open_master(a, cluster=Cluster(conninfo, node="a", lease=LONG)) as first,
        trisig.open_master(b, cluster=Cluster(conninfo, node="b", lease=LONG)) as second,
    ):
        async with trisig.open_master(c, cluster=Cluster(conninfo, node="c", lease=LONG)):
            await until_equal(lambda: [len(master.nodes) for master in (first, second)], [3, 3])
        began = trio.current_time()
        await until_equal(lambda: [node.name for node in second.nodes], ["a", "b"])
        assert trio.current_time() - began < LONG / 5, "a clean stop is known at once, not when a lease is over"
        notes = await journal.until(6)
    assert sorted(tuple(note[1:]) for note in notes) == [
        ("a", "down", "c"),
        ("a", "up", "b"),
        ("a", "up", "c"),
        ("b", "down", "c"),
        ("b", "up", "c"),
        ("someone", "down"),
    ]


@pytest.mark.parametrize("gives_back", [True, False], ids=["", "control"])
async def test_a_killed_master_loses_nothing(
    conninfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, gives_back: bool
) -> None:
    """What a node had claimed when its master was killed runs on another one, soon; unless nobody gives it back."""
    if not gives_back:
        monkeypatch.setattr(statements, "FREE", "SELECT 1 WHERE false")
    journal = Journal(tmp_path)
    heir = noting(journal, "heir", **{f"s{number}": "cluster" for number in range(12)})
    with a_node(tmp_path / "doomed", conninfo, "doomed", lease=5 * LEASE) as doomed:
        await eventually(lambda: has_tables(conninfo))
        ask(conninfo, "INSERT INTO trisig.signal (signum) SELECT generate_series(0, 11)")
        await eventually(lambda: len(lines(tmp_path / "doomed/notes")) == 3)
        began = set(map(int, lines(tmp_path / "doomed/notes")))
        async with trisig.open_master(heir, cluster=Cluster(conninfo, node="heir", lease=5 * LEASE)) as master:
            await journal.until(9)
            await wait_up_for(conninfo, 5 * LEASE)
            killed_at = trio.current_time()
            doomed.kill()
            await until_equal(lambda: [node.name for node in master.nodes], ["heir"])
            assert trio.current_time() - killed_at < 5 * LEASE * 0.8, "it is known before the lease is over"
            if gives_back:
                notes = await journal.until(12)
                assert sorted(signum for _, _, signum in notes) == list(range(12))
            else:
                left = ask(conninfo, "SELECT signum FROM trisig.signal WHERE owner IS NOT NULL")
                assert {signum for (signum,) in left} == began


def has_tables(conninfo: str) -> bool:
    """Whether a node has joined."""
    try:
        return bool(ask(conninfo, "SELECT 1 FROM trisig.node"))
    except psycopg.errors.UndefinedTable:
        return False


async def test_a_node_that_was_stopped_beyond_its_lease(conninfo: str, tmp_path: Path) -> None:
    """The others declare it down and run what it had; when it goes on, it joins anew."""
    journal = Journal(tmp_path)
    heir = noting(journal, "heir", **{f"s{number}": "cluster" for number in range(12)})
    lease = 2.5 * LEASE
    with a_node(tmp_path / "sleeper", conninfo, "sleeper", lease=lease) as sleeper:
        await eventually(lambda: has_tables(conninfo))
        ask(conninfo, "INSERT INTO trisig.signal (signum) SELECT generate_series(0, 2)")
        await eventually(lambda: len(lines(tmp_path / "sleeper/notes")) == 3)
        async with trisig.open_master(heir, cluster=Cluster(conninfo, node="heir", lease=lease)) as master:
            (before,) = [node.incarnation for node in master.nodes if node.name == "sleeper"]
            os.kill(sleeper.pid, signal.SIGSTOP)
            await journal.until(3)
            await until_equal(lambda: [node.name for node in master.nodes], ["heir"])
            os.kill(sleeper.pid, signal.SIGCONT)
            again = await eventually(lambda: [one.incarnation for one in master.nodes if one.name == "sleeper"])
            assert again != [before]


async def test_two_nodes_of_one_name(conninfo: str) -> None:
    """The second one is refused, and the first goes on; after its end the name is free."""
    first, second = trisig.Signals(), trisig.Signals()
    async with trisig.open_master(first, cluster=Cluster(conninfo, node="twin")) as master:
        with pytest.raises(trio.BusyResourceError, match="there is a node twin already at"):
            async with trisig.open_master(second, cluster=Cluster(conninfo, node="twin")):
                pass
        assert len(master.nodes) == 1
    async with trisig.open_master(second, cluster=Cluster(conninfo, node="twin")):
        pass


async def test_the_database_goes_away_and_comes_back(template: Path, tmp_path: Path) -> None:
    """Local signals do not notice, raises for the cluster wait and are not lost, and nobody is declared down."""
    journal, lease = Journal(tmp_path), 3.0  # a node that is paused for a second must not lose it
    one, two = [noting(journal, me, s1="cluster", s2="worker") for me in "ab"]
    with a_server(template) as server:
        server.start()
        async with (
            trisig.open_master(one, cluster=Cluster(server.local, node="a", lease=lease)) as a,
            trisig.open_master(two, cluster=Cluster(server.local, node="b", lease=lease)) as b,
            trio.open_nursery() as nursery,
        ):
            await until_equal(lambda: len(a.nodes), 2)
            before = a.nodes
            await trio.to_thread.run_sync(server.stop)
            await until_equal(lambda: [state_of(master) for master in (a, b)], ["away"] * 2)
            stored: list[int] = []

            async def send() -> None:
                await one.send(1)
                stored.append(1)

            nursery.start_soon(send)
            one.send_nowait(1)
            await one.send(2)
            assert [signum for _, _, signum in await journal.until(1)] == [2]
            assert (await a.check_alive())[0].startswith("the database of the cluster is away")
            await trio.sleep(lease * 1.1)  # every lease is over
            assert not stored
            await trio.to_thread.run_sync(server.start)
            await journal.until(3)
            assert sorted(signum for _, _, signum in journal.read()) == [1, 1, 2]
            await until_equal(lambda: stored, [1])
            await until_equal(lambda: [state_of(master) for master in (a, b)], ["connected"] * 2)
            await until_equal(lambda: a.nodes, before)  # silent until it has renewed its lease, but the same


def state_of(master: trisig.Master) -> str:
    """Of its link to the database."""
    cluster = master.statistics().cluster
    assert cluster is not None
    return cluster.state


async def test_a_handler_that_ends_its_process(conninfo: str) -> None:
    """After so many attempts its signal is in the table of the dead, with the reason, and nowhere else."""
    signals = trisig.Signals()
    signals.register(1, "cluster", lambda _: os._exit(1))
    async with trisig.open_master(signals, max_attempts=2, cluster=Cluster(conninfo, node="here")) as master:
        await signals.send(1)
        await until_equal(lambda: ask(conninfo, "SELECT count(*) FROM trisig.dead"), [(1,)])
        await until_equal(lambda: master.statistics().dead_lettered, 1)
    assert ask(conninfo, "SELECT signum, reason, died_on FROM trisig.dead") == [
        (1, "it ended its process 2 times", "here")
    ]
    assert ask(conninfo, "SELECT 1 FROM trisig.signal") == []


async def test_what_a_journal_has_of_the_cluster(conninfo: str, tmp_path: Path) -> None:
    """After a kill a claimed signal comes from the cluster alone, not from the journal a second time."""
    journal, file = Journal(tmp_path), str(tmp_path / "pending")
    with a_node(tmp_path / "node", conninfo, "here", journal=file) as doomed:
        await eventually(lambda: has_tables(conninfo))
        ask(conninfo, "INSERT INTO trisig.signal (signum) VALUES (3)")
        await eventually(lambda: lines(tmp_path / "node/notes"))
        doomed.kill()
    again = noting(journal, "again", s3="cluster")
    cluster = Cluster(conninfo, node="here", lease=LEASE)
    async with trisig.open_master(again, workers=3, journal=file, cluster=cluster) as master:
        assert [tuple(note[1:]) for note in await journal.until(1)] == [("again", 3)]
    assert master.statistics().accepted == 1


async def test_numbers_that_another_version_knows(conninfo: str, tmp_path: Path) -> None:
    """A node takes only the numbers that it has: the others wait for a node that knows them."""
    journal = Journal(tmp_path)
    old, new = noting(journal, "old", s1="cluster"), noting(journal, "new", s1="cluster", s2="cluster")
    async with trisig.open_master(old, cluster=Cluster(conninfo, node="old")):
        ask(conninfo, "INSERT INTO trisig.signal (signum) VALUES (2), (1)")
        ask(conninfo, "NOTIFY trisig")
        assert [tuple(note[1:]) for note in await journal.until(1)] == [("old", 1)]
        async with trisig.open_master(new, cluster=Cluster(conninfo, node="new")):
            assert [tuple(note[1:]) for note in await journal.until(2)][1] == ("new", 2)
