"""What a node does with what the cluster has for it: it claims, settles, and tells others of what they may claim."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import trio

from .claims import Claim, Claims
from .engine import Claimed, ClusterLink
from .inlet import Inlet

log = logging.getLogger("trisig")

# What is done in quick succession would slow down those who store: a statement each time, and all nodes awake.
_RESTS = 4  # times as long as a look that has found less than there was room for, or as an announcement
_LONGEST_REST_S = 0.02  # and between two settlements
_LONGEST_LOOK_S = 0.005  # that a store waits for, to be one that keeps
_MANY = 100  # that have ended: they are settled without a rest


class Claimer:
    """Claims and settles.

    Args:
        inlet: the master.
        least: how many signals it can handle at once.
        checks_apart: seconds between two checks that it knows all that it has.

    Attributes:
        claims: what it has claimed.
        takes: whether it takes over anything more.
    """

    def __init__(self, inlet: Inlet, least: int, checks_apart: float) -> None:
        self._inlet = inlet
        self.claims = Claims(least, self._has_ended)
        self._stirred = trio.Event()
        self._looks = True  # whether the cluster may have something to claim
        self._looking = self._keeping = False  # whether such a statement runs
        self._looked = trio.Event()  # replaced when one begins
        self._rests_until = self._settles_at = self._announces_at = -math.inf
        self._checks_apart, self._checks_at = checks_apart, math.inf
        self.takes, self._leaving = True, False
        self._announced: set[str] = set()

    def stir(self) -> None:
        """There is something to do."""
        self._stirred.set()

    def _has_ended(self) -> None:
        """A claim has ended: the first one that is not settled, or one of many, or it makes room."""
        if self._looks or self.claims.unsettled in (1, _MANY):
            self.stir()

    def look(self) -> None:
        """The cluster may have something to claim."""
        self._looks = True
        self.stir()

    def stop(self) -> None:
        """Take over nothing more."""
        self.takes = False

    def leave(self) -> None:
        """Return from `run` once all is settled."""
        self._leaving = True
        self.stir()

    def announce(self, words: Collection[str]) -> None:
        """Tell the nodes something, soon."""
        if words:
            self._announced.update(words)
            self.stir()

    # What is raised here

    def spare(self) -> int:
        """How many signals that are raised here this node may keep; none while others may have waited for longer."""
        if self._looks or self._looking or not self.takes or self._leaving:
            return 0
        return self.claims.spare(trio.current_time())

    async def wait_looked(self) -> None:
        """Wait while it looks at what the cluster has, but not for long: it may wait for a lock."""
        if self._looking:
            with trio.move_on_after(_LONGEST_LOOK_S):
                await self._looked.wait()

    @contextmanager
    def _look_on(self) -> Iterator[None]:
        """A look at the table runs meanwhile: nothing is kept."""
        self._looking, self._looked = True, trio.Event()
        try:
            yield
        finally:
            self._looking = False
            self._looked.set()

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """A statement runs meanwhile that stores and claims; what it has claimed is held in the end."""
        self._keeping = True
        try:
            yield
        finally:
            self._keeping = False

    def check(self) -> None:
        """Give back soon what this node does not know that it has."""
        self._checks_at = -math.inf
        self.stir()

    # What the cluster has

    async def run(self, link: ClusterLink, incarnation: str) -> None:
        """Announce, settle and claim, until it is time to leave."""
        self._checks_at = trio.current_time() + self._checks_apart
        while True:
            self._stirred = trio.Event()
            await self._tell(link)
            settled = self._may_settle and await self.settle(link)
            if self._leaving and not settled:
                return
            more = False if self._leaving else await self._claim(link, incarnation)
            if not (settled or more):
                # Only when all has been said: what is unknown then is what an answer was lost of.
                await self._check(link, incarnation)
                with trio.CancelScope(deadline=self._goes_on_at):
                    await self._stirred.wait()

    @property
    def _may_settle(self) -> bool:
        return self._leaving or self.claims.unsettled >= _MANY or trio.current_time() >= self._settles_at

    @property
    def _goes_on_at(self) -> float:
        """When it goes on with what it has put off."""
        put_off = [self._announces_at] if self._announced else []
        if self.claims.unsettled:
            put_off.append(self._settles_at)
        if self._looks and self._rests_until > trio.current_time():
            put_off.append(self._rests_until)
        return min(put_off, default=math.inf)

    async def _tell(self, link: ClusterLink) -> None:
        # After the commit of what it is about: within that transaction each raiser would wait for a lock of the whole
        # server. Should this node die in between, the others look on their own.
        began = trio.current_time()
        if self._announced and (began >= self._announces_at or self._leaving):
            words, self._announced = self._announced, set()
            try:
                await link.announce(words)
            except BaseException:
                self._announced |= words
                raise
            self._announces_at = _rested(began)

    async def settle(self, link: ClusterLink) -> bool:
        """Say what has become of what was claimed; whether there was anything."""
        settled = self.claims.take_settled()
        if settled is None:
            return False
        try:
            await link.settle(*settled)
        except BaseException:
            self.claims.put_back(*settled)
            raise
        self._settles_at = trio.current_time() + _LONGEST_REST_S
        self._inlet.passed()
        return True

    async def _check(self, link: ClusterLink, incarnation: str) -> None:
        """Now and then, give back what was stored or claimed by a statement whose answer never came."""
        if trio.current_time() >= self._checks_at and not self._keeping:
            self._checks_at = trio.current_time() + self._checks_apart
            with self._look_on():  # what is kept meanwhile may be among the rows, and its answer not here
                await link.keep_only(incarnation, lambda: self.claims.ids)

    async def _claim(self, link: ClusterLink, incarnation: str) -> bool:
        """Claim what there is room for; whether there may be more."""
        began = trio.current_time()
        if not (self._looks and self.takes) or began < self._rests_until:
            return False
        room, signums, tasks = self.claims.room(began), self._inlet.signums, self._inlet.tasks
        if not room or not (signums or tasks):
            return False
        self._looks = False  # before the look: what is announced from now on is another one
        with self._look_on():
            rows = await link.claim(incarnation, signums, tasks, room)
        now = trio.current_time()
        self._rests_until = -math.inf if len(rows) == room else _rested(began)
        self._inlet.accept_claims(self._held(incarnation, rows, now))
        self._looks = self._looks or len(rows) == room or any(row.task is not None for row in rows)
        return self._looks

    def _held(self, incarnation: str, rows: Sequence[Claimed], now: float) -> list[Claim]:
        """The claims that may run; the others are given up."""
        claims = [self.claims.hold(incarnation, row, now) for row in rows]
        for claim in claims:
            if claim.row.attempts > self._inlet.max_attempts:
                reason = f"its node died {claim.row.attempts - 1} times"
                log.error("cluster: %s is dead-lettered: %s", claim.row, reason)
                self.claims.settle(claim, reason)
        return [claim for claim in claims if claim.row.attempts <= self._inlet.max_attempts]


def _rested(began: float) -> float:
    """When something that began then, and is done now, may be done again."""
    now = trio.current_time()
    return now + min(_LONGEST_REST_S, (now - began) * _RESTS)
