"""Any course of events for the accounting, with processes that are stopped between any two of their stores.

`Machine` plays the master: it raises, fills, settles, robs and buries, as the dispatcher does. `Process` plays a
child: it reads its pipe in order and marks its progress one store at a time; it can be killed between any two, and can
go on between any two of the master's own reads. The last one heeds no limit, and so reads in bites as large as the
master's word allows. Both are followed by a model which knows every signal by the queue and the position that it was
accepted at.

The window is a few signals long here, so that every run goes round the ring many times.
"""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trisig._model.dead_letter import DeadLetter
from trisig._model.instrument import Instrument
from trisig._model.invocation import UNRANKED, Invocation
from trisig._model.lane import ASIDE, DONE, FAILED, RETURNED, STARTED, WAITING, Lane, finished_entry
from trisig._model.ledger import Ledger
from trisig._model.queue import Queue

WINDOW = 6
FINISHED = 2 * WINDOW
SEALED = 8
NO_LIMIT = 2**64 - 1
SOME = st.binary(max_size=4)  # what a process does meanwhile
MANY = st.binary(min_size=3, max_size=24)
OUTCOMES = (DONE, ASIDE, FAILED, ASIDE, DONE)
KINDS = 4
TASKS = ("resize", "mail", "index")


@dataclass(frozen=True, order=True)
class Signal:
    """One accepted copy of a signal, known by its place for life."""

    queue: str
    position: int
    signum: int
    task: int | None = None
    rank: int = UNRANKED

    @property
    def turn(self) -> tuple[int, int]:
        """What it goes by in its queue."""
        return self.rank, self.position

    @property
    def what(self) -> int | str:
        """How counters know it."""
        return self.signum if self.task is None else TASKS[self.task]

    @property
    def arguments(self) -> bytes | None:
        """What the process must be given with it, and with nothing else."""
        return None if self.task is None else f"{self.queue} {self.position}".encode()


class Marks(bytearray):
    """The ring; what `meanwhile` does happens after the master has read and before it clears."""

    meanwhile: Callable[[], None] | None = None

    def __setitem__(self, where: int | slice, what: int | bytes) -> None:  # type: ignore[override]  # one of two overloads
        if isinstance(where, slice) and self.meanwhile:
            self.meanwhile()
        super().__setitem__(where, what)  # type: ignore[index, assignment]  # the same


class Finished(list[int]):
    """The list of finished async handlers; what `meanwhile` does happens after the marks were read."""

    meanwhile: Callable[[], None] | None = None

    def __getitem__(self, index: int) -> int:  # type: ignore[override]  # the same
        if index == FINISHED and self.meanwhile:
            self.meanwhile()
        return super().__getitem__(index)


class Notes:
    """What an instrument sees of one lane: which places its numbers stand for, and which handlers run aside."""

    def __init__(self) -> None:
        self.places: dict[int, tuple[str, int]] = {}
        self.asides: dict[int, tuple[str, int]] = {}


