"""The signals that one process has raised and its master has not accepted.

A signal is noted here before it is written to the pipe. Two words count the signals: the process alone stores how many
it has put in, and the master alone how many it has accepted, so neither needs the other's lock.
"""

from __future__ import annotations

from .layout import LOW, OUTBOX, PAGE, opened, seal


class Outbox:
    """The ring of one process.

    Args:
        memory: its part of the file: the two words, then the ring.
    """

    def __init__(self, memory: memoryview) -> None:
        self._words = memory[:16].cast("Q")
        self._ring = memory[PAGE:]

    def prepare(self) -> None:
        """Count nothing: the file is new."""
        self._words[0] = self._words[1] = seal(0)

    def clear(self) -> None:
        """Forget what is still noted, once the process has ended and all that it raised is accepted."""
        self._words[1] = self._words[0]

    def accepted(self, count: int) -> None:
        """The master has accepted so many more signals."""
        taken = self.taken
        # Fewer are noted after the file was cut short, with signals in the pipe. Counting more than are noted would
        # leave no room for any other, for as long as the process lives.
        noted = opened(self._words[0]) - taken & LOW
        self._words[1] = seal(taken + min(count, noted))

    def put(self, signum: int) -> bool:
        """Note a signal that is about to be raised.

        Returns:
            Whether there was room.
        """
        words = self._words
        head, taken = words[0] & LOW, words[1] & LOW
        if head - taken & LOW >= OUTBOX:
            return False
        self._ring[head % OUTBOX] = signum  # before the word that counts it
        head = head + 1 & LOW
        words[0] = head | (head ^ LOW) << 32  # `seal`, without a call for each signal
        return True

    def undo(self) -> None:
        """The signal of the last `put` was not raised after all."""
        self._words[0] = seal(opened(self._words[0]) - 1)

    @property
    def taken(self) -> int:
        """How many signals were accepted, modulo 2**32."""
        return opened(self._words[1])
