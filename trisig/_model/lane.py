"""What one incarnation of a process has been given and has not finished. Pure.

A lane holds at most `WINDOW` signals, in the order in which they were written to the pipe of the process. Both sides
number them from 0. The process marks its progress in a ring of bytes in shared memory, one byte a number:

    WAITING -> STARTED -> DONE or FAILED                        a plain handler
    WAITING -> STARTED -> ASIDE, later an entry in `finished`   an async handler, which may outlive the window
    WAITING -> STARTED -> RETURNED                              no handler here
    WAITING -> STARTED -> WAITING                               taken back by the master right then, see `unsend`

Nothing is forgotten before its mark was read. When the process dies, signals marked finished are done, a started one
is blamed, and the rest goes back.
"""

from __future__ import annotations

import binascii
from collections import deque
from collections.abc import MutableSequence

import msgspec

from .dead_letter import DeadLetter
from .event import EVENT_BYTES, Event
from .invocation import Invocation
from .ledger import Ledger
from .probe import PROBE_WORDS, Probe, row_of_task
from .queue import Queue

WINDOW = 4096  # marks in a ring, and the most signals that one process holds
FINISHED = 2 * WINDOW  # entries of the list of finished async handlers: the window and as many set aside

LOAD = 131_072  # bytes of arguments that go to a process in one step, unless a single task has more

WAITING, STARTED, DONE, FAILED, RETURNED, ASIDE = range(6)
_PASSED = bytes((DONE, FAILED, RETURNED, ASIDE))
_UNTOUCHED = bytes((WAITING,))


def finished_entry(number: int, state: int) -> int:
    """An async handler that has ended, as a word for the list of them: number, state, and a CRC in 16 bits.

    The state is `DONE`, `FAILED`, or `STARTED` for one that was cut off because its process ends.
    """
    word = number << 2 | state
    return word << 16 | binascii.crc_hqx(word.to_bytes(6, "big"), 0)


def read_entry(entry: int) -> tuple[int, int]:
    """The (number, state) in such a word; for those who trust it."""
    return entry >> 18, entry >> 16 & 3


def is_sound_entry(entry: int) -> bool:
    """Whether a word is what `finished_entry` made, or 0."""
    return not binascii.crc_hqx(entry.to_bytes(8, "big"), 0)


class InFlight(msgspec.Struct):
    """Signals on their way: where they came from and how the pipe numbered the first; whether any was claimed."""

    queue: Queue
    start: int
    data: bytes
    number: int
    claimed: bool = False


