"""Signals without a handler, and those who wait for them. Pure.

They stay in one queue, in order. A process asks for the next one, or for the next of one number; whoever
asked first is granted first. A grant is in flight until the process says that its `wait` has returned; if
it is cancelled or the process ends, the signal goes back to its place.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from .destination import Destination
from .ledger import Ledger
from .process import MASTER
from .queue import Queue

Grant = Callable[[str, int, int], None]
WAIT = "wait"  # the name of the queue


class _Ask(msgspec.Struct):
    process: str
    key: int
    wanted: int | None


class Waiters(Destination):
    """Tasks in `wait`, and the signals without a handler, which they take.

    Args:
        ledger: the counters to keep.
        grant: called with (process, key, signum) when a signal goes to the one who asked with that key.
        passed: called after signals that were granted have been taken, or have come back.
    """

    def __init__(self, ledger: Ledger, grant: Grant, passed: Callable[[], None] = lambda: None) -> None:
        self._ledger = ledger
        self._grant = grant
        self._passed = passed
        self.queue = Queue(WAIT, shared=True)
        self._seen = 0  # the position up to which the queue was matched
        self._asks: list[_Ask] = []
        self._granted: dict[tuple[str, int], tuple[int, int]] = {}

    @property
    def in_flight(self) -> int:
        """How many grants are not confirmed."""
        return len(self._granted)

    @property
    def deliverable(self) -> int:
        """None: a signal without a handler waits for a task that may never come."""
        return 0

    def deliver(self) -> None:
        """Grant what has joined the queue since the last time."""
        self.match()

    @property
    def waiting(self) -> int:
        """How many tasks wait."""
        return len(self._asks)

    def ask(self, process: str, key: int, wanted: int | None) -> None:
        """Wait for the next unregistered signal, or for the next of one number."""
        ask = _Ask(process, key, wanted)
        self._asks.append(ask)
        self._serve([ask])

    def end(self, process: str, key: int, *, took: bool) -> None:
        """The wait is over: its signal was taken, or is not wanted any more."""
        self._asks = [ask for ask in self._asks if (ask.process, ask.key) != (process, key)]
        granted = self._granted.pop((process, key), None)
        if granted is None:
            return
        position, signum = granted
        if took:
            self._ledger.finish(self.queue, position, bytes((signum,)), process)
        else:
            self._ledger.put_back(self.queue, position, bytes((signum,)))
            self.match(bytes((signum,)))
        self._passed()

    def drop(self, signum: int, most: int) -> int:
        """Take signals of one number out of the queue, as if they had been waited for; how many.

        Args:
            signum: the number.
            most: how many at most.
        """
        dropped = 0
        while dropped < most and (position := self.queue.take_first(signum)) is not None:
            self._ledger.finish(self.queue, position, bytes((signum,)), MASTER)
            dropped += 1
        if dropped:
            self._passed()
        return dropped

    def left(self, process: str) -> None:
        """A process has ended: forget what it waited for, put back what it was granted."""
        self._asks = [ask for ask in self._asks if ask.process != process]
        held = [place for place in self._granted if place[0] == process]
        # All of it goes back before any is granted again, or a later one could overtake an earlier one.
        back = bytearray()
        for place in held:
            position, signum = self._granted.pop(place)
            self._ledger.put_back(self.queue, position, bytes((signum,)))
            back.append(signum)
        if held:
            self.match(back)
            self._passed()

    def match(self, back: bytes | bytearray = b"") -> None:
        """Grant what can be granted now, those who asked first being first.

        Args:
            back: what was put back into the queue; what has come to its end since the last time is looked at too.
        """
        # Nobody waits for what was there before: so millions that are kept cost those nothing who want another.
        new = {None, *back, *self.queue.since(self._seen)}
        self._seen = self.queue.reach
        self._serve([ask for ask in self._asks if ask.wanted in new])

    def _serve(self, asks: list[_Ask]) -> None:
        for ask in asks:
            if not len(self.queue):
                return
            found = self._find(ask.wanted)
            if found is not None:
                self._asks.remove(ask)
                self._granted[ask.process, ask.key] = found
                self._grant(ask.process, ask.key, found[1])

    def _find(self, wanted: int | None) -> tuple[int, int] | None:
        if wanted is None:
            start, data = self.queue.take(1)
            return start, data[0]
        position = self.queue.take_first(wanted)
        return None if position is None else (position, wanted)
