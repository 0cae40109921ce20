"""What the master remembers of a pending signal besides its number. Pure."""

from __future__ import annotations

from typing import Protocol

import msgspec

from .dead_letter import DeadLetter
from .event import Event
from .once import Once


class Holder(Protocol):
    """Whoever was sent a signal: a lane."""

    def has_started(self, number: int) -> bool: ...


class Claim(Protocol):
    """The row of the cluster that a signal was made from, and that has to learn of its end."""

    def ended(self, letter: DeadLetter | None) -> None: ...
    def withdrawn(self) -> None: ...


class Note(msgspec.Struct):
    """One for each signal that takes turns, has failed, came from the cluster, or says what raised it.

    Attributes:
        event: what raised it, for the process that runs the handler to ask.
        failures: how often its handler has raised.
        holder: who was sent it; None while it is in its queue, or rests.
        number: of it there.
        claim: hears of its end, if it came from the cluster.
        once: which occurrence it is, for a signal that the cluster lets through once.
        due: when it may run, for a task that the cluster keeps until then; 0 for at once.
    """

    event: Event | None = None
    failures: int = 0
    holder: Holder | None = None
    number: int = 0
    claim: Claim | None = None
    once: Once | None = None
    due: float = 0.0

    @property
    def has_started(self) -> bool:
        """Whether its handler has begun and not failed since."""
        return self.holder is not None and self.holder.has_started(self.number)
