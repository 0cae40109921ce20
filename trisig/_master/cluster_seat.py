"""What a master has to do with its cluster: the node that it is there, and what that needs of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import trio

from trisig._api.application import Application, NodeChange
from trisig._cluster.claims import Claim
from trisig._cluster.engine import ClusterEngine
from trisig._cluster.inlet import UniqueSource
from trisig._cluster.node import ClusterNode
from trisig._cluster.outgoing import Outgoing
from trisig._model.event import Event
from trisig._model.node_info import NodeInfo
from trisig._model.once import Once
from trisig._model.statistics import ClusterStatistics
from trisig._sources.cron import CronSource
from trisig._sources.timers import Timer
from trisig._util.ki_protection import ki_protected

from .core import Core
from .leader_services import LeaderServices


@ki_protected
class ClusterSeat:
    """The place of a master in its cluster.

    Args:
        engine: where the nodes meet.
        app: the application.
        core: of the master, which routes to the cluster from now on.
        least: how many signals this master can handle at once.

    Attributes:
        leader: runs what the leader runs.
    """

    def __init__(self, engine: ClusterEngine, app: Application, core: Core, least: int) -> None:
        self._app = app
        self._core = core
        self.passed: Callable[[], None] = core.delivery.passed
        self._node = node = ClusterNode(engine, self, least)
        self.leader = LeaderServices(app.leader_services, node.hurry)
        self._outgoing = Outgoing(core.ledger, self._node_of, self._node_of_task, node.storer.stir)
        node.storer.outgoing = core.destinations.cluster = self._outgoing
        core.delivery.claims = node.claimer.claims
        core.dispatcher.refresh()

    # Its life

    @property
    def opened(self) -> trio.Event:
        """Set once it has joined, or it is clear that it cannot for now."""
        return self._node.opened

    async def run(self) -> None:
        """Be a node until `leave`."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._node.run)
            nursery.start_soon(self._node.guard)

    def stop(self) -> None:
        """Claim nothing more."""
        self._node.claimer.stop()

    async def leave(self) -> None:
        """Store and settle what there is, and end being a node."""
        await self._node.leave()

    # What the master needs

    @property
    def nodes(self) -> tuple[NodeInfo, ...]:
        """The nodes, by name, as they were seen last."""
        return self._node.members.nodes

    def statistics(self) -> ClusterStatistics:
        """What this master knows of its cluster."""
        node, waiting = self._node, len(self._outgoing.queue) + self._outgoing.in_flight
        return ClusterStatistics(
            node.name, node.state, node.error, self.nodes, waiting, len(node.claimer.claims), self.leader.token
        )

    def call_when_stored(self, callback: Callable[[], object]) -> None:
        """Call a function once the cluster has all that has been raised for it until now."""
        self._outgoing.call_when_stored(callback)

    def _node_of(self, signum: int) -> str:
        entry = self._core.table[signum]
        return "" if entry is None or entry.target.node is None else entry.target.node

    def _node_of_task(self, index: int) -> str:
        return self._core.dispatcher.task_routes.target(index).node or ""

    # What the node needs

    @property
    def max_attempts(self) -> int:
        """How many nodes may die with a signal."""
        return self._core.ledger.max_attempts

    @property
    def signums(self) -> Collection[int]:
        """The numbers that this master takes from the cluster."""
        return [signum for signum, entry in self._core.table if entry.target.node is not None]

    @property
    def tasks(self) -> Collection[str]:
        """The names of the tasks that this master takes from the cluster."""
        return self._core.dispatcher.task_routes.in_cluster

    @property
    def unique_sources(self) -> Iterable[UniqueSource]:
        """The declared sources whose occurrences pass once."""
        return [one for one in self._app.sources.values() if isinstance(one, CronSource | Timer) and one.unique]

    def accept_claims(self, claims: Iterable[Claim]) -> None:
        """Take over claimed signals."""
        self._core.dispatcher.accept_claims(claims)

    def withdraw_claims(self) -> None:
        """Give back claimed signals that no process has begun."""
        core = self._core
        core.rebalancer.take_all_back(core.destinations.slots.values(), core.dispatcher.withdraw_claims)

    def nodes_changed(self, up: Sequence[NodeInfo], down: Sequence[NodeInfo]) -> None:
        """Raise the signals for nodes that have come or gone."""
        for node in down:
            self._raise_for("down", node)
        for node in up:
            self._raise_for("up", node)

    def _raise_for(self, change: NodeChange, node: NodeInfo) -> None:
        for signum in self._app.node_signums[change]:
            entry = self._core.table[signum]
            if entry is not None and entry.target.node is not None:
                # Each node has noticed: the cluster lets one of them through.
                self._core.dispatcher.accept_once(
                    signum, Once(f"node_{change} {node.name} {node.incarnation}", node.since)
                )
            else:
                self._core.dispatcher.accept_event(signum, Event(f"node_{change}", payload=node.name))
