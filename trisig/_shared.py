"""The memory that a master shares with its children: one anonymous mapping, laid out here and nowhere else.

    header   the gate, the number of late handlers, the signal table     written by the master
    slot k   two words of the master's about the lane of process k, then its marks and its list of
             finished handlers, which that process alone writes: a wild write harms only its own marks

It is mapped before the first fork, so every process has it at the same place and no descriptor is needed.
"""

from __future__ import annotations

import mmap

from . import _ledger, _table

_GATE, _LATE = 0, 1  # words of the header
_TABLE = 8
_HEADER = 4096
FREE_UNTIL, SENT, WANTED, FREE_CORES, PACE = range(5)  # words of a slot
_WORDS = 64  # bytes
_FINISHED = (_ledger.FINISHED + 1) * 8
_SLOT = -(-(_WORDS + _ledger.WINDOW + _FINISHED) // mmap.PAGESIZE) * mmap.PAGESIZE


class SlotMemory:
    """What one process and the master share about the process's lane.

    Attributes:
        words: `FREE_UNTIL` and `SENT` of the lane, and `WANTED`, not zero while the master waits to be rung, all
            written by the master; `FREE_CORES`, how many more async handlers could run, and `PACE`, how many
            nanoseconds a signal took it lately, written by the process.
        marks, finished: as `_ledger.Lane` describes them, written by the process.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self.words = memory[:_WORDS].cast("Q")
        self.marks = memory[_WORDS : _WORDS + _ledger.WINDOW]
        self.finished = memory[_WORDS + _ledger.WINDOW :][:_FINISHED].cast("Q")

    def clear(self) -> None:
        """Begin anew for a new incarnation; nobody may be using it."""
        self._memory[:] = bytes(len(self._memory))
        self.words[WANTED] = 1  # until the master knows better


def shared_bytes(slots: int) -> int:
    """How much memory a master shares with so many children."""
    return _HEADER + slots * _SLOT


def slot_parts(whole: memoryview, slot: int) -> SlotMemory:
    """What belongs to one child."""
    at = _HEADER + slot * _SLOT
    return SlotMemory(whole[at : at + _SLOT])


class Shared:
    """The whole mapping.

    Args:
        slots: how many processes there can be.
        memory: `shared_bytes(slots)` or more to use, of a file for example; None for an anonymous mapping.
    """

    def __init__(self, slots: int, memory: memoryview | None = None) -> None:
        whole = memoryview(mmap.mmap(-1, shared_bytes(slots))) if memory is None else memory
        self._header = whole[:_HEADER].cast("Q")
        self.table = self._header[_TABLE : _TABLE + _table.WORDS]
        self.slots = [slot_parts(whole, slot) for slot in range(slots)]

    @property
    def gate(self) -> memoryview:
        """One word: not zero while no more signals may be raised."""
        return self._header[_GATE : _GATE + 1]

    @property
    def late(self) -> memoryview:
        """One word: how many handlers were registered in the master since it opened."""
        return self._header[_LATE : _LATE + 1]
