"""Which positions in the queues the numbers of one lane stand for, so that the marks of its process can be read later.

Each entry stands for consecutive numbers. Entries go into a ring, of which the newest count: a number that was taken
back and sent again stands for the newer signal. An async handler may run for longer than the ring goes back, so once
the master has read that it was set aside it gets an entry in a table, until it is done.
"""

from __future__ import annotations

from collections.abc import Mapping

from .layout import IN_FLIGHT, IN_FLIGHT_BYTES, IN_FLIGHT_ENTRIES, PAGE, checksummed, seal


class InFlightLog:
    """The signals that were written to the lane of one slot.

    Args:
        memory: its part of the file: two words, how much of the ring and of the table is in use; then ring and table.
        queues: the numbers of the queues by name.
    """

    def __init__(self, memory: memoryview, queues: Mapping[str, int]) -> None:
        self._words = memory[:16].cast("Q")
        self._ring = memory[PAGE : PAGE + IN_FLIGHT_ENTRIES * IN_FLIGHT_BYTES]
        self._table = memory[PAGE + IN_FLIGHT_ENTRIES * IN_FLIGHT_BYTES :]
        self._queues = queues
        self._written = 0
        self._entries: dict[int, int] = {}  # in the table, by number
        self._free: list[int] = []  # entries that are empty again
        self.restart()

    def restart(self) -> None:
        """Another process is about to fill the slot; its lane is numbered from 0 again."""
        self._written = 0
        self._words[0] = self._words[1] = seal(0)
        self._entries.clear()
        self._free.clear()

    def sent(self, number: int, name: str, start: int, count: int) -> None:
        """Signals are about to be written to the lane.

        Args:
            number: of the first of them in the lane.
            name: the queue that they come from.
            start: the position of the first of them there.
            count: how many.
        """
        # Before they are in the pipe: a mark that nobody can attribute would be a signal that runs twice.
        self._note(self._ring, self._written % IN_FLIGHT_ENTRIES, number, name, start, count)
        # The count goes round within its second lap, so it tells the place in the ring and that the ring is full.
        self._written = self._written + 1 if self._written < 2 * IN_FLIGHT_ENTRIES - 1 else IN_FLIGHT_ENTRIES
        self._words[0] = seal(self._written)  # last: an entry that it does not count was not written to its end

    def aside(self, number: int, name: str, position: int) -> None:
        """An async handler has started, as the master has read.

        Args:
            number: of its signal in the lane.
            name: the queue that the signal comes from.
            position: of the signal there.
        """
        entry = self._free.pop() if self._free else len(self._entries)
        self._entries[number] = entry
        self._note(self._table, entry, number, name, position, 1)
        self._words[1] = seal(len(self._entries) + len(self._free))  # after the entry, as above

    def ended(self, number: int) -> None:
        """A handler has ended; nothing to do for one that was never set aside."""
        entry = self._entries.pop(number, None)
        if entry is None:
            return
        self._table[entry * IN_FLIGHT_BYTES :][:IN_FLIGHT_BYTES] = bytes(IN_FLIGHT_BYTES)
        self._free.append(entry)

    def empty(self) -> None:
        """Count for nothing, while the lane goes on: the entries are lost."""
        self._written = 0
        self._words[0] = self._words[1] = seal(0)

    def _note(self, memory: memoryview, at: int, number: int, name: str, start: int, count: int) -> None:
        entry = checksummed(IN_FLIGHT.pack(number, start, self._queues[name], count))
        memory[at * IN_FLIGHT_BYTES : (at + 1) * IN_FLIGHT_BYTES] = entry
