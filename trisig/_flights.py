"""Which places in the queues the numbers of one lane stand for, so that the marks of its process can be read later.

A ring of flights, the newest of which count; a number that was taken back and sent again stands for the newer
signal. An async handler may run for longer than the ring goes back, so once the master has read that it was set aside
it gets an entry in a table, until it is done.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._layout import FLIGHT, FLIGHT_BYTES, FLIGHTS, PAGE, checksummed, seal


class Flights:
    """Those of one slot.

    Args:
        memory: its part of the file: two words, how much of the ring and of the table is in use; then these.
        queues: the numbers of the queues by name.
    """

    def __init__(self, memory: memoryview, queues: Mapping[str, int]) -> None:
        self._words = memory[:16].cast("Q")
        self._ring = memory[PAGE : PAGE + FLIGHTS * FLIGHT_BYTES]
        self._table = memory[PAGE + FLIGHTS * FLIGHT_BYTES :]
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
        """Signals are about to be written to the lane."""
        self._note(self._ring, self._written % FLIGHTS, number, name, start, count)
        # The word tells where in the ring it is, and whether it has been round.
        self._written = self._written + 1 if self._written < 2 * FLIGHTS - 1 else FLIGHTS
        self._words[0] = seal(self._written)

    def aside(self, number: int, name: str, position: int) -> None:
        """An async handler is known to have been started."""
        entry = self._free.pop() if self._free else len(self._entries)
        self._entries[number] = entry
        self._note(self._table, entry, number, name, position, 1)
        self._words[1] = seal(len(self._entries) + len(self._free))

    def ended(self, number: int) -> None:
        """What became of it is known."""
        entry = self._entries.pop(number)
        self._table[entry * FLIGHT_BYTES :][:FLIGHT_BYTES] = bytes(FLIGHT_BYTES)
        self._free.append(entry)

    def _note(self, memory: memoryview, at: int, number: int, name: str, start: int, count: int) -> None:
        flight = checksummed(FLIGHT.pack(number, start, self._queues[name], count))
        memory[at * FLIGHT_BYTES : (at + 1) * FLIGHT_BYTES] = flight
