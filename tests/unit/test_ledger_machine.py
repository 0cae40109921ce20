"""The accounting under any course of events, and the proof that a mistake in it would be found."""

from __future__ import annotations

import pytest
from course_budget import budget
from hypothesis import Phase
from hypothesis.stateful import run_state_machine_as_test
from ledger_machine import FINISHED, WINDOW, Machine

from trisig._model import queue as queue_module
from trisig._model.dead_letter import DeadLetter
from trisig._model.event import Event
from trisig._model.lane import ASIDE, STARTED, InFlight, Lane, read_entry
from trisig._model.ledger import Ledger
from trisig._model.queue import Queue

# The rarest mistake is met in one course of 70. Courses are much the same in every run, but not quite: Hypothesis
# looks at which modules are loaded, too.
FOUND_WITHIN = 4000


@pytest.mark.thorough
def test_any_course_of_events() -> None:
    """Nothing lost, nothing invented, order kept, blame where it belongs, whatever is killed or reclaimed and when."""
    run_state_machine_as_test(Machine, settings=budget(200, Phase.generate, Phase.shrink))


class WindowBeyondTheRing(Lane):
    @property
    def room(self) -> int:
        return super().room + 1


class StaleMark(Lane):
    """Leaves the last mark that it has read."""

    def read_marks(self) -> int:
        before = bytes(self._marks)
        passed = super().read_marks()
        if passed:
            last = (self.base - 1) % WINDOW
            self._marks[last] = before[last]
        return passed


class ClearsUnread(Lane):
    """Clears as far as the ring goes, not as far as it has read."""

    def read_marks(self) -> int:
        before = bytes(self._marks)
        passed = super().read_marks()
        if passed and self.busy and before[self.base % WINDOW] == STARTED:
            self._marks[self.base % WINDOW] = 0
        return passed


class SkipsUnknown(Lane):
    """Takes the end of a handler, whose start it has not read yet, for nothing."""

    _outermost = True  # the end of one handler may have the ends of others read

    def _retire_async(self) -> None:
        if not self._outermost:
            super()._retire_async()
            return
        self._outermost = False
        listed = self._finished[FINISHED]
        while self._listed != listed and read_entry(self._finished[self._listed % FINISHED])[0] not in self.aside:
            self._listed += 1
        super()._retire_async()
        self._outermost = True


class DeafToTheDead(Lane):
    """Blames a dead process for the async handlers that it has finished."""

    def died(self, *, blame: bool = True) -> list[DeadLetter]:
        self._finished[FINISHED] = self._listed
        return super().died(blame=blame)


class ForgetsAside(Lane):
    """Forgets, when a process dies, the async handlers that ran."""

    def died(self, *, blame: bool = True) -> list[DeadLetter]:
        self.read_marks()
        self.aside.clear()
        return super().died(blame=blame)


class CountsOnShared(Lane):
    """Lets a process read ahead what others could run."""

    def send(self, queue: Queue, limit: int) -> bytes:
        data = super().send(queue, limit)
        self.free_until = self.sent
        return data


class CountsOnNew(Lane):
    """Lets a process read ahead what others could run, when a new signal of its own comes behind it."""

    def send_new(self, queue: Queue, signal: bytes, event: Event | None = None) -> None:
        super().send_new(queue, signal, event)
        self.free_until = self.sent


class LosesCountOfNew(Lane):
    """Takes a new signal that others could run for one of this process alone."""

    def send_new(self, queue: Queue, signal: bytes, event: Event | None = None) -> None:
        before = self.shared
        super().send_new(queue, signal, event)
        self.shared = before


class TakesStartedForPassed(Lane):
    """Takes a process whose last handler runs for free."""

    @property
    def has_passed_all(self) -> bool:
        return super().has_passed_all or self._marks[(self.sent - 1) % WINDOW] == STARTED


class TakesBackAll(Lane):
    """Takes back what the process counts on."""

    def unsend(self, count: int) -> bytes:
        self._take_back(count)
        return b""


