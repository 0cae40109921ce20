"""The destination that a process fills.

A process is given what its own queue holds, up to its window, and of the queues that it shares what `pool` says.

A process rings its bell only while its slot has requested it: while something is queued that it could take next.
Otherwise the master reads its marks when the next signal comes, which saves a wake-up for each signal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

import trio

from trisig._ipc.cargo import CargoSender
from trisig._ipc.shared_memory import (
    DROPS,
    EVENTS,
    FREE_CORES,
    FREE_UNTIL,
    LIMIT,
    NO_LIMIT,
    PACE,
    SENT,
    WANTED,
    SlotMemory,
)
from trisig._model.dead_letter import DeadLetter
from trisig._model.destination import Destination
from trisig._model.event import Event
from trisig._model.lane import Lane
from trisig._model.probe import Probe
from trisig._model.process import Kind, process_name
from trisig._model.queue import Queue
from trisig._util.ki_protection import ki_protected

from .delivery import Delivery

AHEAD_NS = 1_000_000  # of work that a process may hold of a shared queue
_MOST_AHEAD = 16  # tasks that one process may hold of its own queue, if it has some with a priority
DEEPEST = 1024  # signals of shared queues that one process may hold


class Shared(Protocol):
    """A queue that several processes serve, as each of them knows it: a pool."""

    queue: Queue
    idle: dict[Slot, None]
    depth: int
    has_unread: bool

    def deliver(self) -> None: ...
    def note_idle(self, slot: Slot) -> None: ...
    def note_busy(self, slot: Slot) -> None: ...
    def note_gone(self, slot: Slot) -> None: ...
    def note_pace(self, nanoseconds: int) -> None: ...
    def reset_pace(self) -> None: ...


@ki_protected
class Slot(Destination):
    """One place in the topology, whichever process fills it at the moment.

    Args:
        kind, number: which place.
        memory: what it shares with its process.
        delivery: what destinations share.

    Attributes:
        pools: the pools that it is a member of.
        lane: what the process was given; None while there is no process that is ready.
        active: False while the worker is cheaped.
        last_progress: when the process last finished something (`trio.current_time`); None while it has nothing to do.
        progressed_at: the same, while it has nothing to do too; when it became ready, if it has finished nothing.
        reclaimed: unread signals were taken back from it, and it has not rung since.
        bell_requested: the process rings when it has finished something.
        timeouts: how many processes were killed here because of a handler that took too long.
    """

    def __init__(self, kind: Kind, number: int, memory: SlotMemory, delivery: Delivery) -> None:
        self.kind: Kind = kind
        self.number = number
        self.memory = memory
        self.queue = Queue(process_name(kind, number))
        self.pools: list[Shared] = []
        self.lane: Lane | None = None
        self.active = True
        self.last_progress: float | None = None
        self.progressed_at = 0.0
        self.reclaimed = False
        self.bell_requested = True
        self.timeouts = 0
        self._delivery = delivery
        self._lane_writer = self._lane_reader = -1
        self._reserve = 0  # how much of the room is for the queues that it shares
        self._cargo: CargoSender | None = None
        self._withheld = b""  # bytes of the lane whose cargo is not in its pipe yet; nothing is sent behind them
        self._done = self._failed = 0  # by earlier processes

    @property
    def in_flight(self) -> int:
        """How many signals the process holds or runs."""
        return self.lane.in_flight if self.lane else 0

    @property
    def deliverable(self) -> int:
        """What is queued, unless the worker is cheaped."""
        return len(self.queue) if self.active else 0

    def account(self) -> tuple[int, int]:
        """(done, failed) by all the processes that filled the slot."""
        lane = self.lane
        return (self._done + lane.done, self._failed + lane.failed) if lane else (self._done, self._failed)

    # The life of a process

    def attach(self, lane_writer: int, lane_reader: int, cargo: CargoSender) -> None:
        """A process has become ready: give it its signals.

        Args:
            lane_writer: the pipe that it reads.
            lane_reader: the master's copy of the reading end, for taking back what the process has not read.
            cargo: takes the arguments of tasks.
        """
        self._cargo, self._withheld = cargo, b""
        self._reserve = DEEPEST if self.pools else 0
        memory = self.memory
        self.lane = Lane(self._delivery.ledger, self.name, memory.marks, memory.finished, Probe(memory.probe))
        self._lane_writer, self._lane_reader = lane_writer, lane_reader
        self.progressed_at = trio.current_time()
        self.reclaimed, self.bell_requested = False, True
        self._note_idle()
        self.deliver()
        if self.pools:
            self._delivery.given.set()  # others may hold what this one could start

    def detach(self, *, blame: bool) -> list[DeadLetter]:
        """The process is gone and reaped: everything it had not finished goes back, in order.

        Args:
            blame: whether what it was running may have ended it.
        """
        for pool in self.pools:
            pool.note_gone(self)
        lane, self.lane = self.lane, None
        self._cargo, self._withheld = None, b""
        if lane is None:
            return []
        letters = lane.died(blame=blame)
        self._delivery.take_returned(lane)
        self._done += lane.done
        self._failed += lane.failed
        for pool in self.pools:
            pool.deliver()
        self._delivery.passed()
        return letters

    # Signals out

    def deliver_new(self, signal: bytes, event: Event | None = None) -> bool:
        """Accept one signal and write it, if none waits before it and the process has room."""
        lane = self.lane
        if lane is None or self._is_shut(lane) or len(self.queue) or self.queue.resting or lane.room <= self._reserve:
            return False
        lane.send_new(self.queue, signal, event)
        self._write(lane, signal)
        return True

    @property
    def is_free(self) -> bool:
        """Whether the process has begun all that it was sent, and can begin more; its marks are not read for that."""
        lane = self.lane
        if lane is None or not lane.room or self.reclaimed or self._is_shut(lane) or len(self.queue):
            return False
        return lane.has_passed_all and self.memory.words[FREE_CORES] > 0  # in this order: a core is told before a mark

    def deliver_shared(self, queue: Queue, signal: bytes, event: Event | None) -> None:
        """Accept one signal of a queue that others serve too, and write it; the process `is_free`.

        Args:
            queue: which is empty.
            signal: its byte.
            event: what raised it; None if nobody may ask.
        """
        lane = self.lane
        assert lane is not None, "a slot without a process is not free"
        self.last_progress = None  # it has had nothing to do, although its marks were not read
        lane.send_new(queue, signal, event)
        self._write(lane, signal)

    def deliver(self) -> None:
        """Give the process what it may hold."""
        lane = self.lane
        if lane is None or self._is_shut(lane):
            if not self.active:
                self._delivery.short.set()
            return
        data = b""
        if self.queue.has_priorities:  # what is in the lane cannot be overtaken
            self._reserve = self.memory.window - self._ahead()
        reserve = self._reserve
        if len(self.queue) > lane.room - reserve and not self.bell_requested:
            self.read_marks()
        while len(self.queue) and (room := lane.room - reserve) > 0:
            data += lane.send(self.queue, room)
        if self.pools and not self.reclaimed:
            data += self._take_from_pools(lane)
        if data:
            self._write(lane, data)
        if len(self.queue) or self.queue.held:
            request_bells((self,), self._delivery)

    def _ahead(self) -> int:
        """How much the process may hold of a queue in which tasks overtake."""
        words = self.memory.words
        if not words[FREE_CORES]:
            return 0
        # One sample says little: after quick tasks slow ones may come.
        return max(1, min(AHEAD_NS // words[PACE], _MOST_AHEAD)) if words[PACE] else 1

    def _take_from_pools(self, lane: Lane) -> bytes:
        data = b""
        if not self.memory.words[FREE_CORES]:
            self._note_busy()
            return data
        for pool in self.pools:
            while len(pool.queue) and (room := min(pool.depth - lane.shared, lane.room)) > 0:
                data += lane.send(pool.queue, room)
        if data:
            self._delivery.given.set()
        return data

    def _is_shut(self, lane: Lane) -> bool:
        """Whether nothing may be written to the lane now."""
        return bool(self._withheld) or lane.is_limited

    def _write(self, lane: Lane, data: bytes) -> None:
        if self.last_progress is None:
            self.last_progress = trio.current_time()
        self._delivery.busy.set()
        self._note_busy()
        if lane.load or (self._cargo is not None and self._cargo.kept):
            self._withheld = data
            if not self._load(lane):
                return  # until `cargo_flowed`
            self._withheld = b""
        if lane.had_events:
            self.memory.words[EVENTS] = 1  # before the write: whoever reads the byte knows
        try:
            written = os.write(self._lane_writer, data)
        except BlockingIOError:
            written = 0
        if written < len(data):  # a pipe cut short by the user's quota for pipes: the next bell goes on
            lane.unwritten(len(data) - written)
            self._forget(lane)
        # After the write: a process that reads in between only takes less at a time.
        self.memory.words[FREE_UNTIL] = lane.free_until
        self.memory.words[SENT] = lane.sent

    def _load(self, lane: Lane) -> bool:
        """Send the arguments of tasks; whether they are in their pipe."""
        assert self._cargo is not None
        self._cargo.load(lane.load)
        lane.load.clear()
        return self._cargo.flush()

    def cargo_flowed(self, complete: bool) -> None:  # noqa: FBT001  what the pipe reports
        """The process has read some of its cargo, which did not fit into the pipe.

        Args:
            complete: whether all of it is in the pipe now.
        """
        lane = self.lane
        if lane is None:
            return
        if self._withheld:
            self.last_progress = trio.current_time()
        if complete:
            if self._withheld:
                data, self._withheld = self._withheld, b""
                self._write(lane, data)
            self.deliver()

    def reclaim_unread(self, lane: Lane) -> bool:
        """Take back what the process has not read, and put it into its queues again; whether there was any.

        The kernel hands each byte of a pipe to one reader only, and what is read here is always the end of what was
        written. So both sides know who has what.
        """
        if lane.is_limited:
            return False
        withheld, self._withheld = self._withheld, b""
        if withheld:
            lane.unwritten(len(withheld))
        self._set_limit(lane)
        try:
            unread = len(os.read(self._lane_reader, self.memory.window))
        except BlockingIOError:
            unread = 0
        sent = lane.sent
        again = lane.unsend(unread)
        self._forget(lane)
        if again:
            os.write(self._lane_writer, again)
        self.memory.words[SENT] = lane.sent
        self.reclaimed = bool(withheld or again) or lane.sent < sent
        self._lift_limit(lane)
        return self.reclaimed or lane.is_limited

    def _set_limit(self, lane: Lane) -> None:
        """Keep the process from starting what it has read and others could run."""
        words = self.memory.words
        if words[DROPS]:
            words[LIMIT] = lane.limit(words[DROPS]) + 1
            # Word, barrier, marks: the process has either seen the word, or stored its mark before the look at it.
            self._delivery.barrier()

    def _lift_limit(self, lane: Lane) -> None:
        words = self.memory.words
        if lane.lift_limit(words[DROPS]):
            self._forget(lane)
            words[SENT] = lane.sent
            words[LIMIT] = NO_LIMIT

    def _forget(self, lane: Lane) -> None:
        if lane.unload and self._cargo is not None:
            for number in lane.unload:
                self._cargo.forget(number)
            lane.unload.clear()
            self._cargo.flush()  # or it is pending, and nothing goes to the lane before it

    # Progress in

    def rang(self) -> None:
        """The process has rung: read its marks and give it more."""
        lane = self.lane
        if lane is None:
            return
        self.reclaimed = False
        self.read_marks()
        if lane.busy:
            self.last_progress = trio.current_time()
        elif self.pools:
            self._delivery.given.set()
        self.deliver()
        if self.bell_requested and not self._has_more():
            self.bell_requested = False
            self.memory.words[WANTED] = 0

    def request_bell(self) -> None:
        """Have the process ring when it has finished something; for `request_bells`."""
        self.bell_requested = True
        self.memory.words[WANTED] = 1

    def read_marks(self) -> None:
        """Read the marks of the process, whether it has rung or not."""
        lane = self.lane
        if lane is None:
            return
        self._lift_limit(lane)
        passed = lane.read_marks()
        if passed == 1:
            self._date_back(lane)
        self._delivery.take_returned(lane)
        if passed:
            self._note_progress()
        if not (lane.busy or self.reclaimed or lane.is_limited) and self.memory.words[FREE_CORES]:
            self._note_idle()
        if passed or self.bell_requested:
            self._delivery.passed()

    def _date_back(self, lane: Lane) -> None:
        """An async handler that alone was passed since the last progress has run since then, not since this look."""
        if self.last_progress is not None and lane.base - 1 in lane.aside_since:
            lane.aside_since[lane.base - 1] -= int((trio.current_time() - self.last_progress) * 1e9)

    def handlers(self) -> list[tuple[int | str, float]]:
        """The signals, or names of tasks, whose handlers run, and for how many seconds; looks have to have seen it."""
        lane = self.lane
        if lane is None:
            return []
        plain = 0.0 if self.last_progress is None else trio.current_time() - self.last_progress
        return [*lane.running_aside(), *((name, plain) for name in lane.started())]

    def _has_more(self) -> bool:
        if self._delivery.wants_every_bell or (self.lane is not None and self.lane.is_limited):
            return True
        if len(self.queue) or self.queue.held:
            return True
        return any(len(pool.queue) or pool.queue.held or pool.has_unread for pool in self.pools)

    def _note_progress(self) -> None:
        self.last_progress = self.progressed_at = trio.current_time()
        if pace := self.memory.words[PACE]:  # 0 until the process has measured
            for pool in self.pools:
                pool.note_pace(pace)

    def _note_idle(self) -> None:
        self.last_progress = None
        for pool in self.pools:
            pool.note_idle(self)

    def _note_busy(self) -> None:
        for pool in self.pools:
            pool.note_busy(self)


def request_bells(slots: Iterable[Slot], delivery: Delivery) -> None:
    """From now on these ring whenever they have finished something, and get what they can take now.

    `Slot.deliver` calls this and is called by it. That ends, because a slot is marked before its `deliver` is called,
    and one that is marked is left out.
    """
    quiet = [slot for slot in slots if slot.lane is not None and not slot.bell_requested]
    for slot in quiet:
        slot.request_bell()
    if quiet:
        # Word, barrier, marks: a process has either seen the word, or stored its marks before the look at them.
        delivery.barrier()
    for slot in quiet:
        slot.read_marks()
        slot.deliver()
