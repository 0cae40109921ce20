"""The memory that a master shares with its children: one mapping, laid out here and nowhere else.

    header   the gate, the count of handlers registered since, the signal table     written by the master
    slot k   words about the lane of process k, then its marks and its list of
             finished handlers, which that process alone writes: a wild write harms only its own marks

It is mapped before the first fork, so the children have it without a descriptor. Those that are forked from another
interpreter, after a reload, are passed one.
"""

from __future__ import annotations

import mmap
from collections.abc import MutableSequence

from trisig._model.lane import FINISHED, WINDOW
from trisig._model.probe import PROBE_WORDS
from trisig._model.table import WORDS as TABLE_WORDS

from .measurements import Measurements

_GATE, _REGISTRATIONS = 0, 1  # words of the header
_TABLE = 8
_HEADER = 4096
FREE_UNTIL, SENT, WANTED, FREE_CORES, PACE, CARGO, EVENTS, LIMIT, DROPS = range(9)  # words of a slot
NO_LIMIT = 0
_WORDS = 128  # bytes
_FINISHED = (FINISHED + 1) * 8
_SLOT = -(-(_WORDS + WINDOW + _FINISHED) // mmap.PAGESIZE) * mmap.PAGESIZE


class SlotMemory:
    """What one process and the master share about the process's lane.

    Attributes:
        words: of the master's, `FREE_UNTIL` and `SENT` of the lane, `WANTED`, not zero while the master waits to be
            rung, `CARGO`, how many frames are in that pipe (see `cargo`), `EVENTS`, not zero once any signal in the
            lane had an event, and `LIMIT`, one more than the number from which on the process may start nothing; of
            the process's, `FREE_CORES`, how many more async handlers could run, `PACE`, how many nanoseconds a signal
            took it lately, and `DROPS`, how often it has dropped what is not below the limit, and one more; 0 if it
            heeds no limit.
        marks, finished: as `Lane` describes them, written by the process.
        probe: the words of a `Probe`.
    """

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory
        self.probe: MutableSequence[int] | memoryview = [0] * PROBE_WORDS
        self.words = memory[:_WORDS].cast("Q")
        self.window = WINDOW
        self.marks = memory[_WORDS : _WORDS + WINDOW]
        self.finished = memory[_WORDS + WINDOW :][:_FINISHED].cast("Q")

    def clear(self) -> None:
        """Prepare for a new incarnation, while no process uses it."""
        self._memory[:] = bytes(len(self._memory))
        for word in range(PROBE_WORDS):
            self.probe[word] = 0
        self.words[WANTED] = 1  # until the master knows better


def shared_bytes(slots: int) -> int:
    """How much memory a master shares with so many children."""
    return _HEADER + slots * _SLOT


def slot_parts(whole: memoryview, slot: int) -> SlotMemory:
    """The part of the mapping that belongs to one child."""
    at = _HEADER + slot * _SLOT
    return SlotMemory(whole[at : at + _SLOT])


class Shared:
    """The whole mapping.

    Args:
        slots: how many processes there can be.
        memory: `shared_bytes(slots)` or more to use, of a file for example; None for an anonymous mapping.
        measurements: what the processes measure; None for new ones.

    Attributes:
        slots: what it shares with each process.
        measurements: what each of them measures, in a mapping of its own.
    """

    def __init__(self, slots: int, memory: memoryview | None = None, measurements: Measurements | None = None) -> None:
        whole = memoryview(mmap.mmap(-1, shared_bytes(slots))) if memory is None else memory
        self._header = whole[:_HEADER].cast("Q")
        self.table = self._header[_TABLE : _TABLE + TABLE_WORDS]
        self.slots = [slot_parts(whole, slot) for slot in range(slots)]
        self.measurements = measurements or Measurements(slots, 0)
        for slot, measured in zip(self.slots, self.measurements, strict=True):
            slot.probe = measured.probe

    @property
    def gate(self) -> memoryview:
        """One word: not zero while the gate is paused."""
        return self._header[_GATE : _GATE + 1]

    @property
    def registrations(self) -> memoryview:
        """One word: how many handlers were registered in the master since it opened."""
        return self._header[_REGISTRATIONS : _REGISTRATIONS + 1]
