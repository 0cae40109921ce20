"""The accounting: where every accepted signal is. Pure: bytes in, bytes out, no clock and no I/O.

A signal is one byte. `Queue` holds those that wait for one destination; each has a position, which it keeps
for life, so that one which comes back from a dead process is put where it was. `Lane` is what one
incarnation of a process has been given and has not finished: at most `WINDOW`, in the order in which they
were written to its pipe, numbered from 0 by both sides. The process marks its progress in a ring of bytes
in shared memory, one byte a number:

    WAITING -> STARTED -> DONE or FAILED         a plain handler
    WAITING -> ASIDE, later an entry in `finished`   an async handler, which may outlive the window
    WAITING -> RETURNED                          no handler here

Nothing is forgotten before its mark was read. When the process dies, what is marked finished is done, what
was started is blamed, and the rest goes back.
"""

from __future__ import annotations

import binascii
from collections import deque
from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import Protocol

from ._queue import Queue

WINDOW = 4096  # marks in a ring, and the most signals that one process holds
FINISHED = 2 * WINDOW  # entries of the list of finished async handlers: the window and as many set aside

WAITING, STARTED, DONE, FAILED, RETURNED, ASIDE = range(6)
_PASSED = bytes((DONE, FAILED, RETURNED, ASIDE))
_UNTOUCHED = bytes((WAITING,))


def finished_entry(number: int, state: int) -> int:
    """An async handler that has finished, as a word for the list of them: number, state, and a CRC in 16 bits."""
    word = number << 2 | state
    return word << 16 | binascii.crc_hqx(word.to_bytes(6, "big"), 0)


def read_entry(entry: int) -> tuple[int, int]:
    """The (number, state) in such a word; for those who trust it."""
    return entry >> 18, entry >> 16 & 3


def is_sound_entry(entry: int) -> bool:
    """Whether a word is what `finished_entry` made, or 0."""
    return not binascii.crc_hqx(entry.to_bytes(8, "big"), 0)


