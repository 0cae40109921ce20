"""What one process has raised and its master has not accepted: noted before it is written to the pipe."""

from __future__ import annotations

import threading

from ._layout import LOW, OUTBOX, PAGE, opened, seal


class Outbox:
    """The notes of one process.

    Args:
        memory: its part of the file: two words, how much was put in, written by the process, and how much was
            accepted, written by the master; then the ring.

    Attributes:
        lock: to be held from `put` until the signal was raised.
    """

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[:16].cast("Q")
        self._ring = memory[PAGE:]
        self.lock = threading.Lock()

    def prepare(self) -> None:
        """In a new file."""
        self._words[0] = self._words[1] = seal(0)

    def clear(self) -> None:
        """The process has ended, and what it raised is accepted: what is still noted was never raised."""
        self._words[1] = self._words[0]

    def accepted(self, count: int) -> None:
        self._words[1] = seal(self.taken + count)

    def put(self, signum: int) -> bool:
        """Note a signal that is about to be raised; False if there is no room."""
        words = self._words
        head, taken = words[0] & LOW, words[1] & LOW
        if head - taken & LOW >= OUTBOX:
            return False
        self._ring[head % OUTBOX] = signum
        head = head + 1 & LOW
        words[0] = head | (head ^ LOW) << 32  # `seal`, without a call for each signal
        return True

    def undo(self) -> None:
        """It was not raised after all."""
        self._words[0] = seal(opened(self._words[0]) - 1)

    @property
    def taken(self) -> int:
        """How much was accepted."""
        return opened(self._words[1])
