"""The signal table: 256 entries that the master writes and every process reads.

An entry is known in full to the master (`Table`); what the others need of it fits in one aligned 64-bit
word of shared memory: whether the number is registered, and which change made it so. A word is stored by
one machine instruction, so a reader sees the old entry or the new one and a process that dies can tear
nothing. Only the master writes; the others ask it to.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from .errors import SignalTableError
from .handling import Handling
from .signum import SIGNALS, check_signum
from .targets import Target

WORDS = SIGNALS + 1
_CHANGES = SIGNALS  # the word that counts changes
_IN_CLUSTER = 1 << 62  # in the word of a number whose target is in the cluster


def already_registered(signum: int) -> SignalTableError:
    return SignalTableError(f"signal {signum} is registered already; unregister({signum}) first, or use free_signum()")


def not_registered(signum: int) -> SignalTableError:
    return SignalTableError(f"signal {signum} is not registered")


def table_full() -> SignalTableError:
    return SignalTableError("all 256 signals are registered; unregister one first")


class Entry(msgspec.Struct, frozen=True):
    """One row: who runs the handler, which process registered it (None: the master), and how it is run."""

    target: Target
    owner: str | None = None
    handling: Handling = msgspec.field(default_factory=Handling)


class TableView:
    """What any process reads of the table, straight from shared memory."""

    def __init__(self, words: memoryview) -> None:
        self._words = words

    def is_registered(self, signum: int) -> bool:
        return bool(self._words[check_signum(signum)])

    def is_in_cluster(self, signum: int) -> bool:
        """Whether what is raised goes to the cluster."""
        return bool(self._words[signum] & _IN_CLUSTER)

    def free_signum(self) -> int:
        """The lowest number without an entry.

        Raises:
            SignalTableError: all 256 are taken.
        """
        for signum in range(SIGNALS):
            if not self._words[signum]:
                return signum
        raise table_full()


class Table(TableView):
    """The master's own: entries in full, published word by word."""

    def __init__(self, words: memoryview) -> None:
        super().__init__(words)
        self._entries: list[Entry | None] = [None] * SIGNALS
        self._published = [0] * WORDS  # what the words are, wherever they are kept

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        return ((signum, entry) for signum, entry in enumerate(self._entries) if entry)

    def __getitem__(self, signum: int) -> Entry | None:
        return self._entries[signum]

    def register(self, signum: int, entry: Entry) -> int:
        """Make an entry; returns which change of the table it is."""
        if self._entries[check_signum(signum)] is not None:
            raise already_registered(signum)
        return self._write(signum, entry)

    def enter(self, signum: int, entry: Entry) -> int:
        """Make an entry, over one that is there; returns which change of the table it is."""
        return self._write(check_signum(signum), entry)

    def unregister(self, signum: int) -> None:
        if self._entries[check_signum(signum)] is None:
            raise not_registered(signum)
        self._write(signum, None)

    def end_of(self, owner: str) -> list[int]:
        """Remove what a process registered for itself, because it has ended; return the numbers."""
        ended = [signum for signum, entry in self if entry.owner == owner]
        for signum in ended:
            self._write(signum, None)
        return ended

    def republish(self) -> None:
        """Write every word anew, because the shared memory has lost its content."""
        for index, word in enumerate(self._published):
            self._words[index] = word

    def _write(self, signum: int, entry: Entry | None) -> int:
        change = self._published[_CHANGES] + 1
        self._entries[signum] = entry
        mark = _IN_CLUSTER if entry is not None and entry.target.node is not None else 0
        for index, word in ((_CHANGES, change), (signum, change | mark if entry else 0)):
            self._published[index] = self._words[index] = word
        return change
