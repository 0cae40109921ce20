"""Any course of events for one row of the table: due, queued, running, failed, tried again, done, dead.

`TurnsMachine` plays the master and two processes that serve a pool, and have a queue each. Every signal is followed by
a model that knows in which state it is; the model goes by the words of `docs/events.md` and knows no rows, notes or
lanes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trisig._model.backoff import Backoff
from trisig._model.handling import Handling
from trisig._model.lane import ASIDE, DONE, FAILED, STARTED, Lane, finished_entry
from trisig._model.ledger import Ledger
from trisig._model.queue import Queue
from trisig._model.turns import Turns

WINDOW = 4
RULES = (
    Handling(),
    Handling("one"),
    Handling("skip"),
    Handling("one", Backoff(1, 9, attempts=3)),
    Handling("skip", Backoff(1, 9, attempts=2)),
    Handling("queue", Backoff(0, 0, attempts=2)),
)
BROADCAST = (1, 2)  # numbers that go to each process, and not to the pool
EVERY = (1, 2, 7, 8, 9, 9, 10, 11)  # 7 to 11 are again the rules above, for the pool
PROCESSES = ("own0", "own1")


def rule_of(signum: int) -> Handling:
    """The rule of a number."""
    return RULES[signum % len(RULES)]


@dataclass
class Signal:
    """One accepted copy of a signal, and its state."""

    queue: str
    position: int
    signum: int
    state: str = "queued"  # or sent, running, ended, paused, turn, done, dead
    failures: int = 0
    deaths: int = 0

    @property
    def waits(self) -> bool:
        """Whether it will begin to run later."""
        return self.state in ("queued", "sent", "paused", "turn")

    @property
    def pending(self) -> bool:
        """Whether it is neither done nor dead."""
        return self.state not in ("done", "dead")


class Process:
    """A process, its lane, and what it does with its numbers."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self.marks = bytearray(WINDOW)
        self.finished = [0] * (2 * WINDOW + 1)
        self.lane = Lane(ledger, name, self.marks, self.finished)
        self.held: dict[int, Signal] = {}  # sent, and not read as finished
        self.begun = 0  # the next number to start
        self.running: int | None = None
        self.asides: list[int] = []
        self.outcome: dict[int, int] = {}


