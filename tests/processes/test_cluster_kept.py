"""A node handles what is raised on it while it is free, and gives back what it does not know that it has."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import trio
from cluster_tools import LEASE, ask, noting
from witness import PATIENCE, Journal, eventually, until_equal

import trisig
from trisig._cluster.engine import Outbound
from trisig._cluster.postgres.link import PostgresLink
from trisig.postgres import Cluster

ONE = [Outbound(1, "")]


async def test_what_is_kept_is_stored_once(link: PostgresLink, conninfo: str) -> None:
    """Stored and claimed in one; not when the batch is there already, and not before the sender is known."""
    assert await link.keep("me", 1, ONE, "first") is None
    await link.put("me", 1, ONE)
    tasks = [Outbound(None, "", task="b", arguments=b"\x90", priority=5), Outbound(None, "a", task="c")]
    kept = await link.keep("me", 2, [*ONE, *tasks], "first")
    assert kept is not None
    assert [(one.signum, one.task, one.arguments) for one in kept] == [
        (1, None, b""),
        (None, "b", b"\x90"),
        (None, "c", b""),
    ]
    assert await link.keep("me", 2, ONE, "first") is None
    rows = ask(conninfo, "SELECT owner, attempts, task, arguments, priority FROM trisig.signal ORDER BY id")
    assert rows == [
        (None, 0, None, None, 10**9),
        ("first", 1, None, None, 10**9),
        ("first", 1, "b", b"\x90", 5),
        ("first", 1, "c", b"", 10**9),
    ]


async def test_what_is_stored_during_the_check_stays(link: PostgresLink, conninfo: str) -> None:
    """What the check does not know is given back, but for what has come since it began."""
    await link.put("me", 1, ONE)
    await link.keep("me", 2, ONE * 2, "first")

    def known() -> list[int]:
        ask(conninfo, "INSERT INTO trisig.signal (signum, owner) VALUES (1, 'first')")
        return [2]

    await link.keep_only("first", known)
    assert ask(conninfo, "SELECT owner FROM trisig.signal ORDER BY id") == [(None,), ("first",), (None,), ("first",)]


NOTING = """
CREATE TABLE kept (owner text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO kept SELECT NEW.owner WHERE NEW.owner IS NOT NULL; RETURN NEW; END';
CREATE TRIGGER note BEFORE INSERT ON trisig.signal FOR EACH ROW EXECUTE FUNCTION note()
"""


async def test_a_free_node_handles_what_is_raised_on_it(conninfo: str, tmp_path: Path) -> None:
    """Its row has an owner from the beginning, as soon as the node has seen that nothing older waits."""
    journal, sent = Journal(tmp_path), 0
    signals = noting(journal, "a", s1="cluster")
    async with trisig.open_master(signals, cluster=Cluster(conninfo, node="a")) as master:
        ask(conninfo, NOTING)
        with trio.fail_after(PATIENCE):
            while not ask(conninfo, "SELECT 1 FROM kept"):
                await signals.send(1)
                sent += 1
        assert len(await journal.until(sent)) == sent
        await eventually(lambda: not ask(conninfo, "SELECT 1 FROM trisig.signal"))
        await until_equal(lambda: master.statistics().done, master.statistics().accepted)


async def test_a_busy_node_leaves_what_is_raised_on_it_to_others(conninfo: str, tmp_path: Path) -> None:
    """While its only worker is busy, the other node has them."""
    journal, go = Journal(tmp_path), tmp_path / "go"
    busy, idle = noting(journal, "busy", s1="cluster"), noting(journal, "idle", s1="cluster")

    @busy.handler(2, target="cluster")
    def hang(signum: int) -> None:
        journal.note("busy", signum)
        while not go.exists():
            time.sleep(0.01)

    async with (
        trisig.open_master(idle, workers=1, cluster=Cluster(conninfo, node="idle")),
        trisig.open_master(busy, workers=1, cluster=Cluster(conninfo, node="busy")) as master,
    ):
        await busy.send(2)
        await journal.until(1)
        for _ in range(4):
            await busy.send(1)
        await journal.until(4)
        go.touch()
        notes = await journal.until(5)
        await eventually(lambda: not ask(conninfo, "SELECT 1 FROM trisig.signal"))
        await until_equal(lambda: master.statistics().done, master.statistics().accepted)
    assert Counter(signum for _, _, signum in notes) == {1: 4, 2: 1}
    assert sum(node == "idle" for _, node, signum in notes if signum == 1) >= 3


async def test_a_row_of_a_lost_answer(conninfo: str, tmp_path: Path) -> None:
    """A node that owns a row without knowing it gives it back within a lease, and it runs."""
    journal = Journal(tmp_path)
    signals = noting(journal, "a", s1="cluster")
    async with trisig.open_master(signals, cluster=Cluster(conninfo, node="a", lease=LEASE)):
        ask(conninfo, "INSERT INTO trisig.signal (signum, owner, attempts) SELECT 1, incarnation, 1 FROM trisig.node")
        assert [note[1:] for note in await journal.until(1)] == [("a", 1)]
        await eventually(lambda: not ask(conninfo, "SELECT 1 FROM trisig.signal"))
