"""Any course of events for the accounting, with processes that are stopped between any two of their stores.

`Machine` plays the master: it raises, fills, settles, robs and buries, as the dispatcher does. `Process` plays a
child: it reads its pipe in order, in bites as large as the master's word allows, and marks its progress one store at
a time; it can be killed between any two, and can go on between any two of the master's own reads. Both are followed
by a model which knows every signal by the queue and the position that it was accepted at.

The window is a few signals long here, so that every run goes round the ring many times.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trisig import _ledger
from trisig._ledger import (
    ASIDE,
    DONE,
    FAILED,
    RETURNED,
    STARTED,
    WAITING,
    DeadLetter,
    Lane,
    Ledger,
    Queue,
    finished_entry,
)

WINDOW = 6
SEALED = 8
SOME = st.binary(max_size=4)  # what a process does meanwhile
MANY = st.binary(min_size=3, max_size=24)
OUTCOMES = (DONE, ASIDE, FAILED, ASIDE, DONE)
KINDS = 4


@dataclass(frozen=True, order=True)
class Signal:
    """One accepted copy of a signal, known by its place for life."""

    queue: str
    position: int
    signum: int


class Marks(bytearray):
    """The ring; what `meanwhile` does happens after the master has read and before it clears."""

    meanwhile: Callable[[], None] | None = None

    def __setitem__(self, where: int | slice, what: int | bytes) -> None:  # type: ignore[override]
        if isinstance(where, slice) and self.meanwhile:
            self.meanwhile()
        super().__setitem__(where, what)  # type: ignore[index, assignment]


class Finished(list[int]):
    """The list of finished async handlers; what `meanwhile` does happens after the marks were read."""

    meanwhile: Callable[[], None] | None = None

    def __getitem__(self, index: int) -> int:  # type: ignore[override]
        if index == _ledger.FINISHED and self.meanwhile:
            self.meanwhile()
        return super().__getitem__(index)


class Book:
    """What a journal is told: which positions of which queue are anybody's business still."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, int], int] = {}

    def append(self, name: str, start: int, data: bytes) -> None:
        new = {(name, start + k): signum for k, signum in enumerate(data)}
        assert not new.keys() & self.open.keys(), "one place for two signals"
        self.open.update(new)

    def done(self, name: str, start: int, count: int) -> None:
        for position in range(start, start + count):
            assert (name, position) in self.open, "closed twice, or never opened"
            del self.open[name, position]

    def move(self, name: str, position: int, to: str, start: int, data: bytes) -> None:
        self.append(to, start, data)
        self.done(name, position, 1)


class Notes:
    """What a journal is told of one lane: which places its numbers stand for, and which handlers run aside."""

    def __init__(self) -> None:
        self.places: dict[int, tuple[str, int]] = {}
        self.asides: dict[int, tuple[str, int]] = {}

    def sent(self, number: int, name: str, start: int, count: int) -> None:
        self.places.update({number + k: (name, start + k) for k in range(count)})

    def aside(self, number: int, name: str, position: int) -> None:
        assert number not in self.asides, "noted twice"
        self.asides[number] = (name, position)

    def ended(self, number: int) -> None:
        del self.asides[number]