class Lane:
    """What one incarnation of a process holds.

    Args:
        ledger: the counters to keep; its instrument hears of what is about to be sent, and of async handlers.
        process: the name of the process.
        marks: the ring of state bytes, all `WAITING`; the process writes them. Its size is the window: the most
            signals that the process holds.
        finished: words, all 0, in which the process lists finished async handlers (`finished_entry`), twice as many
            as marks, and after them one word with how many it has listed so far.
        probe: what of all that it is sent is measured; None for nothing.

    Attributes:
        aside: async handlers that run, by number: (queue, position, signum).
        aside_since: the time in nanoseconds at which each of them was seen there.
        base: the oldest number whose mark was not read.
        sent: the number that the next signal gets.
        free_until: numbers below it came from the queue that this process alone serves, and are nobody else's.
        shared: how many of those in flight came from a queue that others serve too.
        claimed: how many came with some from the cluster, where others may run them, from the queue of this process.
        had_events: whether any signal had an event that its handler may ask for.
        done, failed: what this incarnation has handled.
        returned: signals without a handler here, for the caller of `read_marks` to take: (queue, position, signum).
        load: tasks among what was sent, by number, for the caller of `send` to take; whoever writes the bytes to the
            pipe must have written these to the process before.
        unload: the numbers of tasks that were taken back, for the caller to take; the process must hear of them
            before anything else gets these numbers.
    """

    def __init__(
        self,
        ledger: Ledger,
        process: str,
        marks: memoryview | bytearray,
        finished: MutableSequence[int] | memoryview,
        probe: Probe | None = None,
    ) -> None:
        self.process = process
        self._ledger = ledger
        self._instrument = ledger.instrument
        self._marks = marks
        self._window = len(marks)
        self._finished = finished
        self._probe = Probe([0] * PROBE_WORDS) if probe is None else probe
        self._in_flight: deque[InFlight] = deque()
        self.aside: dict[int, tuple[Queue, int, int]] = {}
        self.aside_since: dict[int, int] = {}
        self._listed = 0
        self.base = 0
        self.sent = 0
        self.free_until = 0
        self.shared = self.claimed = 0
        self.had_events = False
        self.done = 0
        self.failed = 0
        self.returned: list[tuple[Queue, int, bytes]] = []
        self.load: dict[int, Invocation] = {}
        self.unload: list[int] = []
        self._limit: int | None = None
        self._drops = 0  # when the limit was set
        self._must_drop = False  # some of what was taken back had been read

    @property
    def room(self) -> int:
        """How many more signals fit into the window."""
        return self._window - (self.sent - self.base)

    @property
    def in_flight(self) -> int:
        """How many signals the process holds or runs."""
        return self.sent - self.base + len(self.aside)

    @property
    def busy(self) -> bool:
        """Whether the process holds signals that it has not yet passed; handlers set aside do not count."""
        return self.sent != self.base

    def send(self, queue: Queue, limit: int) -> bytes:
        """Move up to `limit` signals from a queue into flight; return the bytes to write to the pipe."""
        limit = min(limit, self.room)
        start, data = queue.take(queue.within(limit, LOAD) if queue.invocations else limit)
        claimed = not queue.shared and queue.has_claims(start, len(data))
        self._in_flight.append(InFlight(queue, start, data, self.sent, claimed))
        if self._instrument is not None:
            self._instrument.sent(self.process, self.sent, queue.name, start, data)
        if queue.shared:
            self.shared += len(data)
        elif claimed:
            self.claimed += len(data)
        elif not (self.shared or self.claimed):
            self.free_until = self.sent + len(data)
        if queue.invocations:
            tasks = queue.invocations
            for position in range(start, start + len(data)):
                if position in tasks:
                    self.load[self.sent + position - start] = tasks[position]
        if queue.notes:
            self._note_sent(queue, start, len(data))
        if queue.probe is not None and queue.probe[0] < start + len(data):
            self._send_probe(queue, start, data)
        self.sent += len(data)
        return data

    def _send_probe(self, queue: Queue, start: int, data: bytes) -> None:
        """Measure the one that the queue has marked, if it is among these; one that is gone is forgotten."""
        assert queue.probe is not None
        position, since = queue.probe
        if position < start and queue.has_priorities:
            return  # overtaken
        queue.probe = None
        if position < start or not self._probe.is_free:
            return
        invocation = queue.invocations.get(position)
        row = data[position - start] if invocation is None else row_of_task(invocation.task)
        self._probe.mark(self.sent + position - start, row, since)

    def _note_sent(self, queue: Queue, start: int, count: int) -> None:
        for number, position in enumerate(range(start, start + count), self.sent):
            if (note := queue.notes.get(position)) is not None:
                note.holder, note.number = self, number
                self.had_events |= note.event is not None

    def send_new(self, queue: Queue, signal: bytes, event: Event | None = None) -> None:
        """Accept one signal and move it into flight: `Ledger.accept` and `send` in one step.

        Args:
            queue: it is empty, and there is room; none of the number has its turn there. If others serve it too, this
                process has passed all that it was sent.
            signal: the byte to write to the pipe.
            event: what raised it; None if nobody may ask.
        """
        self._ledger.accepted.add(signal)
        position, number = queue.skip(), self.sent
        if self._instrument is not None:
            self._instrument.queued(queue.name, position, signal)
            self._instrument.sent(self.process, number, queue.name, position, signal)
        self._in_flight.append(InFlight(queue, position, signal, number))
        turns = self._ledger.turns
        if event is not None or signal[0] in turns.limited:
            note = queue.note(position)
            note.event, note.holder, note.number = event, self, number
            turns.joined(queue, position, signal)
        if event is not None:
            self.had_events = True
            self._ledger.argument_bytes += EVENT_BYTES
        if position >= queue.next_probe and self._probe.is_free:
            now = self._ledger.monotonic_ns()
            self._probe.mark(number, signal[0], now)
            queue.probed(now)
        self.sent = number + 1
        if queue.shared:
            self.shared += 1
        elif not (self.shared or self.claimed):
            self.free_until = self.sent

    # Progress

    @property
    def has_passed_all(self) -> bool:
        """Whether the process has passed all that it was sent, which is as far as its last mark."""
        return self.base == self.sent or self._marks[(self.sent - 1) % self._window] in _PASSED

    def read_marks(self) -> int:
        """Read the marks and retire what the process has passed, in order. Returns how many signals that were."""
        passed = 0
        while self.base != self.sent:
            index = self.base % self._window
            if self._marks[index] not in _PASSED:
                break
            states = bytes(self._marks[index : index + min(self.sent - self.base, self._window - index)])
            count = len(states) - len(states.lstrip(_PASSED))
            if count:
                # In this order: a successor that reads the journal after a kill in between finds a signal done
                # twice. The other way round it would find it done never.
                self._retire(states[:count])
                self._marks[index : index + count] = bytes(count)
                passed += count
            if count < len(states):
                break
        self._retire_async()
        return passed

    def _retire(self, states: bytes) -> None:
        while states:
            flight = self._in_flight[0]
            size = len(flight.data)
            now, states = states[:size], states[size:]
            self.base += len(now)
            if flight.queue.shared:
                self.shared -= len(now)
            elif flight.claimed:
                self.claimed -= len(now)
            self._retire_part(flight, now)
            if len(now) == size:
                self._in_flight.popleft()
            else:
                flight.start += len(now)
                flight.number += len(now)
                flight.data = flight.data[len(now) :]

    def _retire_part(self, flight: InFlight, states: bytes) -> None:
        if states.count(DONE) == len(states):
            self._finish(flight.number, flight.queue, flight.start, flight.data[: len(states)])
            return
        for offset, state in enumerate(states):
            position, signum = flight.start + offset, flight.data[offset]
            self._retire_one(state, flight.number + offset, flight.queue, position, signum)

    def _retire_one(self, state: int, number: int, queue: Queue, position: int, signum: int) -> None:
        if state == ASIDE:
            self.aside[number] = (queue, position, signum)
            self.aside_since[number] = self._ledger.monotonic_ns()
            if self._instrument is not None:
                self._instrument.started(self.process, number, queue.name, position, signum)
        elif state == RETURNED:
            self.returned.append((queue, position, bytes((signum,))))
        else:
            self._finish(number, queue, position, bytes((signum,)), failed=state == FAILED)

    def _finish(self, number: int, queue: Queue, start: int, data: bytes, *, failed: bool = False) -> None:
        self._ledger.finish(queue, start, data, self.process, number, failed=failed)
        self.done += len(data)
        if failed:
            self.failed += len(data)

    def _retire_async(self) -> None:
        """Read the list of finished async handlers, as far as their starts have been read."""
        most = len(self._finished) - 1
        listed = self._finished[most]
        while self._listed != listed:
            number, state = read_entry(self._finished[self._listed % most])
            held = self.aside.pop(number, None)
            if held is None:
                return  # its start is behind one that is still waiting to be read
            del self.aside_since[number]
            queue, position, signum = held
            if state == STARTED:  # cut off, because its process ends for another reason
                self._ledger.excuse(queue, position, signum)
            else:
                self._finish(number, queue, position, bytes((signum,)), failed=state == FAILED)
            self._listed += 1

    # Taking back

    def limit(self, drops: int) -> int:
        """Begin to take back what the process has read and others could run; `unsend` and `lift_limit` go on.

        Args:
            drops: how often the process has dropped what it held.

        Returns:
            The number from which on the process must start nothing.
        """
        self._limit, self._drops = max(self.base, self.free_until), drops
        return self._limit

    @property
    def is_limited(self) -> bool:
        """Whether the process may still hold what was taken back. Nothing may be sent to it meanwhile."""
        return self._limit is not None

    def unsend(self, unread: int) -> bytes:
        """Take back what others could run: what is in the pipe and, under a limit, what the process has not started.

        Args:
            unread: how many of the last signals were read out of the pipe, unseen by the process.

        Returns:
            Those of them which are numbered below `free_until`. They stay in flight and must be written again at once,
            since the process may count on them.
        """
        keep = max(0, min(unread, self.free_until - (self.sent - unread)))
        taken = max(unread - keep, self._unstarted())
        self._must_drop = taken > unread - keep
        self._take_back(taken)
        return self._last(keep)

    def lift_limit(self, drops: int) -> bool:
        """Whether the process has dropped all that was taken back. What is sent then it may start.

        Args:
            drops: as for `limit`, now.
        """
        if self._limit is None:
            return False
        if drops == self._drops and (self._must_drop or self._limited()[-1:] not in _PASSED):
            # The process may have marked the last signal as started and not looked at the limit yet. Or it has taken
            # that mark back, and is about to throw away what is in the pipe.
            return False
        self._take_back(self._unstarted())  # what it has dropped last, which looked started
        self._limit = None
        return True

    def _unstarted(self) -> int:
        states = self._limited()
        return len(states) - len(states.rstrip(_UNTOUCHED))

    def _limited(self) -> bytes:
        """The marks of what the limit is about."""
        if self._limit is None:
            return b""
        first = max(self._limit, self.base)
        marks, index = bytes(self._marks), first % self._window
        return (marks[index:] + marks[:index])[: max(0, self.sent - first)]

    def unwritten(self, count: int) -> None:
        """Take back the last `count` signals, which were never written to the pipe."""
        self._take_back(count)
        self.free_until = min(self.free_until, self.sent)

    def _take_back(self, count: int) -> None:
        while count:
            flight = self._in_flight[-1]
            size = min(count, len(flight.data))
            split = len(flight.data) - size
            if flight.queue.invocations:
                self._unload(flight, split)
            flight.queue.put_back(flight.start + split, flight.data[split:])
            flight.data = flight.data[:split]
            self.sent -= size
            count -= size
            if flight.queue.shared:
                self.shared -= size
            elif flight.claimed:
                self.claimed -= size
            if not split:
                self._in_flight.pop()
        self._probe.taken_back(self.sent)

    def _unload(self, flight: InFlight, split: int) -> None:
        for offset in range(split, len(flight.data)):
            if flight.start + offset in flight.queue.invocations and not self.load.pop(flight.number + offset, None):
                self.unload.append(flight.number + offset)

    def _last(self, count: int) -> bytes:
        held = b"".join(flight.data for flight in self._in_flight)
        return held[len(held) - count :]

    # What the process does

    def event_of(self, number: int) -> Event | None:
        """What raised a signal whose handler runs; None if nobody knows, or if it has ended."""
        if number in self.aside:
            queue, position, _ = self.aside[number]
            return queue.event_at(position)
        for flight in self._in_flight:
            if flight.number <= number < flight.number + len(flight.data):
                return flight.queue.event_at(flight.start + number - flight.number)
        return None

    def has_started(self, number: int) -> bool:
        """Whether the handler of a signal that the process was sent has begun, and perhaps ended."""
        return number < self.base or self._marks[number % self._window] != WAITING

    def waiting(self) -> int:
        """How many of the signals from shared queues the process has not started."""
        marks, window, waiting = self._marks, self._window, 0
        for flight in reversed(self._in_flight):
            if marks[(flight.number + len(flight.data) - 1) % window] != WAITING:
                return waiting
            if flight.queue.shared:
                waiting += sum(marks[(flight.number + k) % window] == WAITING for k in range(len(flight.data)))
        return waiting

    def running(self) -> list[int | str]:
        """The signals whose handlers are running, and the names of the tasks that are."""
        return [*(self._ledger.name_at(*held) for held in self.aside.values()), *self.started()]

    def running_aside(self) -> list[tuple[int | str, float]]:
        """The same of async handlers that were seen to run, each with the seconds since then."""
        now = self._ledger.monotonic_ns()
        return [
            (self._ledger.name_at(*held), (now - self.aside_since[number]) / 1e9) for number, held in self.aside.items()
        ]

    def started(self) -> list[int | str]:
        """The same of those that have begun and were not set aside."""
        started: list[int | str] = []
        for flight in self._in_flight:
            for offset, signum in enumerate(flight.data):
                state = self._marks[(flight.number + offset) % self._window]
                if state == WAITING:
                    return started
                if state == STARTED:
                    started.append(self._ledger.name_at(flight.queue, flight.start + offset, signum))
        return started

    def died(self, *, blame: bool = True) -> list[DeadLetter]:
        """The process is gone and reaped: keep what is done, blame what was started, put back the rest.

        Args:
            blame: False if it is known what ended the process, and that it was no handler; nothing is blamed then.
        """
        self.read_marks()
        blamed = []
        for flight in reversed(self._in_flight):
            blamed += self._died_in(flight)
        self._in_flight.clear()
        self.load.clear()
        self._marks[:] = bytes(self._window)
        self.base = self.sent
        self.shared = 0
        self._retire_async()
        blamed += self.aside.values()
        self.aside.clear()
        self.aside_since.clear()
        judge = self._ledger.blame if blame else self._ledger.excuse
        # By position: those that go back must not overtake each other.
        judged = [judge(*started) for started in sorted(blamed, key=lambda held: held[1])]
        return [letter for letter in judged if letter]

    def _died_in(self, flight: InFlight) -> list[tuple[Queue, int, int]]:
        blamed: list[tuple[Queue, int, int]] = []
        states = bytes(self._marks[(flight.number + k) % self._window] for k in range(len(flight.data)))
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
                self._retire_one(state, flight.number + offset, flight.queue, position, signum)
        return blamed
