"""The times that processes measure: histograms in memory that they share with the master.

Each process has a row for each signal number and, behind them, for each task, and adds to it whatever it runs. No two
processes write the same word. A process that replaces another goes on where that one ended, so the sums only grow.

A queueing time is measured for a sample, which the words `probe` mark; see `_model.probe`.

This memory is no part of what a journal keeps: an application may have any number of tasks.
"""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterable, Iterator

from trisig._model.durations import BUCKETS, Durations, bucket_of
from trisig._model.probe import PROBE_WORDS
from trisig._model.signum import SIGNALS

_HISTOGRAM = BUCKETS + 1  # words: the counts, and the sum of nanoseconds
_PAIR = 2 * _HISTOGRAM


class Histogram:
    """One row of counts, of one process.

    Args:
        words: `BUCKETS` counts and the sum.
    """

    __slots__ = ("_words",)

    def __init__(self, words: memoryview) -> None:
        self._words = words

    def add(self, seconds: float, weight: int = 1) -> int:
        """Count a time; returns how many nanoseconds that adds.

        Args:
            seconds: the time.
            weight: for how many it stands.
        """
        nanoseconds, words = int(seconds * 1e9), self._words
        words[bucket_of(nanoseconds)] += weight
        words[BUCKETS] += nanoseconds * weight
        return nanoseconds * weight


class ProcessMeasurements:
    """What one process measures.

    Attributes:
        probe: words of a `Probe`, in nanoseconds of the monotonic clock.
    """

    def __init__(self, memory: memoryview) -> None:
        self.probe = memory[:PROBE_WORDS]
        self._busy = memory[PROBE_WORDS : PROBE_WORDS + 1]
        self._rows = memory[PROBE_WORDS + 1 :]

    @property
    def busy(self) -> int:
        """Nanoseconds that all handlers ran."""
        return int(self._busy[0])

    def add_busy(self, nanoseconds: int) -> None:
        """Handlers have run for so long."""
        self._busy[0] += nanoseconds

    def handler(self, row: int) -> Histogram:
        """How long the handlers of a row ran."""
        return Histogram(self.handler_words(row))

    def queueing(self, row: int) -> Histogram:
        """How long signals of a row waited for their handlers."""
        return Histogram(self.queueing_words(row))

    def handler_words(self, row: int) -> memoryview:
        """The words of `handler`."""
        return self._rows[self._place(row) :][:_HISTOGRAM]

    def queueing_words(self, row: int) -> memoryview:
        """The words of `queueing`."""
        return self._rows[self._place(row) + _HISTOGRAM :][:_HISTOGRAM]

    def _place(self, row: int) -> int:
        return min(row * _PAIR, len(self._rows) - _PAIR)


class Measurements:
    """What all processes measure.

    Args:
        processes: how many there can be.
        tasks: for how many tasks there are rows; what more of them take is counted with the last.
        memory: `measured_bytes` to use; None for an anonymous mapping.
    """

    def __init__(self, processes: int, tasks: int, memory: memoryview | None = None) -> None:
        if memory is None:
            memory = memoryview(mmap.mmap(-1, measured_bytes(processes, tasks)))
        size = _process_words(tasks)
        whole = memory.cast("Q")
        self._of = [ProcessMeasurements(whole[at : at + size]) for at in range(0, processes * size, size)]

    def __iter__(self) -> Iterator[ProcessMeasurements]:
        return iter(self._of)

    def __getitem__(self, slot: int) -> ProcessMeasurements:
        return self._of[slot]

    def handler(self, row: int) -> Durations:
        """How long the handlers of a row ran, in all processes."""
        return _summed(one.handler_words(row) for one in self._of)

    def queueing(self, row: int) -> Durations:
        """How long signals of a row waited, for all processes."""
        return _summed(one.queueing_words(row) for one in self._of)


def measured_bytes(processes: int, tasks: int) -> int:
    """How much memory the measurements take. The kernel gives none to rows that are not used."""
    return max(processes, 1) * _process_words(tasks) * 8


def _process_words(tasks: int) -> int:
    return PROBE_WORDS + 1 + (SIGNALS + tasks) * _PAIR


def _summed(rows: Iterable[memoryview]) -> Durations:
    # As one large number, a row is added in one step. No word overflows into the next: 2**64 ns are 584 years.
    total = sum(int.from_bytes(row, sys.byteorder) for row in rows)
    if not total:
        return Durations()
    words = memoryview(total.to_bytes(_HISTOGRAM * 8, sys.byteorder)).cast("Q").tolist()
    return Durations.counted(words[:BUCKETS], words[BUCKETS])
