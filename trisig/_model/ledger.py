"""The accounting: where every accepted signal is. Pure: bytes in, bytes out, no clock and no I/O.

A signal is one byte. `Queue` holds the signals that wait for one destination. Each keeps its position for life, so one
that comes back from a dead process returns to its place. `Lane` holds the signals that one process was given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from random import randrange

from .dead_letter import DeadLetter
from .dead_letter_book import DeadLetterBook
from .event import EVENT_BYTES, Event
from .instrument import Instrument
from .invocation import PLACE, Invocation, QueuedTask
from .queue import Queue
from .turns import Turns


class Counts:
    """Signals by number, tasks by index, and both in total."""

    __slots__ = ("by_signum", "by_task", "total")

    def __init__(self) -> None:
        self.total = 0
        self.by_signum = [0] * 256
        self.by_task: Counter[int] = Counter()

    def add(self, data: bytes) -> None:
        """Count signals, one byte each."""
        size = len(data)
        self.total += size
        if size == 1 or data.count(data[0]) == size:
            self.by_signum[data[0]] += size
            return
        for signum in set(data):
            self.by_signum[signum] += data.count(signum)

    def add_from(self, queue: Queue, start: int, data: bytes) -> None:
        """Count what stands in a queue, signals and tasks.

        Args:
            queue: where they are from.
            start: the position of the first of them there.
            data: one byte each.
        """
        if not queue.invocations:
            self.add(data)
            return
        tasks = queue.invocations
        self.total += len(data)
        for position, signum in enumerate(data, start):
            if (invocation := tasks.get(position)) is not None:
                self.by_task[invocation.task] += 1
            else:
                self.by_signum[signum] += 1


class Ledger:
    """The counters of one master, and the one place where a signal changes its state.

    `accepted == done + dead_lettered + pending` at any time; `failed` is a part of `done`.

    Args:
        max_attempts: how often a handler may end its process before its signal is dead-lettered.
        instrument: told of every change, just before a queue changes; None for nobody.
        tasks: the names of the tasks, by their indices.
        given_up: called with each task that is dead-lettered, after it was counted.
        turns: whose turn it is, and what is tried again.
        durable: the indices of those tasks that are never given up here: their starts are counted on the disk.
        clock: the time, in seconds since the epoch, for dead letters.
        monotonic_ns: the time in nanoseconds since any moment, for queueing times.

    Attributes:
        argument_bytes: the size of all that was accepted and is not finished.
        letters: what was dead-lettered, and neither requeued nor forgotten.
    """

    def __init__(
        self,
        max_attempts: int = 3,
        instrument: Instrument | None = None,
        tasks: Sequence[str] = (),
        given_up: Callable[[Invocation, DeadLetter], object] = lambda _invocation, _letter: None,
        turns: Turns | None = None,
        durable: Collection[int] = (),
        clock: Callable[[], float] = lambda: 0.0,
        monotonic_ns: Callable[[], int] = lambda: 0,
    ) -> None:
        self.instrument = instrument
        self.max_attempts = max_attempts
        self.accepted = Counts()
        self.done = Counts()
        self.failed = Counts()
        self.dead_lettered = Counts()
        self.retried = Counts()
        self.redelivered = 0
        self.turns = Turns() if turns is None else turns
        self.argument_bytes = 0
        self.monotonic_ns = monotonic_ns
        self.letters = DeadLetterBook(clock)
        self._tasks = tasks
        self._given_up = given_up
        self._durable = durable

    @property
    def pending(self) -> int:
        """Accepted and not finished: queued or in flight."""
        return self.accepted.total - self.done.total - self.dead_lettered.total

    def name_at(self, queue: Queue, position: int, signum: int) -> int | str:
        """What stands at a position: the name of a task, or the number of a signal."""
        invocation = queue.invocations.get(position)
        return signum if invocation is None else self._tasks[invocation.task]

    def accept(self, queue: Queue, data: bytes, event: Event | None = None) -> None:
        """Take over signals for a destination, but for those of which another one waits there already.

        Args:
            queue: of the destination.
            data: one byte each.
            event: what raised them; None if nobody may ask.
        """
        if self.turns.limited and queue.takes_turns:
            data = self.turns.without_surplus(queue, data)
        if data:
            self.restore(queue, data, event)

    def restore(self, queue: Queue, data: bytes, event: Event | None = None) -> None:
        """Take over signals for a destination, each of them."""
        self.accepted.add(data)
        start = queue.reach
        if self.instrument is not None:
            self.instrument.queued(queue.name, start, data)
        if queue.probe is None and start >= queue.next_probe:
            self._probe(queue, start, len(data))
        queue.append(data)
        if event is not None:
            for position in range(start, start + len(data)):
                queue.note(position).event = event
                self.argument_bytes += EVENT_BYTES
        if self.turns.limited and queue.takes_turns:
            self.turns.joined(queue, start, data)

    def _probe(self, queue: Queue, start: int, count: int) -> None:
        """Measure how long one of these waits; any of them, for the first and the last of many are no sample."""
        now = self.monotonic_ns()
        queue.probe = start + (randrange(count) if count > 1 else 0), now  # noqa: S311  no secret
        queue.probed(now)

    def accept_tasks(
        self, queue: Queue, invocations: Sequence[Invocation], due: float = 0.0, destination: str = ""
    ) -> None:
        """Take over one task or more for a destination.

        Args:
            queue: of the destination.
            invocations: all of one task, and of one priority.
            due: as in `QueuedTask`.
            destination: as in `QueuedTask`.
        """
        size = len(invocations)
        self.accepted.total += size
        self.accepted.by_task[invocations[0].task] += size
        self.argument_bytes += sum([len(invocation.arguments) for invocation in invocations])
        if self.instrument is not None:
            for position, invocation in enumerate(invocations, queue.reach):
                self._announce(queue, position, invocation, due, destination)
            self.instrument.queued(queue.name, queue.reach, PLACE * size)
        if queue.probe is None and queue.reach >= queue.next_probe:
            self._probe(queue, queue.reach, size)
        queue.append_tasks(invocations)

    def move(self, queue: Queue, position: int, data: bytes, to: Queue) -> None:
        """Put a signal or a task that was taken from one queue at the end of another."""
        queue.attempts.pop(position, None)
        invocation = queue.invocations.pop(position, None)
        if self.instrument is not None:
            if invocation is not None:
                self._announce(to, to.reach, invocation)
            self.instrument.moved(queue.name, position, to.name, to.reach, data)
        if queue.notes:
            if (note := queue.notes.get(position)) is not None and note.claim is not None:
                to.note(to.reach).claim, note.claim = note.claim, None
            self._close_notes(queue, position, data)
        if to.probe is None and to.reach >= to.next_probe:
            self._probe(to, to.reach, 1)
        if invocation is None:
            to.append(data)
        else:
            to.append_tasks([invocation])

    def _announce(
        self, queue: Queue, position: int, invocation: Invocation, due: float = 0.0, destination: str = ""
    ) -> None:
        assert self.instrument is not None
        task = QueuedTask(
            self._tasks[invocation.task],
            bytes(invocation.arguments),
            due,
            destination,
            invocation.task in self._durable,
            invocation.priority,
        )
        self.instrument.task_queued(queue.name, position, task)

    def finish(
        self, queue: Queue, start: int, data: bytes, process: str, number: int | None = None, *, failed: bool = False
    ) -> None:
        """Signals were handled to the end, or taken by a `wait`.

        Args:
            queue: where they came from.
            start: the position of the first of them there.
            data: one byte each.
            process: who handled them.
            number: of the first of them among all that this process was sent; None for a `wait`.
            failed: whether their handlers raised. One that is to be tried again is not finished.
        """
        if failed and self._try_again(queue, start, data[0], process, number):
            return
        if self.instrument is not None:
            self.instrument.finished(process, number, queue.name, start, data, failed=failed)
        if queue.attempts:
            for position in range(start, start + len(data)):
                queue.attempts.pop(position, None)
        if queue.notes:
            self._close_notes(queue, start, data)
        if queue.invocations:
            self._finish_with_tasks(queue, start, data, failed=failed)
            return
        self.done.add(data)
        if failed:
            self.failed.add(data)

    def withdraw(self, queue: Queue, process: str) -> None:
        """Give back what came from the cluster and waits in a queue; it is finished here.

        Args:
            queue: where.
            process: who is said to have taken it.
        """
        claimed = [(position, note) for position, note in queue.notes.items() if note.claim is not None]
        for position, note in claimed:
            try:
                signum = queue.take_at(position)
            except LookupError:
                continue  # some process has it, or it rests
            assert note.claim is not None
            note.claim.withdrawn()
            note.claim = None
            self.finish(queue, position, bytes((signum,)), process)

    def _close_notes(self, queue: Queue, start: int, data: bytes, letter: DeadLetter | None = None) -> None:
        for position, signum in enumerate(data, start):
            note = queue.notes.pop(position, None)
            if note is None:
                continue
            if note.claim is not None:
                note.claim.ended(letter)
            if note.event is not None:
                self.argument_bytes -= EVENT_BYTES
            self.turns.ended(queue, position, signum)

    def _try_again(self, queue: Queue, position: int, signum: int, process: str, number: int | None) -> bool:
        """A handler has raised: let its signal rest and come back, or give it up; whether it is a case for that."""
        retry = self.turns.retry_of(signum)
        if retry is None or position in queue.invocations:
            return False
        note = queue.note(position)
        note.failures += 1
        pause = retry.pause(note.failures)
        if self.instrument is not None:
            self.instrument.retried(process, number, queue.name, position, signum, pause)
        if pause is not None:
            self.retried.add(bytes((signum,)))
            self.turns.rest(queue, position, signum, pause)
            return True
        letter = DeadLetter(signum, queue.name, queue.attempts.pop(position, 0), failures=note.failures)
        letter = self._give_up(queue, position, signum, letter)
        self.turns.gave_up(letter)
        return True

    def _finish_with_tasks(self, queue: Queue, start: int, data: bytes, *, failed: bool) -> None:
        self.done.add_from(queue, start, data)
        if failed:
            self.failed.add_from(queue, start, data)
        for position in range(start, start + len(data)):
            self._let_go(queue, position)

    def _let_go(self, queue: Queue, position: int) -> Invocation | None:
        """Forget the arguments at a position that is finished or given up; the task, if one stood there."""
        invocation = queue.invocations.pop(position, None)
        if invocation is not None:
            self.argument_bytes -= len(invocation.arguments)
        return invocation

    def blame(self, queue: Queue, position: int, signum: int) -> DeadLetter | None:
        """Count an unfinished start: put the signal back, or give it up."""
        invocation = queue.invocations.get(position)
        if invocation is not None and invocation.task in self._durable:
            self.put_back(queue, position, bytes((signum,)), blamed=True)
            return None
        attempts = queue.attempts.get(position, 0) + 1
        if attempts < self.max_attempts:
            queue.attempts[position] = attempts
            self.put_back(queue, position, bytes((signum,)), blamed=True)
            return None
        queue.attempts.pop(position, None)
        task = None if invocation is None else self._tasks[invocation.task]
        note = queue.notes.get(position)
        failures = 0 if note is None else note.failures
        letter = self._give_up(
            queue,
            position,
            signum,
            DeadLetter(
                signum if invocation is None else None,
                queue.name,
                attempts,
                task,
                failures,
                arguments=b"" if invocation is None else bytes(invocation.arguments),
            ),
        )
        if invocation is not None:
            self._let_go(queue, position)
            self._given_up(invocation, letter)
        return letter

    def _give_up(self, queue: Queue, position: int, signum: int, letter: DeadLetter) -> DeadLetter:
        letter = self._bury(letter, position)
        self.dead_lettered.add_from(queue, position, bytes((signum,)))
        note = queue.notes.get(position)
        if note is not None and note.claim is not None:
            self.forget(letter)  # the cluster keeps it
        if queue.notes:
            self._close_notes(queue, position, bytes((signum,)), letter)
        return letter

    # Dead letters

    def _bury(self, letter: DeadLetter, position: int) -> DeadLetter:
        letter = self.letters.dated(letter)
        if self.instrument is not None:
            self.instrument.dead_lettered(letter, position)
        self.letters.add(letter)
        if (oldest := self.letters.oldest_in_excess) is not None:
            self.forget(oldest)
        return letter

    def accept_letter(self, letter: DeadLetter) -> DeadLetter:
        """Take over what was given up elsewhere: by an earlier master, or because nothing here can run it."""
        letter = self._bury(letter, -1)
        self._count_letter(self.accepted, letter, 1)
        self._count_letter(self.dead_lettered, letter, 1)
        return letter

    def requeue(self, letter: DeadLetter, queue: Queue) -> None:
        """Put what was given up at the end of a queue; it has all its attempts again.

        Raises:
            ValueError: it is a task that this application does not have.
        """
        if letter.task is not None and letter.task not in self._tasks:
            raise ValueError(f"there is no task {letter.task} in this application")
        data, invocation = self._again(letter)
        if self.instrument is not None:
            if invocation is not None:
                self._announce(queue, queue.reach, invocation)
            self.instrument.requeued(letter, queue.name, queue.reach)
        self.letters.remove(letter)
        self._count_letter(self.dead_lettered, letter, -1)
        start = queue.reach
        if invocation is None:
            queue.append(data)
            self.turns.joined(queue, start, data)
        else:
            self.argument_bytes += len(letter.arguments)
            queue.append_tasks([invocation])

    def _again(self, letter: DeadLetter) -> tuple[bytes, Invocation | None]:
        if letter.task is None:
            return bytes((letter.signum or 0,)), None
        return PLACE, Invocation(self._tasks.index(letter.task), letter.arguments)

    def forget(self, letter: DeadLetter) -> None:
        """Drop what was given up; it stays counted as dead-lettered."""
        if self.instrument is not None:
            self.instrument.dropped(letter)
        self.letters.remove(letter)

    def _count_letter(self, counts: Counts, letter: DeadLetter, by: int) -> None:
        counts.total += by
        if letter.task is None:
            counts.by_signum[letter.signum or 0] += by
        elif letter.task in self._tasks:
            counts.by_task[self._tasks.index(letter.task)] += by

    def excuse(self, queue: Queue, position: int, signum: int) -> None:
        """Put an unfinished start back without counting it."""
        self.put_back(queue, position, bytes((signum,)))

    def put_back(self, queue: Queue, start: int, data: bytes, *, blamed: bool = False) -> None:
        """Return signals to their places, because the process that had them is gone."""
        self.redelivered += len(data)
        if self.instrument is not None:
            self.instrument.redelivered(queue.name, start, data, blamed=blamed)
        queue.put_back(start, data)
