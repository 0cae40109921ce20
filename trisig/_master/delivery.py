"""What the destinations of one master share while they deliver: the ledger, back-pressure, bells."""

from __future__ import annotations

from collections.abc import Sized

import trio

from trisig._ipc.gate import Gate
from trisig._linux.membarrier import global_barrier
from trisig._model.lane import Lane
from trisig._model.ledger import Ledger
from trisig._model.waiters import Grant, Waiters
from trisig._util.ki_protection import ki_protected


@ki_protected
class Delivery:
    """What slots, pools and waiters share.

    Args:
        ledger: the counters.
        gate: paused while `max_queued` signals or more are pending.
        max_queued: that number.
        max_queued_bytes: of the arguments of pending tasks, at which it is paused too.
        grant: called when a waiting task is granted a signal.

    Attributes:
        waiters: who takes the signals without a handler.
        busy: set when signals are handed to a process; whoever watches for that replaces it.
        short: set when signals wait that no process can take now; likewise.
        claims: what this node of a cluster has claimed: each end of those is waited for.
        every_bell: every process rings whenever it has finished something, until the end.
        barrier: orders what the master and its children store and load.
        given: set when a process was given signals that others could run too; likewise.
    """

    def __init__(self, ledger: Ledger, gate: Gate, max_queued: int, max_queued_bytes: int, grant: Grant) -> None:
        self.ledger = ledger
        self.gate = gate
        self.waiters = Waiters(ledger, grant, self.passed)
        self.busy = trio.Event()
        self.short = trio.Event()
        self.given = trio.Event()
        self._max_queued = max_queued
        self._max_queued_bytes = max_queued_bytes
        self._progress = trio.Event()
        self._resumed = trio.Event()
        self.every_bell = False
        self.claims: Sized = ()
        self.barrier = global_barrier

    # Back-pressure

    @property
    def room(self) -> int:
        """How many more signals may be pending; none while there are too many bytes of arguments."""
        if self.ledger.argument_bytes >= self._max_queued_bytes:
            return 0
        return self._max_queued - self.ledger.pending

    @property
    def _has_room(self) -> bool:
        few = self.ledger.pending <= self._max_queued * 7 // 8
        return few and self.ledger.argument_bytes <= self._max_queued_bytes * 7 // 8

    def passed(self) -> None:
        """Something has come to its end: wake who waits for that, and resume raising if there is room again."""
        self._progress.set()
        if self.gate.paused and self._has_room:
            self.gate.resume()
            self._resumed.set()

    async def wait_progress(self) -> None:
        """Wait until some process has finished something or has ended."""
        self._progress = trio.Event()
        await self._progress.wait()

    async def wait_room(self) -> None:
        """Wait until signals may be raised again."""
        while self.gate.paused:
            self._resumed = trio.Event()
            await self._resumed.wait()

    # Signals that come back

    def take_returned(self, lane: Lane) -> None:
        """Signals for which a process had no handler wait for whoever calls `wait`."""
        for queue, position, signum in lane.returned:
            self.ledger.move(queue, position, signum, self.waiters.queue)
        if lane.returned:
            lane.returned.clear()
            self.waiters.deliver()

    # Bells

    @property
    def wants_every_bell(self) -> bool:
        """Whether each process shall ring whenever it has finished something."""
        return self.every_bell or self.gate.paused or bool(self.claims)
