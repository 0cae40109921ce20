"""What raised the signal that a handler runs for. Pure."""

from __future__ import annotations

from dataclasses import dataclass

EVENT_BYTES = 256  # for which an event that waits counts in `max_queued_bytes`


@dataclass(frozen=True, slots=True)
class Event:
    """What an event source noticed when it raised a signal.

    Attributes:
        source: its name, as in the statistics.
        due: when it was due, in seconds since 1970; None for what no schedule knew of.
        missed: how many other occurrences are folded into this one.
        path: what has changed, for a file monitor; the monitored path if several things have.
        payload: what came with it, for a notification.
    """

    source: str
    due: float | None = None
    missed: int = 0
    path: str | None = None
    payload: str | None = None