class RewritesTheWrongEnd(Lane):
    """Writes again what has been taken back, not what has stayed."""

    def unsend(self, count: int) -> bytes:
        held = self._last(count)
        kept = super().unsend(count)
        return held[len(held) - len(kept) :]


class UnwrittenStaysFree(Lane):
    """Lets the process count on signals that were never written."""

    def unwritten(self, count: int) -> None:
        self._take_back(count)


class TakesAMarkForAStart(Lane):
    """Sends more to a process that may see the limit only now, and drop what it has marked."""

    def lift_limit(self, drops: int) -> bool:
        return super().lift_limit(drops if self._must_drop else self._drops + 1)


class TakesADropForTheEnd(Lane):
    """Sends more to a process that has taken its mark back, and is about to throw away what is in the pipe."""

    def lift_limit(self, drops: int) -> bool:
        waits = self._must_drop or self._limited()[-1:] == bytes((STARTED,))
        return super().lift_limit(drops if waits else self._drops + 1)


class ForgetsThatItWasRead(Lane):
    """Sends more to a process that has not dropped what was taken back."""

    def lift_limit(self, drops: int) -> bool:
        self._must_drop = False
        return super().lift_limit(drops)


class LimitsWhatIsCountedOn(Lane):
    """Takes back, of the signals that the process has read, those that it never gives up."""

    def limit(self, drops: int) -> int:
        super().limit(drops)
        self._limit = self.base
        return self.base


class LeavesTheDropped(Lane):
    """Takes back only what looked unstarted at first."""

    _lifting = False

    def lift_limit(self, drops: int) -> bool:
        self._lifting = True
        try:
            return super().lift_limit(drops)
        finally:
            self._lifting = False

    def _unstarted(self) -> int:
        return 0 if self._lifting else super()._unstarted()


class LosesCountOfShared(Lane):
    """Does not count what it takes back of a shared queue."""

    def _take_back(self, count: int) -> None:
        before = self.shared
        super()._take_back(count)
        self.shared = before


class BlamesTheNeighbour(Lane):
    """Takes the first signal that was not started for one that was."""

    def _died_in(self, flight: InFlight) -> list[tuple[Queue, int, int]]:
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

    def finish(
        self, queue: Queue, start: int, data: bytes, process: str, number: int | None = None, *, failed: bool = False
    ) -> None:
        kept = dict(queue.attempts)
        super().finish(queue, start, data, process, number, failed=failed)
        queue.attempts.update(kept)


class KeepsTheDeadOpen(Ledger):
    """Tells no instrument what it has given up."""

    def blame(self, queue: Queue, position: int, signum: int) -> DeadLetter | None:
        self.instrument, instrument = None, self.instrument
        try:
            return super().blame(queue, position, signum)
        finally:
            self.instrument = instrument


class DropsTheLast(Ledger):
    """Loses the last of what a dead process had not started."""

    def put_back(self, queue: Queue, start: int, data: bytes, *, blamed: bool = False) -> None:
        self.redelivered += len(data)
        if data[:-1]:
            queue.put_back(start, data[:-1])


class PutsBackAtTheEnd(Queue):
    def put_back(self, start: int, data: bytes) -> None:
        self._settle_skip()
        self._chunks.append(queue_module._Chunk(start, data))
        self._length += len(data)


class PutsBackReversed(Queue):
    def put_back(self, start: int, data: bytes) -> None:
        super().put_back(start, data[::-1])


class GivesAPlaceTwice(Queue):
    """Keeps the place of a signal that does not wait for the next one."""

    def skip(self) -> int:
        return self.reach


class PutsBackAnew(Queue):
    """Gives a signal that comes back a new place."""

    def put_back(self, start: int, data: bytes) -> None:
        self.append(data)


class ForgetsPriorities(Queue):
    """Lets a task that comes back wait behind those that it has overtaken."""

    def _overtakes(self, position: int) -> bool:
        return False