class Process:
    """One incarnation of a child, and what the model knows of its lane."""

    def __init__(self, lane_class: type[Lane], ledger: Ledger) -> None:
        self.marks = Marks(_ledger.WINDOW)
        self.finished = Finished([0] * (_ledger.FINISHED + 1))
        self.notes = Notes()
        self.lane = lane_class(ledger, self.marks, self.finished, self.notes)
        self.pipe: deque[int] = deque()
        self.word = 0  # FREE_UNTIL, as the master has published it
        self.bite = 0  # how many bytes it is about to read
        self.taken = 0
        self.batch: deque[int] = deque()
        self.running: int | None = None
        self.asides: list[int] = []
        self.listed: list[int] = []
        self.state: dict[int, int] = {}  # the last mark of every number
        self.ended: dict[int, int] = {}  # how the handlers that were set aside ended
        self.held: dict[int, Signal] = {}  # sent and not retired, by number
        self.aside: dict[int, Signal] = {}
        self.collected = 0

    # What the child does, a store at a time

    def work(self, choices: Iterable[int]) -> None:
        for choice in choices:
            steps = self.steps()
            if steps:
                steps[choice % len(steps)](choice)

    def steps(self) -> list[Callable[[int], None]]:
        steps: list[Callable[[int], None]] = []
        if self.running is not None:
            steps += [self.end] * 2
        elif self.batch:
            steps += [self.start, self.start, self.start, self.refuse]
        elif self.bite:
            steps += [self.read] * 2
        elif self.pipe:
            steps += [self.look] * 2
        return [*steps, self.list_one] if self.asides else steps

    def look(self, _choice: int) -> None:
        own = self.word - self.taken
        self.bite = max(1, own)

    def read(self, _choice: int) -> None:
        got = [self.pipe.popleft() for _ in range(min(self.bite, len(self.pipe)))]
        numbers = range(self.taken, self.taken + len(got))
        assert got == [self.held[number].signum for number in numbers], "the pipe and the ledger disagree"
        if len(got) > 1:
            assert not any(shared(self.held[number]) for number in numbers), "read a shared signal before it could run"
        self.batch += numbers
        self.taken += len(got)
        self.bite = 0

    def start(self, _choice: int) -> None:
        self.running = self.batch.popleft()
        self.mark(self.running, STARTED)

    def refuse(self, _choice: int) -> None:
        self.mark(self.batch.popleft(), RETURNED)

    def end(self, choice: int) -> None:
        assert self.running is not None
        state = OUTCOMES[choice % len(OUTCOMES)]
        if state == ASIDE and len(self.asides) == _ledger.WINDOW:
            state = DONE
        self.mark(self.running, state)
        if state == ASIDE:
            self.asides.append(self.running)
        self.running = None

    def list_one(self, choice: int) -> None:
        number = self.asides.pop(choice % len(self.asides))
        self.ended[number] = FAILED if choice % 3 == 0 else DONE
        self.finished[len(self.listed) % _ledger.FINISHED] = finished_entry(number, self.ended[number])
        self.listed.append(number)
        self.finished[_ledger.FINISHED] = len(self.listed)

    def mark(self, number: int, state: int) -> None:
        index = number % _ledger.WINDOW
        expected = WAITING if state in (STARTED, RETURNED) else STARTED
        assert self.marks[index] == expected, "the mark of another signal stands here"
        self.marks[index] = state
        self.state[number] = state

    # What the model says of the lane

    def passed(self) -> int:
        """How many of the oldest are marked as passed."""
        states = [self.state.get(number, WAITING) for number in sorted(self.held)]
        return next((k for k, state in enumerate(states) if state in (WAITING, STARTED)), len(states))

    def unstarted_shared(self) -> int:
        return sum(shared(signal) and number not in self.state for number, signal in self.held.items())


def shared(signal: Signal) -> bool:
    """Whether it stands in a queue that several processes serve."""
    return signal.queue in Machine.POOLS


