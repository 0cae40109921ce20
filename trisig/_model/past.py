"""How far a schedule had come when its master ended. Pure."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Past(msgspec.Struct, frozen=True):
    """What outlives a master of one timer or cron job; both in seconds since 1970.

    Attributes:
        seen: the moment up to which all that was due has raised its signal, or was folded into one.
        grid: when a timer first began; its ticks are whole intervals later.
    """

    seen: float
    grid: float


class Record(Protocol):
    """Where the past of one source is kept.

    Attributes:
        past: what the last master left; None if nothing.
    """

    past: Past | None

    def note(self, past: Past) -> None:
        """Keep this instead."""
        ...
