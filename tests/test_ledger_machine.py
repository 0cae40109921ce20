"""The accounting under any course of events, and the proof that a mistake in it would be found."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from ledger_machine import SEALED, WINDOW, Machine

from trisig import _ledger, _queue
from trisig._ledger import ASIDE, STARTED, DeadLetter, Flight, Lane, Ledger, Queue


@pytest.fixture(autouse=True)
def _small_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window of a few signals: the ring, the list and the chunks come to their ends all the time."""
    monkeypatch.setattr(_ledger, "WINDOW", WINDOW)
    monkeypatch.setattr(_ledger, "FINISHED", 2 * WINDOW)
    monkeypatch.setattr(_queue, "_SEALED", SEALED)


# The rarest mistake is met in one course of 70. Courses are much the same in every run, but not quite: Hypothesis
# looks at which modules are loaded, too.
FOUND_WITHIN = 4000


def budget(examples: int, *phases: Phase) -> settings:
    """Much the same course of events in every run of the suite."""
    return settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )


def test_any_course_of_events() -> None:
    """Nothing lost, nothing invented, order kept, blame where it belongs, whatever is killed or robbed and when."""
    run_state_machine_as_test(Machine, settings=budget(200, Phase.generate, Phase.shrink))


class WindowBeyondTheRing(Lane):
    @property
    def room(self) -> int:
        return super().room + 1


class StaleMark(Lane):
    """Leaves the last mark that it has read."""

    def settle(self) -> int:
        before = bytes(self._marks)
        passed = super().settle()
        if passed:
            last = (self.base - 1) % WINDOW
            self._marks[last] = before[last]
        return passed


class ClearsUnread(Lane):
    """Clears as far as the ring goes, not as far as it has read."""

    def settle(self) -> int:
        before = bytes(self._marks)
        passed = super().settle()
        if passed and self.busy and before[self.base % WINDOW] == STARTED:
            self._marks[self.base % WINDOW] = 0
        return passed


class SkipsUnknown(Lane):
    """Takes the end of a handler, whose start it has not read yet, for nothing."""

    def _collect(self) -> None:
        listed = self._finished[_ledger.FINISHED]
        while self._listed != listed:
            super()._collect()
            self._listed += self._listed != listed


class DeafToTheDead(Lane):
    """Blames a dead process for the async handlers that it has finished."""

    def died(self) -> list[DeadLetter]:
        self._finished[_ledger.FINISHED] = self._listed
        return super().died()


class ForgetsAside(Lane):
    """Forgets, when a process dies, the async handlers that ran."""

    def died(self) -> list[DeadLetter]:
        self.settle()
        self.aside.clear()
        return super().died()


class CountsOnShared(Lane):
    """Lets a process read ahead what others could run."""

    def send(self, queue: Queue, limit: int) -> bytes:
        data = super().send(queue, limit)
        self.free_until = self.sent
        return data


class TakesBackAll(Lane):
    """Takes back what the process counts on."""

    def unsend(self, count: int) -> bytes:
        self._take_back(count)
        return b""


class RewritesTheWrongEnd(Lane):
    """Writes again what has been taken back, not what has stayed."""

    def unsend(self, count: int) -> bytes:
        held = self._tail(count)
        kept = super().unsend(count)
        return held[len(held) - len(kept) :]


class UnwrittenStaysFree(Lane):
    """Lets the process count on signals that were never written."""

    def unwritten(self, count: int) -> None:
        self._take_back(count)


class LosesCountOfShared(Lane):
    """Does not count what it takes back of a shared queue."""

    def _take_back(self, count: int) -> None:
        before = self.shared
        super()._take_back(count)
        self.shared = before


class BlamesTheNeighbour(Lane):
    """Takes the first signal that was not started for one that was."""

    def _died_in(self, flight: Flight) -> list[tuple[Queue, int, int]]:
        index = flight.number % WINDOW
        self._marks[index] = self._marks[index] or STARTED
        return super()._died_in(flight)


class BlamesNobody(Ledger):
    def blame(self, queue: Queue, position: int, signum: int) -> DeadLetter | None:
        self.put_back(queue, position, bytes((signum,)))
        return None


class OneTryMore(Ledger):
    def blame(self, queue: Queue, position: int, signum: int) -> DeadLetter | None:
        self.max_attempts += 1
        try:
            return super().blame(queue, position, signum)
        finally:
            self.max_attempts -= 1


class RemembersBlame(Ledger):
    """Keeps the tries of a signal that is done."""

    def finish(self, queue: Queue, start: int, data: bytes) -> None:
        self.leave(queue, start, data)
        self.done.add(data)


class KeepsTheDeadOpen(Ledger):
    """Does not tell the journal what it has given up."""

    def blame(self, queue: Queue, position: int, signum: int) -> DeadLetter | None:
        self.leave, leave = lambda *_: None, self.leave
        try:
            return super().blame(queue, position, signum)
        finally:
            self.leave = leave


class DropsTheLast(Ledger):
    """Loses the last of what a dead process had not started."""

    def put_back(self, queue: Queue, start: int, data: bytes) -> None:
        self.redelivered += len(data)
        if data[:-1]:
            queue.put_back(start, data[:-1])


class PutsBackAtTheEnd(Queue):
    def put_back(self, start: int, data: bytes) -> None:
        self._settle_skip()
        self._chunks.append(_queue._Chunk(start, data))
        self._length += len(data)


class PutsBackReversed(Queue):
    def put_back(self, start: int, data: bytes) -> None:
        super().put_back(start, data[::-1])


class PutsBackAnew(Queue):
    """Gives a signal that comes back a new place."""

    def put_back(self, start: int, data: bytes) -> None:  # noqa: ARG002  the place is what it forgets
        self.append(data)


class ForgetsWhatWasTaken(Queue):
    """Puts back in front of a chunk of which a part was taken, as if it were whole."""

    def _settle_skip(self) -> None:
        self._skip = 0


class SetsAsideForGood(Lane):
    """Takes the start of an async handler for its end."""

    def _one(self, state: int, queue: Queue, position: int, signum: int, number: int) -> None:
        super()._one(state, queue, position, signum, number)
        if state == ASIDE:
            self._finish(queue, position, bytes((signum,)))


class LeavesItsNote(Lane):
    """Does not tell the journal that an async handler has ended."""

    def _collect(self) -> None:
        self._record, record = None, self._record
        super()._collect()
        self._record = record


MUTANTS = [kind for base in (Queue, Lane, Ledger) for kind in base.__subclasses__() if kind.__module__ == __name__]


def mutant_of(kind: type) -> type[Machine]:
    """The machine with one class of the ledger replaced."""
    place = next(
        place for place in ("queue_class", "lane_class", "ledger_class") if issubclass(kind, getattr(Machine, place))
    )
    return type(kind.__name__, (Machine,), {place: kind})


@pytest.mark.parametrize("kind", MUTANTS, ids=lambda kind: kind.__name__)
def test_a_planted_mistake_is_found(kind: type) -> None:
    """The same machine fails for a queue, a lane or a ledger that is wrong in one way."""
    with pytest.raises(AssertionError):
        run_state_machine_as_test(mutant_of(kind), settings=budget(FOUND_WITHIN, Phase.generate))
