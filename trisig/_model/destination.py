"""What signals are routed to. Pure."""

from __future__ import annotations

import abc

from .event import Event
from .queue import Queue


class Destination(abc.ABC):
    """A queue of signals, and whoever takes from it: one process, a pool of them, or tasks in `wait`.

    Attributes:
        queue: what waits here.
    """

    queue: Queue

    @property
    def name(self) -> str:
        """What statistics and the journal call it."""
        return self.queue.name

    @abc.abstractmethod
    def deliver(self) -> None:
        """Hand out what can be handed out now. Never waits."""

    def deliver_new(self, signal: bytes, event: Event | None = None) -> bool:
        """Accept one signal and hand it out at once, if that needs no queue; otherwise nothing happens.

        Args:
            signal: its byte.
            event: what raised it; None if nobody may ask.
        """
        del signal, event
        return False

    def read_marks(self) -> None:  # noqa: B027  most destinations are told everything
        """Look at how far those have come who were handed signals here, and have not told."""

    @property
    @abc.abstractmethod
    def in_flight(self) -> int:
        """How many signals were handed out here and are not finished; a pool's count for its members."""

    @property
    @abc.abstractmethod
    def deliverable(self) -> int:
        """How many of the queued signals will be taken if nothing more happens from outside."""
