"""What a master has to do with its cluster: the node that it is there, and what that needs of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from trisig._api.signals import Application, NodeChange
from trisig._cluster.claims import Claim
from trisig._cluster.engine import ClusterEngine
from trisig._cluster.inlet import UniqueSource
from trisig._cluster.node import ClusterNode
from trisig._cluster.outgoing import Outgoing
from trisig._model.event import Event
from trisig._model.node_info import NodeInfo
from trisig._model.once import Once
from trisig._model.statistics import ClusterStatistics
from trisig._model.table import Table
from trisig._sources.cron import CronSource
from trisig._sources.timers import Timer
from trisig._util.ki_protection import ki_protected

from .delivery import Delivery
from .dispatcher import Dispatcher
from .leader_services import LeaderServices


@ki_protected
class ClusterSeat:
    """The place of a master in its cluster.

    Args:
        engine: where the nodes meet.
        app: the application.
        table: the signal table.
        delivery: what destinations share.
        least: how many signals this master can handle at once.

    Attributes:
        leader: runs what the leader runs.
        node: what it is in the cluster.
        outgoing: what waits for the cluster to have it.
        dispatcher: takes what the node claims; set before that runs.
        take_all_back: takes back what no process has begun; likewise.
    """

    dispatcher: Dispatcher
    take_all_back: Callable[[Callable[[], object]], object]

    def __init__(self, engine: ClusterEngine, app: Application, table: Table, delivery: Delivery, least: int) -> None:
        self._app = app
        self._table = table
        self._ledger = delivery.ledger
        self.passed: Callable[[], None] = delivery.passed
        self.node = ClusterNode(engine, self, least)
        self.leader = LeaderServices(app.leader_services, self.node.hurry)
        delivery.claims = self.node.claimer.claims
        self.outgoing = Outgoing(self._ledger, self._node_of, self._node_of_task, self.node.storer.stir)
        self.node.storer.outgoing = self.outgoing

    @property
    def nodes(self) -> tuple[NodeInfo, ...]:
        """The nodes, by name, as they were seen last."""
        return self.node.members.nodes

    def statistics(self) -> ClusterStatistics:
        """What this master knows of its cluster."""
        node, waiting = self.node, len(self.outgoing.queue) + self.outgoing.in_flight
        return ClusterStatistics(
            node.name, node.state, node.error, self.nodes, waiting, len(node.claimer.claims), self.leader.token
        )

    def _node_of(self, signum: int) -> str:
        entry = self._table[signum]
        return "" if entry is None or entry.target.node is None else entry.target.node

    def _node_of_task(self, index: int) -> str:
        return self.dispatcher.task_routes.target(index).node or ""

    # What the node needs

    @property
    def max_attempts(self) -> int:
        """How many nodes may die with a signal."""
        return self._ledger.max_attempts

    @property
    def signums(self) -> Collection[int]:
        """The numbers that this master takes from the cluster."""
        return [signum for signum, entry in self._table if entry.target.node is not None]

    @property
    def tasks(self) -> Collection[str]:
        """The names of the tasks that this master takes from the cluster."""
        return self.dispatcher.task_routes.in_cluster

    @property
    def unique_sources(self) -> Iterable[UniqueSource]:
        """The declared sources whose occurrences pass once."""
        return [one for one in self._app.sources.values() if isinstance(one, CronSource | Timer) and one.unique]

    def accept_claims(self, claims: Iterable[Claim]) -> None:
        """Take over claimed signals."""
        self.dispatcher.accept_claims(claims)

    def withdraw_claims(self) -> None:
        """Give back claimed signals that no process has begun, or was sent alone."""
        self.take_all_back(self.dispatcher.withdraw_claims)

    def nodes_changed(self, up: Sequence[NodeInfo], down: Sequence[NodeInfo]) -> None:
        """Raise the signals for nodes that have come or gone."""
        for node in down:
            self._raise_for("down", node)
        for node in up:
            self._raise_for("up", node)

    def _raise_for(self, change: NodeChange, node: NodeInfo) -> None:
        for signum in self._app.node_signums[change]:
            entry = self._table[signum]
            if entry is not None and entry.target.node is not None:
                # Each node has noticed: the cluster lets one of them through.
                self.dispatcher.accept_once(signum, Once(f"node_{change} {node.name} {node.incarnation}", node.since))
            else:
                self.dispatcher.accept_event(signum, Event(f"node_{change}", payload=node.name))
