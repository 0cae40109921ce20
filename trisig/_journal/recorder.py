"""The instrument that writes a journal while its master works."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trisig._ipc.raiser import THREADS
from trisig._model.dead_letter import DeadLetter
from trisig._model.instrument import Instrument
from trisig._model.invocation import QueuedTask
from trisig._model.process import ProcessInfo

from .in_flight import InFlightLog
from .journal import Journal
from .layout import DEAD


class JournalRecorder(Instrument):
    """Notes each change before it happens, so that another master can go on after any kill.

    Args:
        journal: the file.
        processes: the names of the children, in the order of their slots.
    """

    def __init__(self, journal: Journal, processes: Sequence[str]) -> None:
        self._journal = journal
        self._slots = {name: slot for slot, name in enumerate(processes)}
        self._encode = msgspec.msgpack.Encoder().encode
        self._unkept: list[int] = []  # positions of tasks that are queued next, and found no room
        # What the master's own tasks and sources raise is in no outbox: `send` has not returned before it is queued.
        self._outboxes = {**self._slots, THREADS: len(processes)}

    def raised(self, process: str, signals: bytes) -> None:  # noqa: ARG002  the journal finds them in the outbox
        """Note the intent: until `accepted`, the signals count as being in the outbox still."""
        if (slot := self._outboxes.get(process)) is not None:
            self._journal.begin(slot)

    def queued(self, destination: str, position: int, signals: bytes) -> None:
        """Append the signals to their queue."""
        self._journal.append(destination, position, signals)
        self._pass_over(destination)

    def task_queued(self, destination: str, position: int, task: QueuedTask) -> None:
        """Keep a task before it is queued: a place in a queue that has nothing beside it is a signal."""
        if task.durable or not self._journal.keep(destination, position, self._encode(task)):
            self._unkept.append(position)

    def _pass_over(self, destination: str) -> None:
        """Count as done what has only its place in the journal: the next master must not take it for a signal."""
        for position in self._unkept:
            self._journal.done(destination, position, 1)
        self._unkept.clear()

    def accepted(self, process: str, signals: bytes) -> None:
        """Advance the outbox, which ends the intent."""
        if (slot := self._outboxes.get(process)) is not None:
            self._journal.commit(slot, len(signals))

    def sent(self, process: str, number: int, destination: str, position: int, signals: bytes) -> None:
        """Note what the numbers of the lane stand for."""
        self._log(process).sent(number, destination, position, len(signals))

    def started(self, process: str, number: int, destination: str, position: int, signum: int) -> None:  # noqa: ARG002
        """Note what the number of an async handler stands for, for as long as it runs."""
        self._log(process).aside(number, destination, position)

    def finished(
        self, process: str, number: int | None, destination: str, position: int, signals: bytes, *, failed: bool
    ) -> None:
        """Mark the signals as done."""
        del failed  # a handler that raised is done, too
        self._journal.done(destination, position, len(signals))
        if number is not None:
            self._log(process).ended(number)

    def retried(
        self,
        process: str,
        number: int | None,
        destination: str,  # noqa: ARG002  the signal stays pending where it is
        position: int,  # noqa: ARG002
        signum: int,  # noqa: ARG002
        pause: float | None,  # noqa: ARG002
    ) -> None:
        """Forget what the number of an async handler stood for: it has ended."""
        if number is not None:
            self._log(process).ended(number)

    def moved(self, destination: str, position: int, to: str, start: int, signals: bytes) -> None:
        """Note the move as one step."""
        self._journal.move(destination, position, to, start, signals)
        self._pass_over(to)

    def dead_lettered(self, letter: DeadLetter, position: int) -> None:
        """Keep the letter, and mark the signal as done: the next master does not try it again."""
        self._journal.bury(letter.destination, position, int(letter.id), self._encode(letter))

    def requeued(self, letter: DeadLetter, destination: str, position: int) -> None:
        """Note it as a move."""
        self._journal.move(DEAD, int(letter.id), destination, position, bytes((letter.signum or 0,)))
        self._pass_over(destination)

    def dropped(self, letter: DeadLetter) -> None:
        """Forget it."""
        self._journal.done(DEAD, int(letter.id), 1)

    def process_ended(self, process: ProcessInfo, status: int | None) -> None:
        """Forget what the numbers of its lane stood for: everything is back in its queues."""
        del status
        self._journal.restart(self._slots[process.name])

    def _log(self, process: str) -> InFlightLog:
        return self._journal.in_flight_logs[self._slots[process]]
