"""From raised bytes to the processes that must run them: table, ledger, lanes.

Every destination has a queue of its own, so one that stops delays nobody. A process is given what its own
queue holds, up to its window, and of a queue that it shares with others only so much as it is likely to
finish within a millisecond: one signal at a time when handlers are slow, hundreds when they are fast. Each process
tells what a signal takes it, measured where the handler runs: seen from here, one that waits for a CPU would look
slow, and many processes on few cores would be given signals one by one. `_silence` corrects it where it was wrong.

A process rings only while its slot is `wanted`: while something is queued that it could take next. Otherwise the
master reads its marks when the next signal comes, and each signal costs one wake-up less. The master begins to
want by storing the word, a barrier in all children, and a look at the marks: a child either had seen the word
or had stored its marks before that look.

All of it is synchronous: whoever reads raised bytes pushes them through to the pipes in the same step. That
saves a task switch per signal over a channel with a task behind it, and leaves nothing half-done when a task
is cancelled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import trio

from . import _kernel
from ._interrupt import uninterrupted
from ._ledger import DeadLetter, Lane, LaneRecord, Ledger
from ._queue import Queue
from ._raiser import Gate
from ._routes import Route, Routes
from ._shared import FREE_CORES, FREE_UNTIL, PACE, SENT, WANTED
from ._silence import Silence
from ._slots import DEEPEST, WAIT, Pool, Slot, make_pools, queue_names, resolve
from ._table import Table
from ._targets import Topology
from ._waits import Grant, WaitDesk

_WAIT: Route = (WAIT,)


@uninterrupted
class Dispatcher:
    """Owns the queues and lanes of one master.

    Args:
        topology, slots: which processes there are.
        table: the signal table; call `refresh` when it has changed.
        gate: closed while `max_queued` signals or more are pending.
        grant: told when a waiting task is granted a signal.
        nudge: makes the named process ring, if it can.
    """

    def __init__(
        self,
        topology: Topology,
        slots: Iterable[Slot],
        table: Table,
        ledger: Ledger,
        gate: Gate,
        *,
        max_queued: int,
        grant: Grant,
        nudge: Callable[[str], None],
    ) -> None:
        self.ledger = ledger
        self.slots = {slot.name: slot for slot in slots}
        self.desk = WaitDesk(ledger, grant, self._passed)
        self._topology = topology
        self._table = table
        self._gate = gate
        self._max_queued = max_queued
        self._pools = make_pools(topology, self.slots)
        self.silence = Silence(self._pools.values(), self, nudge)
        self._wants_all = False
        self._barrier = _kernel.global_barrier
        self.busy = trio.Event()  # set when signals are handed out; whoever watches replaces it
        self._progress = trio.Event()
        self._routes = Routes(self._route)

    # Which queues there are

    def _route(self, signum: int) -> Route:
        entry = self._table[signum]
        if entry is None:
            return _WAIT
        return (entry.owner,) if entry.owner else resolve(entry.target, self._topology, self.slots)

    def refresh(self) -> None:
        """The table or the set of active workers has changed."""
        self._routes.refresh()

    # Signals in

    def accept(self, signals: bytes, accepted: Callable[[], None] | None = None) -> None:
        """Take raised signals, in order; nothing is lost from here on.

        Args:
            signals: a byte each.
            accepted: called when all of them are in their queues and none is on its way yet.
        """
        names: list[str] = []
        for route, part in self._routes.part(signals):
            for name in route:
                self.ledger.accept(self._queue(name), part)
            names += route
        if accepted is not None:
            accepted()
        for name in names:
            self._deliver(name)
        if self.ledger.pending >= self._max_queued and not self._gate.closed:
            self._gate.shut()
            self.want_all()

    def restore(self, name: str, signals: bytes) -> bool:
        """Take over signals that an earlier master had in a queue; False if there is no such queue now."""
        if name not in queue_names(self._topology):
            return False
        self.ledger.accept(self._queue(name), signals)
        return True

    def _queue(self, name: str) -> Queue:
        place = self.slots.get(name) or self._pools.get(name)
        return place.queue if place else self.desk.queue

    def _deliver(self, name: str) -> None:
        if (slot := self.slots.get(name)) is not None:
            self.fill(slot)
        elif (pool := self._pools.get(name)) is not None:
            self.serve(pool)
        else:
            self.desk.match()

    def serve(self, pool: Pool) -> None:
        """Give what waits in a pool to its idle members."""
        while len(pool.queue) and (slot := next(iter(pool.idle), None) or self.find_idle(pool)):
            self.fill(slot)
        if len(pool.queue):
            self.want(pool.members)

    def find_idle(self, pool: Pool) -> Slot | None:
        """A member that has become idle without ringing."""
        for slot in list(pool.given):
            if not slot.wanted:
                self.look(slot)
                if slot in pool.idle:
                    return slot
        return None

    def fill(self, slot: Slot) -> None:
        """Give a process what it may hold."""
        lane = slot.lane
        if lane is None:
            return
        data = b""
        reserve = DEEPEST if slot.pools else 0
        if len(slot.queue) > lane.room - reserve and not slot.wanted:
            self.look(slot)
        while len(slot.queue) and (room := lane.room - reserve) > 0:
            data += lane.send(slot.queue, room)
        if slot.pools and not slot.robbed:
            data += self._share(slot, lane)
        if data:
            self._write(slot, lane, data)
        if len(slot.queue):
            self.want((slot,))

    def _share(self, slot: Slot, lane: Lane) -> bytes:
        data = b""
        if not slot.memory.words[FREE_CORES]:
            self._taken(slot)
            return data
        for pool in slot.pools:
            while len(pool.queue) and (room := min(pool.depth - lane.shared, lane.room)) > 0:
                data += lane.send(pool.queue, room)
        if data:
            self.silence.watch_soon()
        return data

    def _write(self, slot: Slot, lane: Lane, data: bytes) -> None:
        if not slot.heard_at:
            slot.heard_at = trio.current_time()
        self.busy.set()
        self._taken(slot)
        try:
            written = os.write(slot.pipe, data)
        except BlockingIOError:
            written = 0
        if written < len(data):  # a pipe cut short by the user's quota for pipes: the next bell goes on
            lane.unwritten(len(data) - written)
        # After the write: a process that reads in between only takes less at a time.
        slot.memory.words[FREE_UNTIL] = lane.free_until
        slot.memory.words[SENT] = lane.sent

    # Progress out

    def attach(self, slot: Slot, pipe: int, back: int, record: LaneRecord | None = None) -> None:
        """A process has become ready: give it its signals through `pipe`; `back` reads the same pipe."""
        slot.lane = Lane(self.ledger, slot.memory.marks, slot.memory.finished, record)
        slot.pipe, slot.back = pipe, back
        slot.robbed, slot.heard_at, slot.wanted = False, 0.0, True
        self._free(slot)
        self.fill(slot)

    def detach(self, slot: Slot, *, blame: bool) -> list[DeadLetter]:
        """Its process is gone and reaped: everything it had not finished goes back, in order.

        Args:
            slot: its place.
            blame: whether what it was running may have ended it.
        """
        for pool in slot.pools:
            pool.idle.pop(slot, None)
            pool.given.pop(slot, None)
        lane, slot.lane = slot.lane, None
        if lane is None:
            return []
        letters = lane.died(blame=blame)
        self._returned(lane)
        slot.done += lane.done
        slot.failed += lane.failed
        for pool in slot.pools:
            self.serve(pool)
        self._passed()
        return letters

    def heard(self, slot: Slot) -> None:
        """A process has rung: read its marks and give it more."""
        lane = slot.lane
        if lane is None:
            return
        slot.robbed = False
        self.look(slot)
        if lane.busy:
            slot.heard_at = trio.current_time()
        elif slot.pools:
            self.silence.watch_soon()
        self.fill(slot)
        if slot.wanted and not self._has_more(slot):
            self._want_no_more(slot)

    def look(self, slot: Slot) -> None:
        """Read the marks of a process, whether it has rung or not."""
        lane = slot.lane
        if lane is None:
            return
        passed = lane.settle()
        self._returned(lane)
        if passed:
            self._judge(slot)
        if not lane.busy and slot.memory.words[FREE_CORES] and not slot.robbed:
            self._free(slot)
        if passed or slot.wanted:
            self._passed()

    def _judge(self, slot: Slot) -> None:
        slot.heard_at = trio.current_time()
        if pace := slot.memory.words[PACE]:  # 0 before the first one is told
            for pool in slot.pools:
                pool.judge(pace)

    def _free(self, slot: Slot) -> None:
        slot.heard_at = 0.0
        for pool in slot.pools:
            pool.given.pop(slot, None)
            pool.idle.setdefault(slot)

    def _taken(self, slot: Slot) -> None:
        for pool in slot.pools:
            pool.idle.pop(slot, None)
            pool.given.pop(slot, None)
            pool.given[slot] = None

    # Who has to ring

    def want_all(self) -> None:
        """From now on every process shall ring whenever it has finished something."""
        self.want(self.slots.values())

    def keep_wanting(self) -> None:
        """The same, until the end."""
        self._wants_all = True
        self.want_all()

    def want(self, slots: Iterable[Slot]) -> None:
        """From now on these shall ring whenever they have finished something."""
        quiet = [slot for slot in slots if slot.lane is not None and not slot.wanted]
        for slot in quiet:
            slot.wanted = True
            slot.memory.words[WANTED] = 1
        if quiet:
            self._barrier()
        for slot in quiet:
            self.look(slot)
            self.fill(slot)

    def _has_more(self, slot: Slot) -> bool:
        if self._wants_all or self._gate.closed:
            return True
        return bool(len(slot.queue) or any(len(pool.queue) or pool.held for pool in slot.pools))

    def _want_no_more(self, slot: Slot) -> None:
        slot.wanted = False
        slot.memory.words[WANTED] = 0

    def _returned(self, lane: Lane) -> None:
        """Signals that a process had no handler for wait for whoever asks."""
        for queue, position, signum in lane.returned:
            self.ledger.move(queue, position, signum, self.desk.queue)
        if lane.returned:
            lane.returned.clear()
            self.desk.match()

    def _passed(self) -> None:
        self._progress.set()
        if self._gate.closed and self.ledger.pending <= self._max_queued * 7 // 8:
            self._gate.open()

    def settle(self) -> None:
        """Read all marks now, for a report."""
        for slot in self.slots.values():
            self.look(slot)

    # What there is

    def deliverable(self) -> int:
        """How many pending signals could still be delivered if nobody waits for the unregistered."""
        kept = len(self.desk.queue) + sum(len(slot.queue) for slot in self.slots.values() if not slot.active)
        for pool in self._pools.values():
            if not any(slot.active for slot in pool.members):
                kept += len(pool.queue)
        return self.ledger.pending - kept

    async def progress(self) -> None:
        """Wait until some process has finished something or has ended."""
        self._progress = trio.Event()
        await self._progress.wait()

    def waiting(self) -> int:
        """How many tasks wait for a signal without a handler."""
        return self.desk.waiting

    def in_flight(self) -> int:
        """How many signals were handed to a process, or to a waiting task, and are not done."""
        lanes = sum(slot.lane.in_flight for slot in self.slots.values() if slot.lane)
        return lanes + self.desk.in_flight

    def queued(self) -> int:
        """How many signals wait in the master."""
        pools = sum(len(pool.queue) for pool in self._pools.values())
        return pools + len(self.desk.queue) + sum(len(slot.queue) for slot in self.slots.values())
