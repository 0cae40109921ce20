"""The signal table: 256 entries that the master writes and every process reads.

An entry is known in full to the master (`Table`); what the others need of it fits in one aligned 64-bit
word of shared memory: whether the number is registered, and which change made it so. A word is stored by
one machine instruction, so a reader sees the old entry or the new one and a process that dies can tear
nothing. Only the master writes; the others ask it to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ._errors import SignalTableError
from ._signum import SIGNALS, check_signum
from ._targets import Target

WORDS = SIGNALS + 1
_CHANGES = SIGNALS  # the word that counts changes


def taken(signum: int) -> SignalTableError:
    return SignalTableError(f"signal {signum} is registered already; unregister({signum}) first, or use free_signum()")


def unknown(signum: int) -> SignalTableError:
    return SignalTableError(f"signal {signum} is not registered")


def full() -> SignalTableError:
    return SignalTableError("all 256 signals are registered; unregister one first")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: who runs the handler, and which process registered it (None: the master)."""

    target: Target
    owner: str | None = None


class TableView:
    """What any process reads of the table, straight from shared memory."""

    def __init__(self, words: memoryview) -> None:
        self._words = words

    def is_registered(self, signum: int) -> bool:
        return bool(self._words[check_signum(signum)])

    def free_signum(self) -> int:
        """The lowest number without an entry.

        Raises:
            SignalTableError: all 256 are taken.
        """
        for signum in range(SIGNALS):
            if not self._words[signum]:
                return signum
        raise full()


class Table(TableView):
    """The master's own: entries in full, published word by word."""

    def __init__(self, words: memoryview) -> None:
        super().__init__(words)
        self._entries: list[Entry | None] = [None] * SIGNALS

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        return ((signum, entry) for signum, entry in enumerate(self._entries) if entry)

    def __getitem__(self, signum: int) -> Entry | None:
        return self._entries[signum]

    def register(self, signum: int, entry: Entry) -> int:
        """Make an entry; returns which change of the table it is."""
        if self._entries[check_signum(signum)] is not None:
            raise taken(signum)
        return self._write(signum, entry)

    def unregister(self, signum: int) -> None:
        if self._entries[check_signum(signum)] is None:
            raise unknown(signum)
        self._write(signum, None)

    def end_of(self, owner: str) -> list[int]:
        """Remove what a process registered for itself, because it has ended; return the numbers."""
        ended = [signum for signum, entry in self if entry.owner == owner]
        for signum in ended:
            self._write(signum, None)
        return ended

    def _write(self, signum: int, entry: Entry | None) -> int:
        change: int = self._words[_CHANGES] + 1
        self._entries[signum] = entry
        self._words[_CHANGES] = change
        self._words[signum] = change if entry else 0
        return change