class Machine(RuleBasedStateMachine):
    """Three processes with a queue each, a pool that all serve and one that two of them serve."""

    POOLS = ("pool", "farm")
    OWN = ("own0", "own1", "own2")
    SERVES = (("own0", "farm", "pool"), ("own1", "pool", "farm"), ("own2", "pool"))

    queue_class = Queue
    lane_class = Lane
    ledger_class = Ledger

    @initialize(max_attempts=st.integers(1, 3))
    def open(self, max_attempts: int) -> None:
        self.book = Book()
        self.ledger = self.ledger_class(max_attempts, self.book)
        self.queues = {name: self.queue_class(name, shared=name in self.POOLS) for name in (*self.OWN, *self.POOLS)}
        self.kept = Queue("wait", shared=True)  # for signals without a handler
        self.processes = [self.new_process() for _ in self.OWN]
        self.length: Counter[str] = Counter()
        self.queued: dict[str, list[Signal]] = {name: [] for name in self.queues}
        self.attempts: Counter[Signal] = Counter()
        self.accepted: Counter[int] = Counter()
        self.done: Counter[int] = Counter()
        self.failed: Counter[int] = Counter()
        self.dead: Counter[int] = Counter()
        self.returned: list[int] = []
        self.redelivered = 0

    def new_process(self) -> Process:
        return Process(self.lane_class, self.ledger)

    # What happens

    @rule(names=st.sets(st.sampled_from((*OWN, *POOLS)), min_size=1), run=st.binary(min_size=2, max_size=12))
    def accept(self, names: set[str], run: bytes) -> None:
        signums = bytes(byte % KINDS for byte in run)
        for name in sorted(names):
            self.queued[name] += [Signal(name, self.length[name] + k, signum) for k, signum in enumerate(signums)]
            self.length[name] += len(signums)
            self.accepted.update(signums)
            self.ledger.accept(self.queues[name], signums)

    @rule(
        k=st.integers(0, 2),
        limits=st.tuples(*[st.sampled_from((3, 2, 1, 0, 6))] * 3),
        unwritten=st.sampled_from((0, 0, 0, 1, 2, 5)),
        meanwhile=SOME,
    )
    def fill(self, k: int, limits: Sequence[int], unwritten: int, meanwhile: Iterable[int]) -> None:
        """The master moves signals into a lane and writes them; the pipe may take less."""
        process = self.processes[k]
        data = b"".join(self.send(process, name, limit) for name, limit in zip(self.SERVES[k], limits, strict=False))
        cut = len(data) - min(unwritten, len(data))
        process.pipe += data[:cut]
        process.work(meanwhile)
        if cut < len(data):
            process.lane.unwritten(len(data) - cut)
            self.put_back(process, list(process.held)[cut - len(data) :])
        process.word = process.lane.free_until

    def send(self, process: Process, name: str, limit: int) -> bytes:
        lane, queue, data = process.lane, self.queues[name], b""
        while self.queued[name] and (room := min(limit - len(data), lane.room)) > 0:
            alone = not any(shared(signal) for signal in process.held.values())
            part = lane.send(queue, room)
            assert 0 < len(part) <= room
            signals = self.queued[name][: len(part)]
            assert part == bytes(signal.signum for signal in signals), "sent out of order"
            del self.queued[name][: len(part)]
            process.held.update(enumerate(signals, lane.sent - len(part)))
            if alone and name in self.OWN:
                assert lane.free_until == lane.sent, "the process reads its own signals one by one"
            data += part
        return data

    @rule(k=st.integers(0, 2), choices=MANY)
    def work(self, k: int, choices: Iterable[int]) -> None:
        self.processes[k].work(choices)

    @rule(k=st.integers(0, 2), clearing=SOME, listing=SOME)
    def settle(self, k: int, clearing: Iterable[int], listing: Iterable[int]) -> None:
        """The master reads the marks while the process goes on."""
        process = self.processes[k]
        process.marks.meanwhile = lambda: process.work(clearing)
        process.finished.meanwhile = lambda: process.work(listing)
        base, least, listed = process.lane.base, process.passed(), len(process.listed)
        passed = process.lane.settle()
        process.marks.meanwhile = process.finished.meanwhile = None
        assert passed == process.lane.base - base
        assert least <= passed <= process.passed(), "retired other signals than those that are marked"
        self.retire(process, range(base, process.lane.base))
        self.collect(process, listed)
        self.take_returned(process.lane)
        owned = {number % _ledger.WINDOW for number in process.held}
        assert not any(mark for index, mark in enumerate(process.marks) if index not in owned), "a mark of nobody's"

    def retire(self, process: Process, numbers: Iterable[int]) -> None:
        for number in numbers:
            signal, state = process.held.pop(number), process.state[number]
            if state == ASIDE:
                process.aside[number] = signal
            elif state == RETURNED:
                self.attempts.pop(signal, None)
                self.returned.append(signal.signum)
            else:
                self.finish(signal, state)

    def collect(self, process: Process, least: int) -> None:
        """Follow the lane in the list of async handlers: at least what was listed before it looked."""
        left = process.lane.in_flight - len(process.held)
        while len(process.aside) > left:
            number = process.listed[process.collected]
            self.finish(process.aside.pop(number), process.ended[number])
            process.collected += 1
        assert len(process.aside) == left
        assert process.collected >= least, "an async handler that has finished was not read"

    def finish(self, signal: Signal, state: int) -> None:
        self.attempts.pop(signal, None)
        self.done[signal.signum] += 1
        self.failed[signal.signum] += state == FAILED

    def take_returned(self, lane: Lane) -> None:
        """As the dispatcher does with what a process had no handler for."""
        signums = [data[0] for _, _, data in lane.returned]
        assert sorted(signums) == sorted(self.returned), "other signals came back than had no handler"
        for queue, position, data in lane.returned:
            self.ledger.move(queue, position, data, self.kept)
        lane.returned.clear()
        self.returned.clear()

    def put_back(self, process: Process, numbers: Iterable[int]) -> None:
        for number in numbers:
            signal = process.held.pop(number)
            self.queued[signal.queue] = sorted([*self.queued[signal.queue], signal])

    @rule(k=st.integers(0, 2), meanwhile=SOME)
    def rob(self, k: int, meanwhile: Iterable[int]) -> None:
        """The master reads the pipe empty and takes back what others could run."""
        process = self.processes[k]
        if not process.pipe:
            self.fill(k, (2, 2, 2), 0, b"")
        count = len(process.pipe)
        if not count:
            return
        process.pipe.clear()
        process.work(meanwhile)
        unread = list(process.held)[-count:]
        own = [number for number in unread if number < process.lane.free_until]
        again = process.lane.unsend(count)
        assert again == bytes(process.held[number].signum for number in own), (
            "what the process counts on was not rewritten"
        )
        self.put_back(process, [number for number in unread if number not in own])
        assert not any(shared(process.held[number]) for number in own), "others could have run what it keeps"
        process.pipe += again

    @rule(k=st.integers(0, 2), first=MANY, in_a_handler=st.booleans())
    def kill(self, k: int, first: bytes, *, in_a_handler: bool) -> None:
        """A process is killed, between whatever two stores it is or in the next handler that it starts."""
        process = self.processes[k]
        self.fill(k, (3, 3, 3), 0, b"")
        if in_a_handler:
            while process.running is None and (process.batch or process.bite or process.pipe):
                process.work(b"\0")
        else:
            process.work(first)
        expected = self.bury(process)
        letters = process.lane.died()
        assert Counter(letters) == Counter(expected), "other signals were given up than those that ended it too often"
        self.take_returned(process.lane)
        assert not any(process.marks)
        assert (process.lane.in_flight, process.lane.shared, process.lane.waiting()) == (0, 0, 0)
        self.processes[k] = self.new_process()

    def bury(self, process: Process) -> list[DeadLetter]:
        """What has to become of each signal of a dead process."""
        self.retire(process, list(process.held)[: process.passed()])
        for number in process.listed[process.collected :]:
            self.finish(process.aside.pop(number), process.ended[number])
        blamed = [*process.aside.values()]
        waiting = [number for number in process.held if number not in process.state]
        self.redelivered += len(waiting)
        self.put_back(process, waiting)
        assert len(process.held) <= 1, "a plain handler runs alone"
        return [letter for signal in (*blamed, *process.held.values()) if (letter := self.blame(signal))]

    def blame(self, signal: Signal) -> DeadLetter | None:
        self.attempts[signal] += 1
        if self.attempts[signal] == self.ledger.max_attempts:
            self.dead[signal.signum] += 1
            return DeadLetter(signal.signum, signal.queue, self.attempts.pop(signal))
        self.redelivered += 1
        self.queued[signal.queue] = sorted([*self.queued[signal.queue], signal])
        return None

    def teardown(self) -> None:
        """Left alone, the processes finish everything."""
        if sys.exception() is None:
            self.drain()

    def drain(self) -> None:
        for _ in range(400):
            for k, process in enumerate(self.processes):
                self.fill(k, (WINDOW, WINDOW, WINDOW), 0, b"")
                process.work(bytes(64))
                self.settle(k, b"", b"")
            if self.ledger.pending == len(self.kept):
                break
        assert self.ledger.pending == len(self.kept), "stuck"
        assert not any(len(queue) for queue in self.queues.values())
        assert not any(process.lane.in_flight or process.lane.busy for process in self.processes)

    # What holds at any time

    @invariant()
    def queues_hold_what_they_must_in_order(self) -> None:
        for name, queue in self.queues.items():
            assert list(queue) == [(signal.position, signal.signum) for signal in self.queued[name]]
            assert len(queue) == len(self.queued[name])
            known = {signal.position: tries for signal, tries in self.attempts.items() if signal.queue == name}
            assert queue.attempts == known, "blamed for what it has not done, or not for what it has"

    @invariant()
    def every_signal_is_somewhere(self) -> None:
        ledger = self.ledger
        flying = sum(process.lane.in_flight for process in self.processes)
        waiting = len(self.kept) + sum(map(len, self.queues.values()))
        assert ledger.pending == flying + waiting
        assert ledger.accepted.total == ledger.done.total + ledger.dead_lettered.total + flying + waiting
        assert (
            ledger.done.total
            == sum(ledger.done.by_signum)
            == ledger.failed.total + sum((self.done - self.failed).values())
        )
        assert ledger.redelivered == self.redelivered
        for counts, model in (
            (ledger.accepted, self.accepted),
            (ledger.done, self.done),
            (ledger.failed, self.failed),
            (ledger.dead_lettered, self.dead),
        ):
            assert counts.by_signum[:KINDS] == [model[signum] for signum in range(KINDS)]
            assert counts.total == model.total()

    @invariant()
    def a_journal_knows_what_is_pending(self) -> None:
        pending = {("wait", position): signum for position, signum in self.kept}
        for signals in (
            *self.queued.values(),
            *(p.held.values() for p in self.processes),
            *(p.aside.values() for p in self.processes),
        ):
            pending.update({(signal.queue, signal.position): signal.signum for signal in signals})
        assert self.book.open == pending
        for process in self.processes:
            places = {number: (signal.queue, signal.position) for number, signal in process.held.items()}
            assert {number: process.notes.places[number] for number in places} == places
            asides = {number: (signal.queue, signal.position) for number, signal in process.aside.items()}
            assert process.notes.asides == asides

    @invariant()
    def lanes_agree_with_the_model(self) -> None:
        for process in self.processes:
            lane = process.lane
            assert list(process.held) == list(range(lane.base, lane.sent))
            assert lane.room == _ledger.WINDOW - len(process.held) >= 0, "two outstanding signals share a mark"
            assert lane.busy == bool(process.held)
            assert lane.in_flight == len(process.held) + len(process.aside)
            assert lane.shared == sum(map(shared, process.held.values()))
            assert lane.waiting() == process.unstarted_shared()
            running = [
                *process.aside.values(),
                *(process.held[n] for n in process.held if process.state.get(n) == STARTED),
            ]
            assert sorted(lane.running()) == sorted(signal.signum for signal in running)
            assert lane.free_until <= lane.sent
            counted_on = [signal for number, signal in process.held.items() if number < lane.free_until]
            assert not any(map(shared, counted_on)), "a shared signal would be read before it could run"