class Book(Instrument):
    """What an instrument sees: which places of which queue are anybody's business still, and the notes of each lane."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, int], int] = {}
        self.notes: dict[str, Notes] = {}

    def queued(self, destination: str, position: int, signals: bytes) -> None:
        new = {(destination, position + k): signum for k, signum in enumerate(signals)}
        assert not new.keys() & self.open.keys(), "one place for two signals"
        self.open.update(new)

    def moved(self, destination: str, position: int, to: str, start: int, signals: bytes) -> None:
        self.queued(to, start, signals)
        self.close(destination, position, 1)

    def finished(
        self, process: str, number: int | None, destination: str, position: int, signals: bytes, *, failed: bool
    ) -> None:
        self.close(destination, position, len(signals))
        if number is not None:
            self.notes[process].asides.pop(number, None)

    def dead_lettered(self, letter: DeadLetter, position: int) -> None:
        self.close(letter.destination, position, 1)

    def close(self, destination: str, start: int, count: int) -> None:
        for position in range(start, start + count):
            assert (destination, position) in self.open, "closed twice, or never opened"
            del self.open[destination, position]

    def sent(self, process: str, number: int, destination: str, position: int, signals: bytes) -> None:
        places = {number + k: (destination, position + k) for k in range(len(signals))}
        self.notes[process].places.update(places)

    def started(self, process: str, number: int, destination: str, position: int, signum: int) -> None:
        asides = self.notes[process].asides
        assert number not in asides, "noted twice"
        asides[number] = (destination, position)


class Process:
    """One incarnation of a child, and what the model knows of its lane."""

    def __init__(self, lane_class: type[Lane], ledger: Ledger, name: str, notes: Notes, *, heeds: bool) -> None:
        self.marks = Marks(WINDOW)
        self.finished = Finished([0] * (FINISHED + 1))
        self.notes = notes
        self.lane = lane_class(ledger, name, self.marks, self.finished)
        self.pipe: deque[int] = deque()
        self.cargo: dict[int, bytes] = {}  # the arguments that the master has written, by number
        self.word = 0  # FREE_UNTIL, as the master has published it
        self.heeds = heeds  # the limit
        self.limit = NO_LIMIT  # as the master has published it
        self.drops = int(heeds)
        self.own_until = 0  # the word, when it read last
        self.bite = 0  # how many bytes it is about to read
        self.taken = 0
        self.batch: deque[int] = deque()
        self.begun: int | None = None  # marked, and the limit not looked at yet
        self.reached: int | None = None  # not below the limit, and the mark not taken back yet
        self.dropping: int | None = None  # the mark taken back, and the rest not dropped yet
        self.untold = False  # dropped, and not said so yet
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

    @property
    def has_to_do(self) -> bool:
        """Whether there is a store to make, or a byte to read."""
        halfway = (self.begun, self.reached, self.dropping) != (None, None, None) or self.untold
        return bool(halfway or self.batch or self.bite or self.pipe)

    def steps(self) -> list[Callable[[int], None]]:
        steps: list[Callable[[int], None]] = []
        if self.running is not None:
            steps += [self.end] * 3
            if self.held[self.running].task is None:  # the tasks are the same in every process
                steps.append(self.refuse)
        elif self.begun is not None:
            steps += [self.look_at_limit] * 2
        elif self.reached is not None:
            steps += [self.take_mark_back] * 2
        elif self.dropping is not None:
            steps += [self.drop] * 2
        elif self.untold:
            steps += [self.tell] * 2
        elif self.batch:
            steps += [self.start] * 3
        elif self.bite:
            steps += [self.read] * 2
        elif self.pipe:
            steps += [self.look] * 2
        return [*steps, self.list_one] if self.asides else steps

    def look(self, _choice: int) -> None:
        self.own_until = self.word
        self.bite = WINDOW if self.heeds else max(1, self.word - self.taken)

    def read(self, _choice: int) -> None:
        got = [self.pipe.popleft() for _ in range(min(self.bite, len(self.pipe)))]
        numbers = range(self.taken, self.taken + len(got))
        assert got == [self.held[number].signum for number in numbers], "the pipe and the ledger disagree"
        for number in numbers:
            arguments = self.cargo.pop(number, None)
            assert arguments == self.held[number].arguments, "a task without its arguments, or with those of another"
        if len(got) > 1 and not self.heeds:
            assert not any(shared(self.held[number]) for number in numbers), "read a shared signal before it could run"
        self.batch += numbers
        self.taken += len(got)
        self.bite = 0

    def start(self, _choice: int) -> None:
        self.begun = self.batch.popleft()
        self.mark(self.begun, STARTED)

    def look_at_limit(self, _choice: int) -> None:
        number, self.begun = self.begun, None
        assert number is not None
        if self.heeds and number >= max(self.own_until, self.limit):
            self.reached = number
            return
        assert number in self.held, "started what was taken back"
        self.running = number

    def take_mark_back(self, _choice: int) -> None:
        number, self.reached = self.reached, None
        assert number is not None
        self.mark(number, WAITING)
        self.dropping = number

    def drop(self, _choice: int) -> None:
        assert self.dropping is not None
        self.batch.clear()
        self.pipe.clear()
        self.taken, self.dropping, self.untold = self.dropping, None, True

    def tell(self, _choice: int) -> None:
        self.drops += 1
        self.untold = False

    def refuse(self, _choice: int) -> None:
        assert self.running is not None
        self.mark(self.running, RETURNED)
        self.running = None

    def end(self, choice: int) -> None:
        assert self.running is not None
        state = OUTCOMES[choice % len(OUTCOMES)]
        if state == ASIDE and len(self.asides) == WINDOW:
            state = DONE
        self.mark(self.running, state)
        if state == ASIDE:
            self.asides.append(self.running)
        self.running = None

    def list_one(self, choice: int) -> None:
        number = self.asides.pop(choice % len(self.asides))
        self.ended[number] = FAILED if choice % 3 == 0 else DONE
        self.finished[len(self.listed) % FINISHED] = finished_entry(number, self.ended[number])
        self.listed.append(number)
        self.finished[FINISHED] = len(self.listed)

    def mark(self, number: int, state: int) -> None:
        index = number % WINDOW
        expected = WAITING if state == STARTED else STARTED
        assert self.marks[index] == expected, "the mark of another signal stands here"
        self.marks[index] = state
        self.state[number] = state
        if state == WAITING:
            del self.state[number]

    # What the model says of the lane

    def passed(self) -> int:
        """How many of the oldest are marked as passed."""
        states = [self.state.get(number, WAITING) for number in sorted(self.held)]
        return next((k for k, state in enumerate(states) if state in (WAITING, STARTED)), len(states))

    def unstarted_shared(self) -> int:
        return sum(shared(signal) and number not in self.state for number, signal in self.held.items())


def invocation_of(signal: Signal) -> Invocation:
    """The task at a place."""
    assert signal.task is not None
    return Invocation(signal.task, signal.arguments or b"", priority=signal.rank)


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
        self.given_up: list[str] = []
        self.ledger = self.ledger_class(
            max_attempts, self.book, TASKS, lambda _, letter: self.given_up.append(str(letter.task))
        )
        self.queues = {
            name: self.queue_class(name, shared=name in self.POOLS, chunk=SEALED) for name in (*self.OWN, *self.POOLS)
        }
        self.kept = Queue("wait", shared=True)  # for signals without a handler
        self.processes = [self.new_process(name) for name in self.OWN]
        self.length: Counter[str] = Counter()
        self.queued: dict[str, list[Signal]] = {name: [] for name in self.queues}
        self.attempts: Counter[Signal] = Counter()
        self.accepted: Counter[int | str] = Counter()
        self.done: Counter[int | str] = Counter()
        self.failed: Counter[int | str] = Counter()
        self.dead: Counter[int | str] = Counter()
        self.returned: list[int] = []
        self.redelivered = 0

    def new_process(self, name: str) -> Process:
        self.book.notes[name] = Notes()
        heeds = name != self.OWN[-1]
        return Process(self.lane_class, self.ledger, name, self.book.notes[name], heeds=heeds)

    # What happens

    @rule(names=st.sets(st.sampled_from((*OWN, *POOLS)), min_size=1), run=st.binary(min_size=2, max_size=12))
    def accept(self, names: set[str], run: bytes) -> None:
        for name in sorted(names):
            signums = bytes(byte % KINDS for byte in run)
            process = None if self.queued[name] or not run[0] % 2 else self.takes_at_once(name)
            if process is not None:
                signums = self.send_new(process, name, signums)
            self.queued[name] += [Signal(name, self.length[name] + k, signum) for k, signum in enumerate(signums)]
            self.length[name] += len(signums)
            self.accepted.update(signums)
            self.ledger.accept(self.queues[name], signums)

    def takes_at_once(self, name: str) -> Process | None:
        """The process that the master gives a new signal of a queue without queueing it: its own one, or a free one."""
        if name in self.OWN:
            return self.processes[self.OWN.index(name)]
        for served, process in zip(self.SERVES, self.processes, strict=True):
            if name in served and process.lane.has_passed_all:
                assert process.passed() == len(process.held), "taken for free, and busy"
                return process
        return None

    def send_new(self, process: Process, name: str, signums: bytes) -> bytes:
        """The master gives a process one signal for which none waits; returns the others."""
        lane = process.lane
        if not lane.room or lane.is_limited:
            return signums
        first = signums[:1]
        process.held[lane.sent] = Signal(name, self.length[name], first[0])
        self.length[name] += 1
        self.accepted.update(first)
        lane.send_new(self.queues[name], first)
        if signums[1] % 3:
            process.pipe += first
        else:  # the pipe may not take it
            lane.unwritten(1)
            self.put_back(process, [lane.sent])
        process.word = lane.free_until
        return signums[1:]

    @rule(
        names=st.sets(st.sampled_from((*OWN, *POOLS)), min_size=1),
        run=st.lists(st.integers(0, len(TASKS) - 1), min_size=1, max_size=6),
        rank=st.sampled_from((UNRANKED, 7, UNRANKED, 0)),
    )
    def accept_tasks(self, names: set[str], run: list[int], rank: int) -> None:
        for name in sorted(names):
            signals = [Signal(name, self.length[name] + k, 0, task, rank) for k, task in enumerate(run)]
            self.queued[name] = sorted([*self.queued[name], *signals], key=lambda one: one.turn)
            self.length[name] += len(run)
            self.accepted.update(signal.what for signal in signals)
            for _, alike in groupby(signals, key=lambda signal: signal.task):
                self.ledger.accept_tasks(self.queues[name], [invocation_of(signal) for signal in alike])

    @rule(
        k=st.integers(0, 2),
        limits=st.tuples(*[st.sampled_from((3, 2, 1, 0, 6))] * 3),
        unwritten=st.sampled_from((0, 0, 0, 1, 2, 5)),
        meanwhile=SOME,
    )
    def fill(self, k: int, limits: Sequence[int], unwritten: int, meanwhile: Iterable[int]) -> None:
        """The master moves signals into a lane and writes them; the pipe may take less."""
        process = self.processes[k]
        if process.lane.is_limited:
            return
        data = b"".join(self.send(process, name, limit) for name, limit in zip(self.SERVES[k], limits, strict=False))
        cut = len(data) - min(unwritten, len(data))
        self.load(process)
        process.pipe += data[:cut]
        process.work(meanwhile)
        if cut < len(data):
            process.lane.unwritten(len(data) - cut)
            self.load(process)
            self.put_back(process, list(process.held)[cut - len(data) :])
        process.word = process.lane.free_until

    def load(self, process: Process) -> None:
        """Before any byte is written: what the process must forget, and what goes with the bytes."""
        for number in process.lane.unload:
            process.cargo.pop(number, None)
        process.lane.unload.clear()
        process.cargo.update((number, bytes(one.arguments)) for number, one in process.lane.load.items())
        process.lane.load.clear()

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
        self.lift_limit(process)
        process.marks.meanwhile = lambda: process.work(clearing)
        process.finished.meanwhile = lambda: process.work(listing)
        base, least, listed = process.lane.base, process.passed(), len(process.listed)
        passed = process.lane.read_marks()
        process.marks.meanwhile = process.finished.meanwhile = None
        assert passed == process.lane.base - base
        assert least <= passed <= process.passed(), "retired other signals than those that are marked"
        self.retire(process, range(base, process.lane.base))
        self.collect(process, listed)
        self.take_returned(process.lane)
        # Perhaps taken back, which the process does not know yet.
        begun = [number for number in (process.begun, process.reached) if number is not None]
        owned = {number % WINDOW for number in (*process.held, *begun)}
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
            assert process.collected < len(process.listed), "nothing is retired that has not ended"
            number = process.listed[process.collected]
            assert number in process.aside, "each end counts once"
            self.finish(process.aside.pop(number), process.ended[number])
            process.collected += 1
        assert len(process.aside) == left
        assert process.collected >= least, "an async handler that has finished was not read"

    def finish(self, signal: Signal, state: int) -> None:
        self.attempts.pop(signal, None)
        self.done[signal.what] += 1
        self.failed[signal.what] += state == FAILED

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
            assert number in process.held, "taken back though it is not there any more"
            signal = process.held.pop(number)
            self.queued[signal.queue] = sorted([*self.queued[signal.queue], signal], key=lambda one: one.turn)

    @rule(k=st.integers(0, 2), first=st.binary(max_size=6), second=SOME, third=SOME, fourth=SOME)
    def rob(
        self, k: int, first: Iterable[int], second: Iterable[int], third: Iterable[int], fourth: Iterable[int]
    ) -> None:
        """The master takes back what others could run, while the process goes on between its steps."""
        process = self.processes[k]
        if process.lane.is_limited:
            return
        self.fill(k, (2, 2, 2), 0, b"")
        process.work(first)
        self.take_back(process, second, third, fourth)

    @rule(k=st.integers(0, 1), steps=st.integers(0, 4))
    def rob_a_beginner(self, k: int, steps: int) -> None:
        """The same when the process has just marked its only signal, and goes some steps on before the last look."""
        process = self.processes[k]
        process.work(bytes(30))
        self.settle(k, b"", b"")
        if process.lane.is_limited or process.held:
            return
        self.accept({self.SERVES[k][1]}, bytes(2))
        self.fill(k, (0, 1, 0), 0, b"")
        process.work(bytes(3))
        self.take_back(process, b"", b"", bytes(steps))
        self.fill(k, (2, 2, 2), 0, b"")

    def take_back(self, process: Process, second: Iterable[int], third: Iterable[int], fourth: Iterable[int]) -> None:
        """Under a limit, if the process heeds one, and without it."""
        lane = process.lane
        if process.heeds:
            process.limit = lane.limit(process.drops)
        process.work(second)
        count = len(process.pipe)
        process.pipe.clear()
        process.work(third)
        unread = list(process.held)[len(process.held) - count :]
        own = [number for number in unread if number < lane.free_until]
        taken = [number for number in unread if number not in own]
        if process.heeds:
            started = max((number for number in process.held if number in process.state), default=-1)
            oldest = max(started + 1, lane.free_until, lane.base)
            taken = [number for number in process.held if number >= oldest]
        again = lane.unsend(count)
        self.load(process)
        assert again == bytes(process.held[number].signum for number in own), (
            "what the process counts on was not rewritten"
        )
        self.put_back(process, taken)
        assert not any(shared(process.held[number]) for number in own), "others could have run what it keeps"
        process.pipe += again
        process.work(fourth)
        self.lift_limit(process)

    def lift_limit(self, process: Process) -> None:
        """The master looks whether the process has dropped what was taken back."""
        lane = process.lane
        sent = lane.sent
        if lane.lift_limit(process.drops):
            dropped = list(range(lane.sent, sent))
            assert not any(number in process.state for number in dropped), "took back what was started"
            self.put_back(process, dropped)
            self.load(process)
            process.limit = NO_LIMIT
            assert all(number in process.held for number in process.batch), "sent what the process reads otherwise"
            assert process.begun in (None, *process.held)
            assert (process.reached, process.dropping, process.untold) == (None, None, False), "it still drops"
            assert process.taken + len(process.pipe) == lane.sent, "the next signal would have two numbers"

    @rule(k=st.integers(0, 2), first=MANY, in_a_handler=st.booleans())
    def kill(self, k: int, first: bytes, *, in_a_handler: bool) -> None:
        """A process is killed, between whatever two stores it is or in the next handler that it starts."""
        process = self.processes[k]
        self.fill(k, (3, 3, 3), 0, b"")
        if in_a_handler:
            while process.running is None and process.has_to_do:
                process.work(b"\0")
        else:
            process.work(first)
        expected = self.bury(process)
        letters = process.lane.died()
        assert Counter(letters) == Counter(expected), "other signals were given up than those that ended it too often"
        self.take_returned(process.lane)
        assert not any(process.marks)
        assert (process.lane.in_flight, process.lane.shared, process.lane.waiting()) == (0, 0, 0)
        self.processes[k] = self.new_process(self.OWN[k])

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
            self.dead[signal.what] += 1
            signum = signal.signum if signal.task is None else None
            task = None if signal.task is None else TASKS[signal.task]
            return DeadLetter(signum, signal.queue, self.attempts.pop(signal), task)
        self.redelivered += 1
        self.queued[signal.queue] = sorted([*self.queued[signal.queue], signal], key=lambda one: one.turn)
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
            == sum(ledger.done.by_signum) + ledger.done.by_task.total()
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
            assert [counts.by_task[task] for task in range(len(TASKS))] == [model[name] for name in TASKS]
            assert counts.total == model.total()

    @invariant()
    def arguments_are_kept_until_their_task_is_finished(self) -> None:
        places = [*self.queued.values(), *(p.held.values() for p in self.processes)]
        places += [p.aside.values() for p in self.processes]
        tasks = {signal: signal.arguments for signals in places for signal in signals if signal.task is not None}
        for name, queue in self.queues.items():
            kept = {position: (one.task, one.arguments) for position, one in queue.invocations.items()}
            assert kept == {s.position: (s.task, arguments) for s, arguments in tasks.items() if s.queue == name}
        assert self.ledger.argument_bytes == sum(len(arguments or b"") for arguments in tasks.values())
        assert Counter(self.given_up) == Counter({name: self.dead[name] for name in TASKS})

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
            assert lane.room == WINDOW - len(process.held) >= 0, "two outstanding signals share a mark"
            assert lane.busy == bool(process.held)
            assert lane.in_flight == len(process.held) + len(process.aside)
            assert lane.shared == sum(map(shared, process.held.values()))
            assert lane.waiting() == process.unstarted_shared()
            running = [
                *process.aside.values(),
                *(process.held[n] for n in process.held if process.state.get(n) == STARTED),
            ]
            assert Counter(lane.running()) == Counter(signal.what for signal in running)
            assert lane.free_until <= lane.sent
            counted_on = [signal for number, signal in process.held.items() if number < lane.free_until]
            assert not any(map(shared, counted_on)), "a shared signal would be read before it could run"
