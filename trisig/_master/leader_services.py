"""Tasks of the application on the one node that leads its cluster: `signals.service("leader")`."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import trio

from trisig._util.backoff import Backoff
from trisig._util.exception_groups import leaves
from trisig._util.ki_protection import ki_protected

from .services import MasterService, start_service

log = logging.getLogger("trisig")


@ki_protected
class LeaderServices:
    """Runs them during each term of this node, and says whether it wants one.

    Args:
        services: async functions of two arguments, the `Master` and the fencing token.
        ended: called when a term has ended here.
        backoff: the pauses before this node leads again after a service has failed.

    Attributes:
        token: of the term whose services run here; None between terms.
        resigns: whether the cluster has to learn that this node does not lead any more.
    """

    def __init__(
        self,
        services: Sequence[MasterService],
        ended: Callable[[], object],
        backoff: Backoff = Backoff(),  # noqa: B008  frozen
    ) -> None:
        self._services = services
        self._term_ended = ended
        self._backoff = backoff
        self.token: int | None = None
        self.resigns = False
        self._failures, self._not_before = 0, math.inf  # until it runs
        self._term = trio.CancelScope()
        self._granted = trio.Event()

    # What the node does

    @property
    def is_candidate(self) -> bool:
        """Whether this node would lead, if nobody does."""
        return self.token is None and not self.resigns and trio.current_time() >= self._not_before

    def begin(self, token: int, until: float) -> None:
        """This node leads: run the services.

        Args:
            token: of the term, larger than all before.
            until: when they must have been cancelled, unless `extend` comes before, by trio's clock.
        """
        log.info("cluster: this node leads, with token %d", token)
        self.token, self._term = token, trio.CancelScope(deadline=until)
        self._granted.set()

    def extend(self, until: float) -> None:
        """The lease was renewed. It comes too late for a term that has been cancelled."""
        self._term.deadline = until

    def lose(self) -> None:
        """Another node may lead."""
        self._term.cancel()

    # What the master does

    async def run(self, master: object) -> None:
        """Run the services whenever this node leads, until cancelled; then another node may lead."""
        if not self._services:
            return
        self._not_before = -math.inf
        try:
            while True:
                await self._granted.wait()
                await self._lead(master)
        finally:
            self._not_before = math.inf
            self._end_term(resigns=True)

    async def _lead(self, master: object) -> None:
        began, error = trio.current_time(), None
        try:
            with self._term:
                await self._serve(master, self.token or 0)
        except* Exception as group:  # noqa: BLE001  whatever it was, the master goes on
            error = next(leaves(group))
        if error is not None:
            self._failures = self._backoff.count(self._failures, trio.current_time() - began)
            pause = self._backoff.pause(self._failures)
            self._not_before = trio.current_time() + pause
            words = "cluster: a service of the leader failed; this node does not lead for %.1f s"
            log.error(words, pause, exc_info=error)
        elif self._term.cancelled_caught:
            log.warning("cluster: this node does not lead any more: its lease was not renewed in time")
        self._end_term(resigns=error is not None)

    def _end_term(self, *, resigns: bool) -> None:
        self._granted = trio.Event()
        if self.token is not None:
            self.token, self.resigns = None, resigns
            self._term_ended()

    async def _serve(self, master: object, token: int) -> None:
        """Run them; this node leads on when all have returned, or another one would run them again."""
        async with trio.open_nursery() as nursery:
            for service in self._services:
                await start_service(nursery, service, master, token)
            await trio.sleep_forever()
