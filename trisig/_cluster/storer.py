"""What a node does with what is raised here: it stores it, and keeps what it can handle at once."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

import trio

from trisig._model.targets import ANY_NODE, EVERY_NODE

from .claimer import Claimer
from .claims import Claim
from .engine import ClusterLink, Outbound
from .inlet import Inlet
from .outgoing import Outgoing

_MOST_NAMES = 8  # of nodes that are told one by one
# Of trio's loop, until who has raised something has gone on, and its next signal is on the way to the database.
_TURNS = 3
# Of one sender: each leaves a dead version of its row, and the next one passes over those that no vacuum may remove.
_MOST_BATCHES = 1000


class Storer:
    """Stores batches, in order.

    Args:
        inlet: the master.
        claimer: takes over what is kept here, and tells the nodes of the rest.
        name: of this node.
        looks_apart: seconds between two looks that nodes take without being told.

    Attributes:
        outgoing: what waits; set before `run`.
    """

    outgoing: Outgoing

    def __init__(self, inlet: Inlet, claimer: Claimer, name: str, looks_apart: float) -> None:
        self._inlet = inlet
        self._claimer = claimer
        self._name = name
        self._looks_apart = looks_apart
        self._sender, self._stored_batches = uuid.uuid4().hex, 0
        self._raised, self._has_kept = trio.Event(), trio.Event()
        self._kept: list[Claim] = []  # not handed on yet
        self._leaving = False

    def stir(self) -> None:
        """There is something to store."""
        self._raised.set()

    def leave(self) -> None:
        """Return from `run` once all is stored."""
        self._leaving = True
        self.stir()

    async def run(self, link: ClusterLink, incarnation: str, all_stored: trio.Event) -> None:
        """Store what is raised, until it is time to leave and all is stored."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._hand_on_when_kept)
                await self._store_all(link, incarnation)
                nursery.cancel_scope.cancel()
        finally:
            self._hand_on()
        all_stored.set()

    async def _store_all(self, link: ClusterLink, incarnation: str) -> None:
        while True:
            self._raised = trio.Event()
            if self.outgoing.has_batch:
                await self._store(link, incarnation)
            elif self._leaving:
                return
            else:
                await self._raised.wait()

    async def _store(self, link: ClusterLink, incarnation: str) -> None:
        batch = self.outgoing.batch(time.time())
        kept = await self._keep(link, batch, incarnation) if await self._fits(batch) else False
        new = not kept and await link.put(self._sender, self._stored_batches + 1, batch)
        self._stored_batches += 1
        if self._stored_batches == _MOST_BATCHES:
            self._sender, self._stored_batches = uuid.uuid4().hex, 0
        self.outgoing.stored()
        self._inlet.passed()
        if new:
            self._tell(batch, time.time())
        if not self._claimer.takes:
            self._hand_on()  # the master waits for what it still has to run

    async def _fits(self, batch: Sequence[Outbound]) -> bool:
        """Whether this node can handle all of it itself: then no other has to wake up."""
        mine = (ANY_NODE, self._name)
        if not batch or any(one.once is not None or one.due or one.node not in mine for one in batch):
            return False
        # What is stored while it looks makes it look again: of the next ones none would be kept, and so on.
        await self._claimer.wait_looked()
        return len(batch) <= self._claimer.spare()

    async def _keep(self, link: ClusterLink, batch: Sequence[Outbound], incarnation: str) -> bool:
        with self._claimer.keeping():
            rows = await link.keep(self._sender, self._stored_batches + 1, batch, incarnation)
            if rows is None:
                self._claimer.check()  # a batch that is stored already, by a statement whose answer never came, is here
                return False
            now = trio.current_time()
            self._kept += [self._claimer.claims.hold(incarnation, row, now) for row in rows]
        self._has_kept.set()
        return True

    async def _hand_on_when_kept(self) -> None:
        while True:
            self._has_kept = trio.Event()
            await self._has_kept.wait()
            for _ in range(_TURNS):
                await trio.lowlevel.checkpoint()
            self._hand_on()

    def _hand_on(self) -> None:
        kept, self._kept = self._kept, []
        self._inlet.accept_claims(kept)

    def _tell(self, batch: Sequence[Outbound], now: float) -> None:
        """Have those look at the table for whom there is something new."""
        if any(now < one.due < now + self._looks_apart for one in batch):
            self._claimer.announce(["later"])
        nodes = {one.node for one in batch if one.due <= now}
        if nodes & {ANY_NODE, EVERY_NODE, self._name}:
            self._claimer.look()
        if nodes & {ANY_NODE, EVERY_NODE} or len(nodes) > _MOST_NAMES:
            self._claimer.announce(["signals"])
        else:
            self._claimer.announce([f"signals {name}" for name in nodes - {self._name}])
