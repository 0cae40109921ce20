"""A master as a node of a cluster: it stores what is raised for the cluster, and claims what the cluster has for it.

    raised here ──> Outgoing ──> put ──> ┌──────────┐
                                         │ database │ ──> renew: who is up ──> node_up, node_down
          └── keep ───────────────────>  │          │
    local queues <── claim <──────────── └──────────┘
         └── done, given up ──> settle ───────^

Four tasks share a link while there is one: one renews the lease and hears news, one watches a neighbour, one stores
(`storer.py`), and one settles and claims (`claimer.py`). Without a link everything waits; what happens within this
master goes on.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

import trio

from trisig._model.errors import ClusterError
from trisig._model.node_info import NodeInfo
from trisig._util.backoff import Backoff
from trisig._util.exception_groups import leaves
from trisig._util.ki_protection import ki_protected

from .claimer import Claimer
from .engine import ClusterEngine, ClusterLink, ClusterLostError
from .inlet import Inlet
from .leadership import Leadership
from .members import Members
from .storer import Storer

log = logging.getLogger("trisig")

# Of the lease, without an answer to a renewal. Within the rest whatever runs on this node alone comes to its end.
_LIVES_FOR = 0.8


@ki_protected
class ClusterNode:
    """One node.

    Args:
        engine: where the nodes meet.
        inlet: the master.
        least: how many signals it can handle at once.
        backoff: the pauses between two tries to connect.

    Attributes:
        name: of the node.
        members: the nodes.
        claimer: does what the cluster has for this node.
        storer: stores what is raised here; its `outgoing` is set before `run`.
        opened: set once it has joined, or it is clear that it cannot for now.
        error: why there was no link the last time that there was none.
    """

    def __init__(self, engine: ClusterEngine, inlet: Inlet, least: int, backoff: Backoff = Backoff()) -> None:  # noqa: B008  frozen
        self._engine = engine
        self._inlet = inlet
        self._backoff = backoff
        self.name = engine.node
        self.members = Members(engine.node)
        self.opened = trio.Event()
        self.error: str | None = None
        self.claimer = Claimer(inlet, least, engine.lease)
        self.storer = Storer(inlet, self.claimer, engine.node, engine.grace)
        self._leadership = Leadership(inlet, engine.grace)
        self._incarnation: str | None = None
        self._sweeps_from = -math.inf
        self._lives_until = -math.inf  # without another renewal
        self._renewed, self._guard = trio.Event(), trio.CancelScope()
        self._leaving = False
        self._nap, self._vigil, self._life = trio.CancelScope(), trio.CancelScope(), trio.CancelScope()
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    @property
    def state(self) -> str:
        """`connected` or `away`."""
        return "connected" if self.storer.outgoing.is_connected else "away"

    # Its life

    async def run(self) -> None:
        """Be a node, whenever there is a link, until `leave`.

        Raises:
            trio.BusyResourceError, ClusterError: the first link shows that this master cannot be a node.
        """
        failures = 0
        try:
            with self._scope:
                while not self._leaving:
                    began, error = trio.current_time(), None
                    try:
                        await self._serve()
                    except* Exception as group:  # noqa: BLE001  whatever it was, the master goes on without the cluster
                        error = next(leaves(group))
                    if error is not None and not self._leaving:
                        failures = self._backoff.count(failures, trio.current_time() - began)
                        self._lost(error, self._backoff.pause(failures))
                        await trio.sleep(self._backoff.pause(failures))
        finally:
            self._guard.cancel()
            self._ended.set()

    async def guard(self) -> None:
        """Give back in time what another node may take over, whenever no lease is renewed; while `run` runs."""
        with self._guard:
            while True:
                await self._renewed.wait()
                await trio.sleep_until(self._lives_until)
                if trio.current_time() >= self._lives_until:
                    self._renewed = trio.Event()
                    self._inlet.withdraw_claims()

    def _lost(self, error: BaseException, pause: float) -> None:
        if not self.opened.is_set() and isinstance(error, (ClusterError, trio.BusyResourceError)):
            raise error
        self.error = str(error) or type(error).__name__
        self._sweeps_from = math.inf  # until there is a link again
        expected = isinstance(error, (ClusterLostError, ClusterError, trio.BusyResourceError, trio.TooSlowError))
        level = logging.WARNING if isinstance(error, ClusterLostError) and not error.answered else logging.ERROR
        waits = f"cluster: {self.error}; what is raised for the cluster waits; next try in {pause:.1f} s"
        log.log(level, waits, exc_info=None if expected else error)
        self.opened.set()

    async def _serve(self) -> None:
        async with self._engine.connect() as link:
            await self._enter(link)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._live, link)
                    nursery.start_soon(self._watch, link)
                    all_stored = trio.Event()
                    nursery.start_soon(self.storer.run, link, self._me, all_stored)
                    await self.claimer.run(link, self._me)
                    await all_stored.wait()
                    await link.leave(self._me)
                    nursery.cancel_scope.cancel()
            finally:
                self.storer.outgoing.is_connected = False
                self._inlet.passed()  # a shutdown does not wait for the database

    async def _enter(self, link: ClusterLink) -> None:
        """Be a node again, or anew."""
        nodes = None
        if link.is_successor:
            # It may number new rows like those that it lacks. Under another owner they are not taken for what was
            # claimed before.
            self._incarnation = None
            self._leadership.lost()
        await self.claimer.settle(link)  # before others can claim it again
        if self._incarnation is not None:
            renewed_at = trio.current_time()
            nodes = await link.renew(self._incarnation, sweep=False)
            self._prolong(nodes, renewed_at)
            # What was claimed by a statement whose answer was lost.
            await link.keep_only(self._incarnation, lambda: self.claimer.claims.ids)
        if self._incarnation is None or nodes is None:
            incarnation = uuid.uuid4().hex
            await link.join(incarnation)
            await self._catch_up(link)
            self._incarnation, renewed_at = incarnation, trio.current_time()
            nodes = await link.renew(incarnation, sweep=False)
            self._prolong(nodes, renewed_at)
        if self.error is None:
            log.info("cluster: joined as node %s", self._engine.node)
        else:
            log.info("cluster: connected again as node %s", self._engine.node)
            # The others may have been cut off as this node was: they get the time of a lease to come back.
            self._sweeps_from = trio.current_time() + self._engine.lease
        self._see(nodes or ())
        self.storer.outgoing.is_connected = True
        self.claimer.look()
        self.opened.set()

    async def _catch_up(self, link: ClusterLink) -> None:
        """Raise what was due while there was no node."""
        for source in self._inlet.unique_sources:
            last = await link.last_due(source.name)
            if last is not None and (once := source.missed_since(last, time.time())) is not None:
                log.warning("cluster: %s: what was due at %s is raised late", source.name, _utc(once.due))
                self.storer.outgoing.accept_once(source.signum, once)

    async def leave(self) -> None:
        """Store and settle what there is, if there is a link, and end being a node."""
        self._leaving = True
        self.claimer.leave()
        self.storer.leave()
        if not self.storer.outgoing.is_connected:
            self._scope.cancel()
        await self._ended.wait()

    # The lease, and the other nodes

    @property
    def _lives_s(self) -> float:
        """Seconds from a renewal until this node takes itself for cut off, before others can take it for dead."""
        return self._engine.lease * _LIVES_FOR

    @property
    def _me(self) -> str:
        assert self._incarnation is not None
        return self._incarnation

    async def _live(self, link: ClusterLink) -> None:
        with trio.CancelScope(deadline=self._lives_until) as self._life:
            await self._renew_all_along(link)
        raise ClusterLostError(f"the server does not answer: no lease was renewed for {self._lives_s:g} s")

    async def _renew_all_along(self, link: ClusterLink) -> None:
        while True:
            renewed_at = trio.current_time()
            nodes = await link.renew(self._me, sweep=renewed_at >= self._sweeps_from)
            self._prolong(nodes, renewed_at)
            if nodes is None:
                raise ClusterLostError("this node was declared down, because its lease was over; it joins again")
            self._see(nodes)
            self.claimer.look()  # at the table itself, as a notification may have been lost
            await self._leadership.stand(link, self._me, renewed_at)
            left = await link.ripen()
            due_at = math.inf if left is None else trio.current_time() + left
            with trio.CancelScope(deadline=min(renewed_at + self._leadership.pause, due_at)) as self._nap:
                await self._hear(link)

    def _prolong(self, nodes: Collection[NodeInfo] | None, renewed_at: float) -> None:
        """The lease was renewed, or not."""
        if nodes is None:
            self._leadership.lost()
        else:
            self._leadership.renewed(renewed_at)
            self._life.deadline = self._lives_until = renewed_at + self._lives_s
            self._renewed.set()

    def hurry(self) -> None:
        """Renew the lease now."""
        self._nap.cancel()

    async def _hear(self, link: ClusterLink) -> None:
        """Return when the nodes have changed, or a task has been stored that is due soon."""
        while True:
            news = await link.wait_news()
            self.claimer.look()
            if "nodes" in news or "later" in news:
                return

    def _see(self, nodes: Iterable[NodeInfo]) -> None:
        neighbour = self.members.neighbour
        up, down = self.members.see(nodes)
        if self.members.neighbour != neighbour:
            self._vigil.cancel()
        for node in down:
            log.warning("cluster: node %s is down", node.name)
        for node in up:
            log.info("cluster: node %s is up", node.name)
        if up or down:
            self._inlet.nodes_changed(up, down)

    async def _watch(self, link: ClusterLink) -> None:
        """Notice at once when the session of the neighbour ends."""
        while True:
            with trio.CancelScope() as self._vigil:
                neighbour = self.members.neighbour
                if neighbour is None:
                    await trio.sleep_forever()
                else:
                    await link.wait_silent(neighbour.incarnation)
                    await trio.sleep(self._engine.grace)
                    self.hurry()


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
