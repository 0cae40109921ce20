"""What a source notices: one `Occurrence` for each signal that it is to raise, in order."""

from __future__ import annotations

import abc
from collections.abc import Callable

import msgspec

from trisig._model.past import Record

OnNotice = Callable[[Callable[[], object]], bool]


class Occurrence(msgspec.Struct, frozen=True):
    """Why a source raises one signal. A Struct, because it is made between the event and the write of its signal.

    Attributes:
        missed: how many other occurrences are folded into this one.
        due: when it was due, in seconds since 1970; None for what no schedule knew of.
        path: what has changed, for a file monitor.
        payload: what came with it, for a notification.
    """

    missed: int = 0
    due: float | None = None
    path: str | None = None
    payload: str | None = None


class Occurrences(abc.ABC):
    """What one run of a source notices, from when the source was armed."""

    _on_notice: OnNotice | None = None

    def on_notice(self, call: OnNotice | None) -> None:
        """Set what is called in the very step in which an occurrence is noticed that `next` is about to return.

        A subclass that knows so early calls `_notice`; others leave it.
        """
        self._on_notice = call

    def _notice(self, wake: Callable[[], object]) -> bool:
        """Call what `on_notice` has set.

        Args:
            wake: lets `next` return.

        Returns:
            Whether `wake` is called, as the signal has been raised; otherwise the caller has to call it.
        """
        return self._on_notice is not None and self._on_notice(wake)

    @property
    def state(self) -> str:
        """What it does between two occurrences, as `SourceStatistics.state` shows it."""
        return "waiting"

    @property
    def error(self) -> str | None:
        """The last failure that it recovers from by itself; None if there was none."""
        return None

    @property
    def next_due(self) -> float | None:
        """When the next occurrence is due, in seconds since 1970; None if nobody can know."""
        return None

    def continue_from(self, record: Record) -> None:
        """Go on where an earlier master stopped; for a subclass that has a schedule.

        Args:
            record: has the past, and takes what comes.
        """
        del record

    def was_accepted(self, occurrence: Occurrence) -> None:
        """The signal of an occurrence is in its queues, or it is known that there will be none."""
        del occurrence

    @property
    def noticed(self) -> Occurrence:
        """What `next` is about to return, for a subclass that calls `_notice`."""
        return Occurrence()

    @abc.abstractmethod
    async def next(self) -> Occurrence:
        """Wait for the next occurrence.

        After an error it may be called again, and loses nothing.
        """
