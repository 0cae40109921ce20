"""The pure parts of a cluster: targets, what may be claimed, who came and who went."""

from __future__ import annotations

import pytest

import trisig
from trisig._api.manifest import fit, manifest_of
from trisig._api.signals import application_of
from trisig._cluster.claims import Claims
from trisig._cluster.engine import Claimed, Settlement
from trisig._cluster.members import Members
from trisig._model.dead_letter import DeadLetter
from trisig._model.invocation import Invocation
from trisig._model.ledger import Ledger
from trisig._model.manifest import compare
from trisig._model.node_info import NodeInfo
from trisig._model.queue import Queue
from trisig._model.targets import ANY_NODE, EVERY_NODE, parse


@pytest.mark.parametrize(
    ("text", "node", "who"),
    [
        ("cluster", ANY_NODE, ""),
        ("cluster/mules", ANY_NODE, "mules"),
        ("nodes", EVERY_NODE, ""),
        ("nodes/worker2", EVERY_NODE, "worker2"),
        ("node_web-1.example", "web-1.example", ""),
        ("node_web1/farm_a/b", "web1", "farm_a/b"),
    ],
)
def test_targets_in_a_cluster(text: str, node: str, who: str) -> None:
    """What stands before the slash says where, what stands behind it who."""
    target, local = parse(text), parse(who)
    assert (target.text, target.node, local.node) == (text, node, None)
    assert (target.kind, target.audience, target.number, target.farm) == (
        local.kind,
        local.audience,
        local.number,
        local.farm,
    )
    assert not target.fixed


@pytest.mark.parametrize(
    "text", ["cluster/", "cluster/cluster", "nodes/nobody", "node_", "node_/worker", "node_-x", "clusters", "worker/x"]
)
def test_what_is_no_target(text: str) -> None:
    """A malformed one is refused when it is read."""
    with pytest.raises(trisig.TargetError):
        parse(text)


def test_where_a_cluster_is_no_target() -> None:
    """Services and start functions name processes of their own master; signals and tasks need a cluster."""
    signals = trisig.Signals()
    for declare in (signals.on_start, signals.service):
        with pytest.raises(trisig.TargetError, match="is a target of signals"):
            declare("cluster")
    signals.register(1, "cluster", print)
    with pytest.raises(trisig.TargetError, match="needs a cluster: open the master with cluster="):
        trisig.run(signals)
    with pytest.raises(TypeError, match=r"cluster is a trisig\.ClusterEngine"):
        trisig.run(signals, cluster="host=db")  # type: ignore[arg-type]  # the mistake


def claims_of(least: int, stirs: list[int]) -> Claims:
    """Claims that note when they want to be settled."""
    return Claims(least, lambda: stirs.append(1))


def test_a_claim_is_settled_when_its_last_copy_has_ended() -> None:
    """Each of three workers has a copy: the row is done after the third, and dead if one was given up."""
    stirs: list[int] = []
    claims = claims_of(4, stirs)
    whole, dead = (claims.hold("me", Claimed(number, 1, 1), 0.0) for number in (7, 8))
    for claim in (whole, dead):
        for _ in range(3):
            claim.copied()
        claim.ended()  # the one who made the copies
    for _ in range(2):
        whole.ended()
    assert claims.take_settled() is None
    whole.ended()
    dead.ended(DeadLetter(1, "worker1", 3))
    dead.ended()
    dead.ended()
    assert claims.take_settled() == ("me", Settlement(done=[7], dead=[(8, "it ended its process 3 times")]))
    assert (len(claims), len(stirs)) == (0, 2)


def test_what_waits_is_given_back_and_what_was_sent_is_not() -> None:
    """Signals, and tasks that overtake others; a claim with a copy that is under way returns when that has ended."""
    claims, ledger = Claims(8, lambda: None), Ledger()
    one, other = Queue("worker1"), Queue("worker2")
    for row_id, queues in ((1, [one]), (2, [one, other]), (3, [other])):
        claim = claims.hold("me", Claimed(row_id, 7, 1), 0.0)
        for queue in queues:
            queue.note(queue.reach).claim = claim
            ledger.accept(queue, b"\7")
            claim.copied()
        claim.ended()
    task = claims.hold("me", Claimed(4, None, 1, task="t", priority=5), 0.0)
    one.note(one.reach).claim = task
    one.append_tasks([Invocation(0, b"", 0, 5)])
    start, sent = other.take(1)  # of the second
    ledger.withdraw(one, "cluster")
    ledger.withdraw(other, "cluster")
    assert (len(one), len(other), len(claims)) == (0, 0, 1)
    ledger.finish(other, start, sent, "worker2")
    assert claims.take_settled() == ("me", Settlement(returned=[1, 4, 3, 2]))
    assert not claims


def test_what_could_not_be_told_is_told_later() -> None:
    """Each incarnation settles what it has claimed itself."""
    claims = claims_of(4, [])
    for number, owner in enumerate(("old", "old", "new")):
        claims.hold(owner, Claimed(number, 1, 1), 0.0).ended()
    settled = claims.take_settled()
    assert settled is not None
    assert settled == ("old", Settlement(done=[0, 1]))
    owner, settlement = settled
    claims.put_back(owner, settlement)
    told = [claims.take_settled(), claims.take_settled(), claims.take_settled()]
    assert sorted(filter(None, told)) == [("new", Settlement(done=[2])), ("old", Settlement(done=[0, 1]))]


def test_quick_handlers_claim_more_and_slow_ones_leave_it_to_others() -> None:
    """The window doubles while it empties within moments, and shrinks to what runs at once when it does not."""
    claims, now = claims_of(2, []), 1.0
    windows = []
    for took in (0.01, 0.01, 0.01, 0.5, 0.5, 0.5):
        room = claims.room(now)
        held = [claims.hold("me", Claimed(number, 1, 1), now) for number in range(room)]
        assert claims.room(now) == 0
        now += took
        for claim in held:
            claim.ended()
        windows.append(room)
    assert windows == [2, 4, 8, 16, 8, 4]


def node(name: str, incarnation: str = "1") -> NodeInfo:
    """A node that is up."""
    return NodeInfo(name, name + incarnation, 0.0, "up")


def test_who_came_and_who_went() -> None:
    """Not oneself, not those that were there at the first look; one that has restarted has gone and come."""
    members = Members("b")
    assert members.see([node("b"), node("a")]) == ([], [])
    assert members.see([node("a", "2"), node("b", "2"), node("c")]) == ([node("a", "2"), node("c")], [node("a")])
    assert members.see([node("b", "2")]) == ([], [node("a", "2"), node("c")])


def test_each_node_watches_the_next_one() -> None:
    """They form a ring, so each is watched by one."""
    names = ["a", "b", "c"]
    watched: list[NodeInfo | None] = []
    for name in names:
        members = Members(name)
        watched.append(members.neighbour)
        members.see(map(node, names))
        watched.append(members.neighbour)
    assert watched == [None, node("b"), None, node("c"), None, node("a")]


def test_tasks_that_a_reload_has_taken_out() -> None:
    """They keep their indices, and a node claims them no more."""
    old, new = trisig.Signals(), trisig.Signals()

    def first() -> None: ...
    def second() -> None: ...

    for task in (first, second):
        old.task("cluster")(task)
    new.task("cluster")(second)
    before = manifest_of(application_of(old))
    fit(application_of(new), before)
    after = manifest_of(application_of(new))
    assert [row.name for row in after.tasks] == [row.name for row in before.tasks]
    assert compare(before, after).gone_tasks == [before.tasks[0].name]
