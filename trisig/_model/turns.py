"""Signals of which not all may run: the rules of `overlap=` and `retry=`. Pure, and without a clock.

A signal of a number with `overlap="one"` or `"skip"` takes its turn. Of one number in one queue

    due -> queued -> running -> done
                        |-----> failed -> resting -> queued
                        '-----> failed too often -> dead

at most one is anywhere between queued and done: that is the one whose turn it is. With `one`, another rests meanwhile,
and joins its queue when the turn ends. What rests keeps its place for life, so a journal sees nothing of it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping

import msgspec

from .backoff import Backoff
from .dead_letter import DeadLetter
from .handling import Handling
from .queue import Queue


class _Row(msgspec.Struct):
    """The signals of one number in one queue: the position whose turn it is, and those that come after it."""

    turn: int
    next: deque[int] = msgspec.field(default_factory=deque)


class Turns:
    """Whose turn it is.

    Args:
        barrier: orders what the processes have stored before what is read next; see `_linux.membarrier`.

    Attributes:
        limited: the numbers of which not every signal may run.
        skipped: signals that were not accepted, by number.
        paused: failed signals that rest, for the master to take: (seconds, queue, position).
        freed: queues that signals have joined meanwhile, for the master to take.
        letters: what has failed too often, for the master to take.
        notify: called when there is something to take.
    """

    def __init__(self, barrier: Callable[[], object] = lambda: None) -> None:
        self._barrier = barrier
        self._rows: dict[tuple[str, int], _Row] = {}
        self._pending: Counter[int] = Counter()  # rows, by number
        self._one: tuple[int, ...] = ()
        self._skip: tuple[int, ...] = ()
        self.limited = frozenset[int]()
        self._retry: dict[int, Backoff] = {}
        self.skipped: Counter[int] = Counter()
        self.paused: list[tuple[float, Queue, int]] = []
        self.freed: list[Queue] = []
        self.letters: list[DeadLetter] = []
        self.notify: Callable[[], object] = lambda: None

    def rule(self, handling: Mapping[int, Handling]) -> None:
        """Go by these rules from now on.

        Args:
            handling: by number; those that are missing are queued, and not tried again.
        """
        self._one = tuple(signum for signum, rule in handling.items() if rule.overlap == "one")
        self._skip = tuple(signum for signum, rule in handling.items() if rule.overlap == "skip")
        self.limited = frozenset((*self._one, *self._skip))
        self._retry = {signum: rule.retry for signum, rule in handling.items() if rule.retry is not None}

    def has_turn(self, signum: int) -> bool:
        """Whether a signal of a number with a rule is anywhere between queued and done, as far as is known."""
        return self._pending[signum] > 0

    # Signals in

    def without_skipped(self, signals: bytes) -> bytes:
        """What is left of raised signals once those that `skip` forbids are gone, before they are routed."""
        for signum in self._skip:
            if signum in signals:
                signals = self._cut(signals, signum, keep=not self._pending[signum])
        return signals

    def without_surplus(self, queue: Queue, signals: bytes) -> bytes:
        """What is left of signals for a queue once those are gone for which one waits there already."""
        for signum in self._one:
            if signum in signals:
                signals = self._cut(signals, signum, keep=not self._one_waits(queue, signum))
        return signals

    def _cut(self, signals: bytes, signum: int, *, keep: bool) -> bytes:
        """Take all signals of a number out, or all but the first."""
        byte = bytes((signum,))
        first = signals.index(byte) + 1 if keep else 0
        self.skipped[signum] += signals.count(byte, first)
        return signals[:first] + signals[first:].replace(byte, b"")

    def _one_waits(self, queue: Queue, signum: int) -> bool:
        row = self._rows.get((queue.name, signum))
        if row is None:
            return False
        # A handler that has read what had changed before this signal was raised may have begun, and its mark be on the
        # way.
        self._barrier()
        return bool(row.next) or not queue.notes[row.turn].has_started

    def joined(self, queue: Queue, start: int, signals: bytes) -> None:
        """Signals have joined a queue: those that take turns and come second rest."""
        if self.limited.isdisjoint(signals):
            return
        for position, signum in enumerate(signals, start):
            if signum in self.limited:
                self._join(queue, position, signum)

    def _join(self, queue: Queue, position: int, signum: int) -> None:
        queue.note(position)
        row = self._rows.get((queue.name, signum))
        if row is None:
            self._rows[queue.name, signum] = _Row(position)
            self._pending[signum] += 1
            return
        queue.take_at(position)
        queue.resting[position] = signum
        queue.held += 1
        row.next.append(position)

    # Signals that come to an end

    def ended(self, queue: Queue, position: int, signum: int) -> None:
        """A signal is done, or given up, or has left the queue: the next one has its turn."""
        row = self._rows.get((queue.name, signum))
        if row is None or row.turn != position:
            return
        if not row.next:
            del self._rows[queue.name, signum]
            self._pending[signum] -= 1
            return
        row.turn = row.next.popleft()
        queue.held -= 1
        self.rejoin(queue, row.turn)

    def rejoin(self, queue: Queue, position: int) -> None:
        """Put what has rested back into its place."""
        queue.put_back(position, bytes((queue.resting.pop(position),)))
        self.freed.append(queue)
        self.notify()

    # Signals that fail

    def retry_of(self, signum: int) -> Backoff | None:
        """How often a number is tried; None for once."""
        return self._retry.get(signum)

    def rest(self, queue: Queue, position: int, signum: int, seconds: float) -> None:
        """A handler has failed: its signal rests before it is tried again."""
        queue.note(position).holder = None
        queue.resting[position] = signum
        if seconds:
            self.paused.append((seconds, queue, position))
            self.notify()
        else:
            self.rejoin(queue, position)

    def gave_up(self, letter: DeadLetter) -> None:
        """A signal has failed too often."""
        self.letters.append(letter)
        self.notify()
