"""Takes the times of one process: of handlers, and of what waited for them."""

from __future__ import annotations

import math
from collections.abc import Callable

from trisig._ipc.cargo import Loaded
from trisig._ipc.measurements import Histogram, ProcessMeasurements
from trisig._model.probe import NUMBER, SEEN, row_of_task

What = int | Loaded  # a signal or a task


class _Row:
    """What is known of the handlers of one signal or task."""

    __slots__ = ("histogram", "next", "skipped")

    def __init__(self, histogram: Histogram) -> None:
        self.histogram = histogram
        self.next = 0.0
        self.skipped = 0


class Stopwatch:
    """Adds to the measurements of one process.

    Handlers that take as long as a turn of the runner, or longer, are all timed. Of quicker ones one in as long a time
    is, and it stands for the others: to time each would slow a burst down.

    Args:
        measured: the measurements.
        turn: seconds for which the runner runs handlers before it lets other tasks run.
        report: called with what was slow, and its seconds.

    Attributes:
        slow: seconds that a handler may take before it is reported.
    """

    def __init__(self, measured: ProcessMeasurements, turn: float, report: Callable[[What, float], object]) -> None:
        self._measured = measured
        self._probe = measured.probe
        self._turn = turn
        self._report = report
        self.slow = math.inf
        self._rows: dict[int, _Row] = {}

    def handler_ended(self, what: What, seconds: float, now: float, stands_for: int = 1) -> None:
        """A handler has run.

        Args:
            what: of which signal or task.
            seconds: how long.
            now: the moment, in seconds of the monotonic clock.
            stands_for: how many handlers there were of which this one was timed.
        """
        if seconds >= self.slow:
            self._report(what, seconds)
        number = what if isinstance(what, int) else row_of_task(what.task)
        row = self._rows.get(number)
        if row is None:
            row = self._rows[number] = _Row(self._measured.handler(number))
        if now < row.next and seconds < self._turn:
            row.skipped += stands_for
            return
        self._measured.add_busy(row.histogram.add(seconds, stands_for + row.skipped))
        row.skipped, row.next = 0, now + self._turn

    def turn_ended(
        self,
        first: int,
        began: float,
        first_timed: tuple[What, float] | None,
        end: int,
        last: What,
        last_began: float,
        now: float,
    ) -> None:
        """The runner is about to let other tasks run; moments are seconds of the monotonic clock.

        Args:
            first: the number of the first handler of the turn.
            began: when that one began.
            first_timed: what it was, and its seconds; None if it was async.
            end: the number of the next handler, of another turn.
            last: what the last one was.
            last_began: when that one began if it was slow, else when it ended.
            now: when the turn ended.
        """
        count = end - first
        if first < self._probe[NUMBER] <= end:
            # All but the last began within half a millisecond: as if they had done so at equal distances.
            share = (self._probe[NUMBER] - 1 - first) / max(count - 1, 1)
            self._take_probe(began + (last_began - began) * share)
        if count > 1 and now - last_began >= self._turn:
            self.handler_ended(last, now - last_began, now)
            count -= 1
        if first_timed is not None:
            self.handler_ended(*first_timed, now, count)

    def _take_probe(self, started: float) -> None:
        number, row, since, _ = self._probe
        self._measured.queueing(row).add(max(started - since / 1e9, 0.0))
        self._probe[SEEN] = number  # the last store: from here on the master marks another
