"""Services of the leader: on one node at a time, and never longer than its lease."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from cluster_tools import LONG, a_node, lines, wait_up_for
from postgres_server import a_server
from witness import Journal, eventually
from witness import stopped as frozen

import trisig
from trisig.postgres import Cluster

TERM = 3.0  # seconds of a lease: a fifth of it is enough for a busy machine to renew it

LEADER = """
import trio, trisig
from trisig.postgres import Cluster
signals = trisig.Signals()

def note(*words):
    with open({notes!r}, "a") as file:
        print(*words, file=file)

@signals.service("leader")
async def lead(master, token):
    note(token)
    try:
        await trio.sleep_forever()
    finally:
        note("over")

if __name__ == "__main__":
    trisig.run(signals, cluster=Cluster({conninfo!r}, node={node!r}, lease={lease}), **{options})
"""


def leading(journal: Journal, node: str) -> trisig.Signals:
    """An application that notes when it leads, with its token, and when it does not any more."""
    signals = trisig.Signals()

    @signals.service("leader")
    async def lead(master: trisig.Master, token: int) -> None:
        journal.note(node, "leads", token)
        try:
            await trio.sleep_forever()
        finally:
            journal.note(node, "over", token)

    return signals


def terms(journal: Journal) -> list[tuple[str, str]]:
    """Who has led, in order, after a look at the tokens."""
    notes = [note[1:] for note in journal.read()]
    begun = [token for _, what, token in notes if what == "leads"]
    assert begun == sorted(set(begun)), "each token is larger than those before"
    for (node, what, token), following in zip(notes[::2], notes[1::2], strict=False):
        assert what == "leads"
        assert tuple(following) == (node, "over", token), "nobody leads before the one before has ended"
    return [(node, what) for node, what, _ in notes]


async def test_one_node_leads_until_it_stops(conninfo: str, tmp_path: Path) -> None:
    """Who joins later changes nothing; when the leader stops, another one leads at once, after the end of the first."""
    journal = Journal(tmp_path)
    one, two = leading(journal, "a"), leading(journal, "b")
    async with trisig.open_master(two, cluster=Cluster(conninfo, node="b", lease=LONG)) as second:
        async with trisig.open_master(one, cluster=Cluster(conninfo, node="a", lease=LONG)) as first:
            await journal.until(1)
            leader = await eventually(lambda: [node.name for node in first.nodes if node.leads])
            assert leader == ["b"], "it was the only one"
            end = second.statistics().cluster
            assert end is not None
            assert end.token == journal.read()[0][3]
        assert terms(journal) == [("b", "leads")]
    assert terms(journal) == [("b", "leads"), ("b", "over")]
    stops = trio.Event()

    async def third() -> None:
        async with trisig.open_master(leading(journal, "c"), cluster=Cluster(conninfo, node="c", lease=LONG)):
            await stops.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(third)
        await journal.until(3)
        async with trisig.open_master(leading(journal, "d"), cluster=Cluster(conninfo, node="d", lease=LONG)):
            stopped = trio.current_time()
            stops.set()
            await journal.until(5)
            assert trio.current_time() - stopped < LONG / 5, "it is known at once, not when a grace is over"
    assert terms(journal)[2:] == [("c", "leads"), ("c", "over"), ("d", "leads"), ("d", "over")]


@pytest.mark.parametrize("stopped", [False, True], ids=["killed", "stopped"])
async def test_the_leader_does_not_answer(conninfo: str, tmp_path: Path, *, stopped: bool) -> None:
    """Another node leads when a killed one's grace, or a stopped one's lease, is over; that one sees it and ends."""
    journal, notes = Journal(tmp_path), tmp_path / "first/notes"
    lease = TERM if stopped else 3 * TERM
    cluster = Cluster(conninfo, node="heir", lease=lease)
    with a_node(tmp_path / "first", conninfo, "first", LEADER, lease) as first, ExitStack() as held:
        await eventually(lambda: lines(notes))
        async with trisig.open_master(leading(journal, "heir"), cluster=cluster) as heir:
            await eventually(lambda: len(heir.nodes) == 2)
            await wait_up_for(conninfo, lease)
            began = trio.current_time()
            if stopped:
                held.enter_context(frozen(first.pid))
            else:
                first.kill()
            before = lines(notes)
            token = (await journal.until(1))[0][3]
            assert trio.current_time() - began < (2 * lease if stopped else lease)
            assert token > max(int(line) for line in before if line != "over")
            if stopped:
                assert lines(notes) == before, "it could not notice"
                held.close()
                await eventually(lambda: lines(notes)[-1] == "over")
    assert {node for node, _ in terms(journal)} == {"heir"}


async def test_the_leader_while_the_database_is_away(template: Path, tmp_path: Path) -> None:
    """Its services end before anybody else could lead; when the database is back, one of the nodes leads."""
    journal = Journal(tmp_path)
    one, two = leading(journal, "a"), leading(journal, "b")
    with a_server(template) as server:
        server.start()
        async with (
            trisig.open_master(one, cluster=Cluster(server.local, node="a", lease=TERM)),
            trisig.open_master(two, cluster=Cluster(server.local, node="b", lease=TERM)),
        ):
            await journal.until(1)
            await trio.to_thread.run_sync(server.stop)
            gone = trio.current_time()
            await eventually(lambda: len(journal.read()) % 2 == 0)
            assert trio.current_time() - gone < TERM
            before = len(terms(journal))
            await trio.to_thread.run_sync(server.start)
            await journal.until(before + 1)
        assert len(terms(journal)) % 2 == 0


async def test_a_service_of_the_leader_that_fails(
    conninfo: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged, its node goes on, and another node leads; with none, the same one after a pause."""
    journal, signals = Journal(tmp_path), trisig.Signals()

    @signals.service("leader")
    async def fail(master: trisig.Master, token: int, *, task_status: trio.TaskStatus[None]) -> None:
        journal.note("failing", "leads", token)
        task_status.started()
        journal.note("failing", "over", token)
        raise OSError("no luck")

    async with trisig.open_master(signals, cluster=Cluster(conninfo, node="failing")) as master:
        await journal.until(4)  # twice
        async with trisig.open_master(leading(journal, "heir"), cluster=Cluster(conninfo, node="heir")):
            await eventually(lambda: ("heir", "leads") in terms(journal))
        assert len(master.processes) == 2
    failed = [record for record in caplog.records if "a service of the leader failed" in record.getMessage()]
    assert failed[0].exc_info is not None
    assert isinstance(failed[0].exc_info[1], OSError)


def test_mistakes_with_the_leader() -> None:
    """It takes two arguments, and needs a cluster; both are said before anything starts."""
    signals = trisig.Signals()
    with pytest.raises(TypeError, match=r"takes the master and a token: write async def alone\(master, token\)"):

        @signals.service("leader")
        async def alone(master: trisig.Master) -> None: ...

    @signals.service("leader")
    async def lead(master: trisig.Master, token: int) -> None: ...

    with pytest.raises(ValueError, match="a service of the leader needs a cluster: open the master with cluster="):
        trisig.run(signals)