class TakesTheYoungest(Queue):
    """Takes the last of several tasks of one priority first."""

    def take(self, limit: int) -> tuple[int, bytes]:
        if not self._urgent:
            return super().take(limit)
        first = max(one for one in self._urgent if one[0] == self._urgent[0][0])
        self._urgent = sorted(one for one in self._urgent if one is not first)
        self._length -= 1
        return first[1], b"\0"


class ForgetsWhatWasTaken(Queue):
    """Puts back in front of a chunk of which a part was taken, as if it were whole."""

    def _settle_skip(self) -> None:
        self._skip = 0


class SetsAsideForGood(Lane):
    """Takes the start of an async handler for its end."""

    def _retire_one(self, state: int, number: int, queue: Queue, position: int, signum: int) -> None:
        super()._retire_one(state, number, queue, position, signum)
        if state == ASIDE:
            self._finish(number, queue, position, bytes((signum,)))


class LeavesItsNote(Lane):
    """Tells instruments the wrong number when an async handler has ended."""

    _unnoted = False

    def _retire_async(self) -> None:
        self._unnoted = True
        super()._retire_async()
        self._unnoted = False

    def _finish(self, number: int, queue: Queue, start: int, data: bytes, *, failed: bool = False) -> None:
        super()._finish(-1 if self._unnoted else number, queue, start, data, failed=failed)


class ReusesNumbersSilently(Lane):
    """Lets a process take what comes under a number for the task that was taken back from there."""

    def _unload(self, flight: InFlight, split: int) -> None:
        super()._unload(flight, split)
        self.unload.clear()


class LoadsByPlace(Lane):
    """Gives the arguments of a task to the number after it if a part of the chunk was taken before."""

    def send(self, queue: Queue, limit: int) -> bytes:
        before = dict(self.load)
        data = super().send(queue, limit)
        if len(data) > 1:
            new = {number + 1: one for number, one in self.load.items() if number not in before}
            self.load.clear()
            self.load.update(before | new)
        return data


class LoadsOnce(Lane):
    """Keeps no arguments for a second try."""

    def send(self, queue: Queue, limit: int) -> bytes:
        data = super().send(queue, limit)
        for one in self.load.values():
            for position in [place for place, kept in queue.invocations.items() if kept is one]:
                del queue.invocations[position]
        return data


class TakesTasksForSignals(Ledger):
    """Counts a finished task under its byte."""

    def finish(
        self, queue: Queue, start: int, data: bytes, process: str, number: int | None = None, *, failed: bool = False
    ) -> None:
        kept = queue.invocations
        queue.invocations = {}
        super().finish(queue, start, data, process, number, failed=failed)
        queue.invocations = kept
        for position in range(start, start + len(data)):
            self._let_go(queue, position)


class KeepsArgumentsOfTheDead(Ledger):
    """Never lets go of the arguments of what it has given up."""

    def blame(self, queue: Queue, position: int, signum: int) -> DeadLetter | None:
        kept = queue.invocations.get(position)
        letter = super().blame(queue, position, signum)
        if letter is not None and kept is not None:
            queue.invocations[position] = kept
        return letter


MUTANTS = [kind for base in (Queue, Lane, Ledger) for kind in base.__subclasses__() if kind.__module__ == __name__]


def mutant_of(kind: type) -> type[Machine]:
    """The machine with one class of the ledger replaced."""
    place = next(
        place for place in ("queue_class", "lane_class", "ledger_class") if issubclass(kind, getattr(Machine, place))
    )
    return type(kind.__name__, (Machine,), {place: kind})


@pytest.mark.thorough
@pytest.mark.parametrize("kind", MUTANTS, ids=lambda kind: kind.__name__)
def test_a_planted_mistake_is_found(kind: type) -> None:
    """The same machine fails for a queue, a lane or a ledger that is wrong in one way."""
    with pytest.raises(AssertionError):
        run_state_machine_as_test(mutant_of(kind), settings=budget(FOUND_WITHIN, Phase.generate))
