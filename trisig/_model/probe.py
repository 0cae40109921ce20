"""A sample of the times that signals and tasks wait for their handlers. Pure, and without a clock.

A byte in a queue has no room for the moment at which it was accepted. So of each queue one signal at a time is marked,
and of each process one at a time, whose number and moment the process sees in shared memory. It takes the time when it
starts that number.
"""

from __future__ import annotations

from collections.abc import MutableSequence

from .signum import SIGNALS

# Words that the master writes, but for the last: signal `NUMBER` - 1 among all that the process is sent, of the row
# `ROW`, was accepted at `SINCE` nanoseconds. `SEEN` is the last `NUMBER` of which the process has taken the time.
NUMBER, ROW, SINCE, SEEN = range(4)
PROBE_WORDS = 4


def row_of_task(index: int) -> int:
    """The row of a task: behind those of the signals."""
    return SIGNALS + index


class Probe:
    """The one of what a process was sent whose queueing time is measured.

    Args:
        words: `PROBE_WORDS` that the process shares.
    """

    __slots__ = ("_number", "_words")

    def __init__(self, words: MutableSequence[int] | memoryview) -> None:
        self._words = words
        self._number = words[SEEN]

    @property
    def is_free(self) -> bool:
        """Whether the process has taken the time of the last one."""
        return self._words[SEEN] == self._number

    def mark(self, number: int, row: int, since: int) -> None:
        """Have the process measure one, before it is sent.

        Args:
            number: of it, among all that the process is sent.
            row: its signal number, or that of a task (`row_of_task`).
            since: the moment at which it was accepted, in nanoseconds.
        """
        words = self._words
        words[ROW] = row
        words[SINCE] = since
        self._number = words[NUMBER] = number + 1

    def taken_back(self, sent: int) -> None:
        """What has this number, and all behind it, was taken back before the process saw it."""
        if self._number > sent:
            self._number = self._words[NUMBER] = self._words[SEEN]