@dataclass(slots=True)
class Flight:
    """Signals on their way: where they came from and how the pipe numbered the first of them."""

    queue: Queue
    start: int
    data: bytes
    number: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A signal that was given up because its handler ended its process too often.

    Attributes:
        signum: the signal.
        destination: the queue that it waited in.
        attempts: how many processes its handler has ended.
    """

    signum: int
    destination: str
    attempts: int


class Counts:
    """Signals by number and in total."""

    __slots__ = ("by_signum", "total")

    def __init__(self) -> None:
        self.total = 0
        self.by_signum = [0] * 256

    def add(self, data: bytes) -> None:
        size = len(data)
        self.total += size
        if size == 1 or data.count(data[0]) == size:
            self.by_signum[data[0]] += size
            return
        for signum in set(data):
            self.by_signum[signum] += data.count(signum)


class Record(Protocol):
    """Keeps what happens to signals, so that another master can go on (`_journal`)."""

    def append(self, name: str, start: int, data: bytes) -> None: ...
    def done(self, name: str, start: int, count: int) -> None: ...
    def move(self, name: str, position: int, to: str, start: int, data: bytes) -> None: ...


class LaneRecord(Protocol):
    """Keeps what the numbers of a lane stand for, so that another master can read its marks (`_flights`)."""

    def sent(self, number: int, name: str, start: int, count: int) -> None: ...
    def aside(self, number: int, name: str, position: int) -> None: ...
    def ended(self, number: int) -> None: ...


class Ledger:
    """The counters of one master, and the one place where a signal changes its state.

    `accepted == done + dead_lettered + pending` at any time; `failed` is a part of `done`.
    """

    def __init__(self, max_attempts: int = 3, record: Record | None = None) -> None:
        self._record = record
        self.max_attempts = max_attempts
        self.accepted = Counts()
        self.done = Counts()
        self.failed = Counts()
        self.dead_lettered = Counts()
        self.redelivered = 0

    @property
    def pending(self) -> int:
        """Accepted and not finished: queued or in flight."""
        return self.accepted.total - self.done.total - self.dead_lettered.total

    def accept(self, queue: Queue, data: bytes) -> None:
        self.accepted.add(data)
        if self._record is not None:
            self._record.append(queue.name, queue.reach, data)
        queue.append(data)

    def move(self, queue: Queue, position: int, data: bytes, to: Queue) -> None:
        """Put a signal that was taken from one queue at the end of another."""
        queue.attempts.pop(position, None)
        if self._record is not None:
            self._record.move(queue.name, position, to.name, to.reach, data)
        to.append(data)

    def leave(self, queue: Queue, start: int, data: bytes) -> None:
        """Signals are no longer the business of a queue."""
        if self._record is not None:
            self._record.done(queue.name, start, len(data))

    def finish(self, queue: Queue, start: int, data: bytes) -> None:
        self.leave(queue, start, data)
        self.done.add(data)
        if queue.attempts:
            for position in range(start, start + len(data)):
                queue.attempts.pop(position, None)

    def blame(self, queue: Queue, position: int, signum: int) -> DeadLetter | None:
        """Count an unfinished start: put the signal back, or give it up."""
        attempts = queue.attempts.get(position, 0) + 1
        if attempts < self.max_attempts:
            queue.attempts[position] = attempts
            self.put_back(queue, position, bytes((signum,)))
            return None
        queue.attempts.pop(position, None)
        self.leave(queue, position, bytes((signum,)))
        self.dead_lettered.add(bytes((signum,)))
        return DeadLetter(signum, queue.name, attempts)

    def excuse(self, queue: Queue, position: int, signum: int) -> None:
        """Put an unfinished start back without counting it."""
        self.put_back(queue, position, bytes((signum,)))

    def put_back(self, queue: Queue, start: int, data: bytes) -> None:
        self.redelivered += len(data)
        queue.put_back(start, data)


class Lane:
    """What one incarnation of a process holds.

    Args:
        ledger: the counters to keep.
        marks: the ring of `WINDOW` state bytes, all `WAITING`; the process writes them.
        finished: `FINISHED` words, all 0, in which the process lists finished async handlers (`finished_entry`),
            and after them one word with how many it has listed so far.
        record: told of what is about to be sent, and of async handlers.
    """

    def __init__(
        self,
        ledger: Ledger,
        marks: memoryview | bytearray,
        finished: MutableSequence[int] | memoryview,
        record: LaneRecord | None = None,
    ) -> None:
        self._ledger = ledger
        self._record = record
        self._marks = marks
        self._finished = finished
        self._flights: deque[Flight] = deque()
        self.aside: dict[int, tuple[Queue, int, int]] = {}
        self._listed = 0
        self.base = 0  # the oldest number whose mark was not read
        self.sent = 0  # the number that the next signal gets
        self.free_until = 0  # numbers below it came from this process's own queue
        self.shared = 0  # how many of those in flight came from a queue that others serve too
        self.done = 0
        self.failed = 0
        self.returned: list[tuple[Queue, int, bytes]] = []

    @property
    def room(self) -> int:
        return WINDOW - (self.sent - self.base)

    @property
    def in_flight(self) -> int:
        return self.sent - self.base + len(self.aside)

    @property
    def busy(self) -> bool:
        """Whether the process holds signals that it has not yet passed; handlers set aside do not count."""
        return self.sent != self.base

    def send(self, queue: Queue, limit: int) -> bytes:
        """Move up to `limit` signals from a queue into flight; return the bytes to write to the pipe."""
        start, data = queue.take(min(limit, self.room))
        self._flights.append(Flight(queue, start, data, self.sent))
        if self._record is not None:
            self._record.sent(self.sent, queue.name, start, len(data))
        if queue.shared:
            self.shared += len(data)
        elif not self.shared:
            self.free_until = self.sent + len(data)
        self.sent += len(data)
        return data

    def settle(self) -> int:
        """Read the marks: retire what has passed, in order. Returns how many were passed."""
        passed = 0
        while self.base != self.sent:
            index = self.base % WINDOW
            if self._marks[index] not in _PASSED:
                break
            states = bytes(self._marks[index : index + min(self.sent - self.base, WINDOW - index)])
            count = len(states) - len(states.lstrip(_PASSED))
            if count:
                # In this order: who goes on with a journal after a kill in between finds it done twice, not never.
                self._pass(states[:count])
                self._marks[index : index + count] = bytes(count)
                passed += count
            if count < len(states):
                break
        self._collect()
        return passed

    def _pass(self, states: bytes) -> None:
        while states:
            flight = self._flights[0]
            size = len(flight.data)
            now, states = states[:size], states[size:]
            self.base += len(now)
            if flight.queue.shared:
                self.shared -= len(now)
            self._retire(flight, now)
            if len(now) == size:
                self._flights.popleft()
            else:
                flight.start += len(now)
                flight.number += len(now)
                flight.data = flight.data[len(now) :]

    def _retire(self, flight: Flight, states: bytes) -> None:
        if states.count(DONE) == len(states):
            self._finish(flight.queue, flight.start, flight.data[: len(states)])
            return
        for offset, state in enumerate(states):
            position, signum = flight.start + offset, flight.data[offset]
            self._one(state, flight.queue, position, signum, flight.number + offset)

    def _one(self, state: int, queue: Queue, position: int, signum: int, number: int) -> None:
        if state == ASIDE:
            self.aside[number] = (queue, position, signum)
            if self._record is not None:
                self._record.aside(number, queue.name, position)
        elif state == RETURNED:
            self.returned.append((queue, position, bytes((signum,))))
        else:
            self._finish(queue, position, bytes((signum,)), failed=state == FAILED)

    def _finish(self, queue: Queue, start: int, data: bytes, *, failed: bool = False) -> None:
        self._ledger.finish(queue, start, data)
        self.done += len(data)
        if failed:
            self._ledger.failed.add(data)
            self.failed += len(data)

    def _collect(self) -> None:
        """Read the list of finished async handlers, as far as their starts have been read."""
        listed = self._finished[FINISHED]
        while self._listed != listed:
            number, state = read_entry(self._finished[self._listed % FINISHED])
            held = self.aside.pop(number, None)
            if held is None:
                return  # its start is behind one that is still waiting to be read
            queue, position, signum = held
            self._finish(queue, position, bytes((signum,)), failed=state == FAILED)
            if self._record is not None:
                self._record.ended(number)
            self._listed += 1

    def unsend(self, count: int) -> bytes:
        """Take back the last `count` signals, which were read out of the pipe unseen by the process.

        Those numbered below `free_until` must be written again at once, since the process may count on
        them; they stay in flight and are returned.
        """
        keep = max(0, min(count, self.free_until - (self.sent - count)))
        self._take_back(count - keep)
        return self._tail(keep)

    def unwritten(self, count: int) -> None:
        """Take back the last `count` signals, which were never written to the pipe."""
        self._take_back(count)
        self.free_until = min(self.free_until, self.sent)

    def _take_back(self, count: int) -> None:
        while count:
            flight = self._flights[-1]
            size = min(count, len(flight.data))
            split = len(flight.data) - size
            flight.queue.put_back(flight.start + split, flight.data[split:])
            flight.data = flight.data[:split]
            self.sent -= size
            count -= size
            if flight.queue.shared:
                self.shared -= size
            if not split:
                self._flights.pop()

    def _tail(self, count: int) -> bytes:
        held = b"".join(flight.data for flight in self._flights)
        return held[len(held) - count :]

    def waiting(self) -> int:
        """How many of the signals from shared queues the process has not started."""
        marks, waiting = self._marks, 0
        for flight in reversed(self._flights):
            if marks[(flight.number + len(flight.data) - 1) % WINDOW] != WAITING:
                return waiting
            if flight.queue.shared:
                waiting += sum(marks[(flight.number + k) % WINDOW] == WAITING for k in range(len(flight.data)))
        return waiting

    def running(self) -> list[int]:
        """The signals whose handlers are running."""
        started = [signum for _, _, signum in self.aside.values()]
        for flight in self._flights:
            for offset, signum in enumerate(flight.data):
                state = self._marks[(flight.number + offset) % WINDOW]
                if state == WAITING:
                    return started
                if state == STARTED:
                    started.append(signum)
        return started

    def died(self, *, blame: bool = True) -> list[DeadLetter]:
        """The process is gone and reaped: keep what is done, blame what was started, put back the rest.

        Args:
            blame: False if it is known what ended the process, and that it was no handler; nothing is blamed then.
        """
        self.settle()
        blamed = []
        for flight in reversed(self._flights):
            blamed += self._died_in(flight)
        self._flights.clear()
        self._marks[:] = bytes(WINDOW)
        self.base = self.sent
        self.shared = 0
        self._collect()
        blamed += self.aside.values()
        self.aside.clear()
        judge = self._ledger.blame if blame else self._ledger.excuse
        return [letter for started in sorted(blamed, key=lambda held: held[1]) if (letter := judge(*started))]

    def _died_in(self, flight: Flight) -> list[tuple[Queue, int, int]]:
        blamed: list[tuple[Queue, int, int]] = []
        states = bytes(self._marks[(flight.number + k) % WINDOW] for k in range(len(flight.data)))
        # Nothing was started behind the last mark: that part goes back whole, a full window of it in one step.
        begun = len(states.rstrip(_UNTOUCHED))
        if begun < len(states):
            self._ledger.put_back(flight.queue, flight.start + begun, flight.data[begun:])
        for offset, state in enumerate(states[:begun]):
            position, signum = flight.start + offset, flight.data[offset]
            if state == STARTED:
                blamed.append((flight.queue, position, signum))
            elif state == WAITING:
                self._ledger.put_back(flight.queue, position, bytes((signum,)))
            else:
                self._one(state, flight.queue, position, signum, flight.number + offset)
        return blamed
