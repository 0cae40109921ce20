"""`overlap=` and `retry=` under any course of events, and the proof that a mistake in them would be found."""

from __future__ import annotations

import pytest
from course_budget import budget
from hypothesis import Phase
from hypothesis.stateful import run_state_machine_as_test
from turns_machine import TurnsMachine

from trisig._model.dead_letter import DeadLetter
from trisig._model.ledger import Ledger
from trisig._model.queue import Queue
from trisig._model.turns import Turns

FOUND_WITHIN = 2000  # courses


@pytest.mark.thorough
def test_any_course_of_events() -> None:
    """One waits at most, no two run at a time, failures are counted to the last attempt, and all come to their end."""
    run_state_machine_as_test(TurnsMachine, settings=budget(80, Phase.generate, Phase.shrink))


class RunsBoth(Turns):
    """Lets the second one join its queue at once."""

    def _join(self, queue: Queue, position: int, signum: int) -> None:
        if (queue.name, signum) not in self._rows:
            super()._join(queue, position, signum)


class SeesNoTurn(Turns):
    """Lets a new one pass by the one whose turn it is."""

    def has_turn(self, signum: int) -> bool:
        return False


class TakesNoTurn(Turns):
    """Forgets that a new one has its turn."""

    def joined(self, queue: Queue, start: int, signals: bytes) -> None:
        if len(queue):  # it did not pass by the queue
            super().joined(queue, start, signals)


class KeepsNone(Turns):
    """Takes one that runs for one that waits."""

    def _one_waits(self, queue: Queue, signum: int) -> bool:
        return (queue.name, signum) in self._rows


class KeepsTwo(Turns):
    """Looks only at the one whose turn it is."""

    def _one_waits(self, queue: Queue, signum: int) -> bool:
        row = self._rows.get((queue.name, signum))
        return row is not None and not queue.notes[row.turn].has_started


class ForgetsTheNext(Turns):
    """Lets what rests rest for ever."""

    def rejoin(self, queue: Queue, position: int) -> None:
        if position not in {row.turn for row in self._rows.values()}:
            super().rejoin(queue, position)


class EndsWithTheFailure(Turns):
    """Lets the next one run while a failed one rests before its next attempt."""

    def rest(self, queue: Queue, position: int, signum: int, seconds: float) -> None:
        super().rest(queue, position, signum, seconds)
        self.ended(queue, position, signum)


class SkipsByQueue(Turns):
    """Forgets, with the first of two copies, that the other one still runs."""

    def ended(self, queue: Queue, position: int, signum: int) -> None:
        super().ended(queue, position, signum)
        if signum in self._skip:
            self._pending[signum] = 0


class SkipsTheBatch(Turns):
    """Skips all of a batch, the first of it too."""

    def _cut(self, signals: bytes, signum: int, *, keep: bool) -> bytes:
        return super()._cut(signals, signum, keep=keep and signals.count(signum) == 1)


class LosesThePause(Turns):
    """Never brings back what has failed."""

    def rest(self, queue: Queue, position: int, signum: int, seconds: float) -> None:
        super().rest(queue, position, signum, seconds)
        self.paused.clear()


class CountsNoFailures(Ledger):
    """Tries again for ever."""

    def _try_again(self, queue: Queue, position: int, signum: int, process: str, number: int | None) -> bool:
        if (note := queue.notes.get(position)) is not None:
            note.failures = 0
        return super()._try_again(queue, position, signum, process, number)


class EndsNoTurn(Ledger):
    """Forgets that a dead letter was somebody's turn."""

    def _give_up(self, queue: Queue, position: int, signum: int, letter: DeadLetter) -> DeadLetter:
        note = queue.notes.pop(position, None)
        letter = super()._give_up(queue, position, signum, letter)
        if note is not None:
            queue.notes[position] = note
        return letter


class KeepsTheHolder(Queue):
    """Takes what a dead process had begun for begun when it waits again."""

    def put_back(self, start: int, data: bytes) -> None:
        holders = {position: note.holder for position, note in self.notes.items()}
        super().put_back(start, data)
        for position, holder in holders.items():
            self.notes[position].holder = holder


@pytest.mark.thorough
@pytest.mark.parametrize(
    "mistake",
    [
        *(RunsBoth, KeepsNone, KeepsTwo, ForgetsTheNext, EndsWithTheFailure, SkipsByQueue, SkipsTheBatch),
        *(LosesThePause, CountsNoFailures, EndsNoTurn, KeepsTheHolder),
    ],
)
def test_a_mistake_would_be_found(mistake: type[Turns | Ledger | Queue]) -> None:
    """The negative control: each of these is met within a bounded number of courses."""
    kind = next(base for base in (Turns, Ledger, Queue) if issubclass(mistake, base))
    machine = type(f"With{mistake.__name__}", (TurnsMachine,), {f"{kind.__name__.lower()}_class": mistake})
    with pytest.raises((AssertionError, LookupError, IndexError)):
        run_state_machine_as_test(machine, settings=budget(FOUND_WITHIN, Phase.generate))
