"""Tasks that shall run later: they wait here until they are due, and join the queue of their destination then."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Sequence

import trio

from trisig._model.destination import Destination
from trisig._model.invocation import PLACE, Invocation
from trisig._model.ledger import Ledger
from trisig._model.queue import Queue
from trisig._util.ki_protection import ki_protected

LATER = "later"  # the name of the queue


@ki_protected
class Later(Destination):
    """The tasks that are not due yet, of all destinations.

    Args:
        ledger: the counters to keep.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.queue = Queue(LATER, shared=True, ranked=False)
        self._waiting: list[tuple[float, int, Destination]] = []  # when, the position, and where to; a heap
        self._held: list[tuple[float, int, Destination]] = []  # likewise, of tasks that not every process knows
        self._alarm = trio.CancelScope()

    @property
    def in_flight(self) -> int:
        """None: what is due is handed to another queue."""
        return 0

    @property
    def deliverable(self) -> int:
        """None: nothing but time brings it on, and a shutdown does not wait for that."""
        return 0

    def accept(self, invocations: Sequence[Invocation], due: float, destination: Destination) -> None:
        """Take over tasks.

        Args:
            invocations: the tasks.
            due: when they shall run, in seconds since the epoch.
            destination: who shall run them.
        """
        for invocation in invocations:
            heapq.heappush(self._waiting, self._accept(invocation, due, destination))

    def _accept(self, invocation: Invocation, due: float, destination: Destination) -> tuple[float, int, Destination]:
        position = self.queue.reach
        self._ledger.accept_tasks(self.queue, [invocation], due, destination.name)
        # In the time that no clock change moves: a delay stays what it is.
        return trio.current_time() + due - time.time(), position, destination

    def hold(self, invocations: Sequence[Invocation], due: float, destination: Destination) -> None:
        """Take over tasks that cannot run before `release`, whenever they are due."""
        self._held += [self._accept(invocation, due, destination) for invocation in invocations]

    def release(self) -> None:
        """All that is held can run."""
        self._waiting += self._held
        self._held.clear()
        heapq.heapify(self._waiting)
        self.deliver()

    def deliver(self) -> None:
        """Set the alarm for the first that is due."""
        self._alarm.deadline = self._waiting[0][0] if self._waiting else math.inf

    async def watch(self) -> None:
        """Hand on what is due, until cancelled."""
        while True:
            with self._alarm:
                await trio.sleep_forever()
            self._alarm = trio.CancelScope()
            self._hand_on()
            self.deliver()

    def _hand_on(self) -> None:
        now = trio.current_time()
        while self._waiting and self._waiting[0][0] <= now:
            _, position, destination = heapq.heappop(self._waiting)
            self.queue.take_at(position)
            self._ledger.move(self.queue, position, PLACE, destination.queue)
            destination.deliver()