class TurnsMachine(RuleBasedStateMachine):
    """Two processes, a queue each, and a pool."""

    turns_class = Turns
    ledger_class = Ledger
    queue_class = Queue

    @initialize()
    def open(self) -> None:
        self.turns = self.turns_class()
        self.turns.rule({signum: rule_of(signum) for signum in EVERY})
        self.ledger = self.ledger_class(2, None, turns=self.turns)
        self.queues = {name: self.queue_class(name, shared=name == "pool") for name in (*PROCESSES, "pool")}
        self.processes = [Process(self.ledger, name) for name in PROCESSES]
        self.signals: list[Signal] = []
        self.skipped: Counter[int] = Counter()
        self.retried = 0

    # What the words say

    def expect(self, signum: int, reach: dict[str, int]) -> None:
        """One signal is raised."""
        overlap = rule_of(signum).overlap
        alike = [one for one in self.signals if one.signum == signum and one.pending]
        if overlap == "skip" and alike:
            self.skipped[signum] += 1
            return
        for name in PROCESSES if signum in BROADCAST else ("pool",):
            here = [one for one in alike if one.queue == name]
            if overlap == "one" and any(one.waits for one in here):
                self.skipped[signum] += 1
                continue
            rests = overlap == "one" and bool(here)
            self.signals.append(Signal(name, reach[name], signum, "turn" if rests else "queued"))
            reach[name] += 1

    def expect_end(self, signal: Signal, state: str) -> None:
        """A signal has come to its end: the one that rests behind it joins its queue."""
        signal.state = state
        if rule_of(signal.signum).overlap == "one":
            behind = [
                one
                for one in self.signals
                if (one.queue, one.signum, one.state) == (signal.queue, signal.signum, "turn")
            ]
            if behind:
                behind[0].state = "queued"

    def expect_outcome(self, signal: Signal, outcome: int) -> None:
        retry = rule_of(signal.signum).retry
        if outcome == DONE or retry is None:
            self.expect_end(signal, "done")
            return
        signal.failures += 1
        if signal.failures == retry.attempts:
            self.expect_end(signal, "dead")
            return
        self.retried += 1
        signal.state = "paused" if retry.first else "queued"

    # What happens

    @rule(run=st.lists(st.sampled_from(EVERY), min_size=1, max_size=5))
    def raise_signals(self, run: list[int]) -> None:
        """As the dispatcher does with a batch."""
        reach = {name: queue.reach for name, queue in self.queues.items()}
        for signum in run:
            self.expect(signum, reach)
        wanted = self.turns.without_skipped(bytes(run))
        for name, queue in self.queues.items():
            part = bytes(signum for signum in wanted if (signum in BROADCAST) == (name != "pool"))
            if part:
                self.ledger.accept(queue, part)
        assert {name: queue.reach for name, queue in self.queues.items()} == reach, "other signals were accepted"

    @rule(k=st.integers(0, 1), signum=st.sampled_from(EVERY))
    def raise_one(self, k: int, signum: int) -> None:
        """As the dispatcher does with one signal for which a process is free, and none of its number is in the way."""
        process, queue = self.processes[k], self.queues["pool"]
        if signum in BROADCAST or len(queue) or queue.resting or not process.lane.room:
            return
        if not process.lane.has_passed_all or (signum in self.turns.limited and self.turns.has_turn(signum)):
            return
        before = len(self.signals)
        self.expect(signum, {"pool": queue.reach})
        assert [one.state for one in self.signals[before:]] == ["queued"], "one of its number is in the way"
        number = process.lane.sent
        process.lane.send_new(queue, bytes((signum,)))
        self.signals[-1].state = "sent"
        process.held[number] = self.signals[-1]

    @rule(k=st.integers(0, 1), pool=st.booleans(), limit=st.integers(1, 3))
    def send(self, k: int, *, pool: bool, limit: int) -> None:
        """A process gets some of what waits."""
        process, queue = self.processes[k], self.queues["pool" if pool else PROCESSES[k]]
        if not len(queue) or not process.lane.room:
            return
        waiting = sorted(
            (one for one in self.signals if one.queue == queue.name and one.state == "queued"),
            key=lambda one: one.position,
        )
        first = process.lane.sent
        data = process.lane.send(queue, limit)
        process.lane.load.clear()
        assert data == bytes(one.signum for one in waiting[: len(data)]), "sent in another order, or what should rest"
        for number, one in enumerate(waiting[: len(data)], first):
            one.state = "sent"
            process.held[number] = one

    @rule(k=st.integers(0, 1))
    def start(self, k: int) -> None:
        """A process starts the next handler; it is sent one if it has none."""
        process = self.processes[k]
        if process.running is None and process.begun == process.lane.sent:
            self.send(k, pool=True, limit=1)
        if process.running is None and process.begun < process.lane.sent and len(process.asides) < WINDOW:
            process.running = process.begun
            process.begun += 1
            process.marks[process.running % WINDOW] = STARTED
            process.held[process.running].state = "running"

    @rule(k=st.integers(0, 1), outcome=st.sampled_from((DONE, FAILED, ASIDE)))
    def end(self, k: int, outcome: int) -> None:
        """A plain handler ends, or an async one is set aside."""
        process = self.processes[k]
        if process.running is None:
            return
        process.marks[process.running % WINDOW] = outcome
        if outcome == ASIDE:
            process.asides.append(process.running)
        else:
            process.outcome[process.running] = outcome
        process.running = None

    @precondition(lambda self: any(process.asides for process in self.processes))
    @rule(k=st.integers(0, 1), which=st.integers(0, WINDOW), outcome=st.sampled_from((DONE, FAILED)))
    def end_aside(self, k: int, which: int, outcome: int) -> None:
        """An async handler ends; the master reads that at once, or the list might be full."""
        process = self.processes[k]
        if not process.asides:
            return
        number = process.asides.pop(which % len(process.asides))
        process.outcome[number] = outcome
        listed = process.finished[-1]
        process.finished[listed % (2 * WINDOW)] = finished_entry(number, outcome)
        process.finished[-1] = listed + 1
        self.read(k)

    @rule(k=st.integers(0, 1))
    def read(self, k: int) -> None:
        """The master reads the marks."""
        process = self.processes[k]
        process.lane.read_marks()
        base = process.lane.base
        for number, outcome in sorted(process.outcome.items()):
            if number < base:
                self.expect_outcome(process.held.pop(number), outcome)
                del process.outcome[number]

    @rule(k=st.integers(0, 1), outcome=st.sampled_from((FAILED, FAILED, DONE)))
    def attempt(self, k: int, outcome: int) -> None:
        """One after the other, so that many signals are tried many times."""
        self.start(k)
        self.end(k, outcome)
        self.read(k)

    @rule(k=st.integers(0, 1))
    def kill(self, k: int) -> None:
        """A process dies; what it was running is blamed."""
        process = self.processes[k]
        letters = process.lane.died()
        blamed = 0
        ended = sorted(process.outcome.items())
        for number, outcome in ended:
            self.expect_outcome(process.held.pop(number), outcome)
        # By position, as the lane judges.
        for one in sorted(process.held.values(), key=lambda one: one.position):
            one.deaths += one.state == "running"
            if one.state == "running" and one.deaths == 2:
                blamed += 1
                self.expect_end(one, "dead")
            else:
                one.state = "queued"
        assert len(letters) == blamed
        self.processes[k] = Process(self.ledger, PROCESSES[k])

    @precondition(lambda self: self.turns.paused)
    @rule(which=st.integers(0, 9))
    def time_passes(self, which: int) -> None:
        """A signal has rested for long enough."""
        _, queue, position = self.turns.paused.pop(which % len(self.turns.paused))
        one = next(one for one in self.signals if (one.queue, one.position) == (queue.name, position))
        assert one.state == "paused", "something else came back"
        one.state = "queued"
        self.turns.rejoin(queue, position)

    # What holds at any time

    @invariant()
    def turns_are_kept(self) -> None:
        running = Counter((one.queue, one.signum) for one in self.signals if one.state == "running")
        for (_, signum), count in running.items():
            assert count == 1 or rule_of(signum).overlap == "queue", "two at a time"

    @invariant()
    def counts_agree(self) -> None:
        states = Counter(one.state for one in self.signals)
        rest = {name: sorted(queue.resting) for name, queue in self.queues.items()}
        assert rest == {name: self.positions(name, ("paused", "turn")) for name in self.queues}, "other signals rest"
        queued = {name: [position for position, _ in queue] for name, queue in self.queues.items()}
        assert queued == {name: self.positions(name, ("queued",)) for name in self.queues}, "other signals wait"
        assert self.ledger.accepted.total == len(self.signals)
        assert (self.ledger.done.total, self.ledger.dead_lettered.total) == (states["done"], states["dead"])
        assert (self.ledger.retried.total, self.turns.skipped) == (self.retried, self.skipped)
        assert self.ledger.failed.total <= self.ledger.done.total

    def positions(self, name: str, states: Iterable[str]) -> list[int]:
        return sorted(one.position for one in self.signals if one.queue == name and one.state in states)

    def teardown(self) -> None:
        """Whatever has happened, all of it comes to its end, and nothing is remembered then."""
        if not hasattr(self, "signals"):
            return
        for _ in range(100 * (len(self.signals) + 1)):
            if not any(one.pending for one in self.signals):
                break
            self.step()
        assert not any(one.pending for one in self.signals), "some never come to their end"
        assert not any(queue.notes or queue.resting or queue.attempts for queue in self.queues.values())
        assert not any(self.turns._pending.values())

    def step(self) -> None:
        for k, process in enumerate(self.processes):
            self.start(k)
            self.end(k, DONE)
            self.read(k)
            if process.asides:
                self.end_aside(k, 0, DONE)
            self.send(k, pool=False, limit=3)
            self.send(k, pool=True, limit=3)
        if self.turns.paused:
            self.time_passes(0)
