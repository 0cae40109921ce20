"""A signal on its way from an event source to the dispatcher: at once, or through a memory channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from trisig._model.event import Event
from trisig._model.once import Once
from trisig._model.signum import check_signum


class Origin(Protocol):
    """The source of a signal."""

    def event(self) -> Event:
        """What it has noticed last."""
        ...

    @property
    def once(self) -> Once | None:
        """Which occurrence that is, if a cluster lets it through once."""
        ...

    def was_accepted(self) -> None:
        """The signal of that is in its queues."""
        ...


def _nobody() -> None:
    """Nobody waits yet."""


class Raised:
    """One signal in the channel.

    Args:
        signum: the signal.
        origin: its source.
        wake: lets that go on.

    Attributes:
        signum: the signal.
        origin: says, when it is accepted, what has raised it, and hears of that.
        accepted: it is in its queues.
        withdrawn: whoever sent it was cancelled before it was accepted.
    """

    __slots__ = ("_wake", "accepted", "origin", "signum", "withdrawn")

    def __init__(self, signum: int, origin: Origin, wake: Callable[[], object] = _nobody) -> None:
        self.signum = signum
        self.origin = origin
        self.accepted = self.withdrawn = False
        self._wake = wake

    def go_on(self) -> None:
        """Let its source go on: it was accepted, or it has to wait for room."""
        self._wake()

    async def wait_accepted(self) -> None:
        """Wait until it is in its queues."""
        while not self.accepted:
            event = trio.Event()
            self._wake = event.set
            await event.wait()


class RaisedSender:
    """Sends what one source raises to the dispatcher.

    Args:
        channel: its end of the channel.
        accept_at_once: accepts a signal if nothing has to be waited for; whether it has.
        origin: the source.
    """

    def __init__(
        self, channel: trio.MemorySendChannel[Raised], accept_at_once: Callable[[Raised], bool], origin: Origin
    ) -> None:
        self._channel = channel
        self._accept_at_once = accept_at_once
        self._origin = origin
        self._early: Raised | None = None

    def offer(self, signum: int, wake: Callable[[], object]) -> bool:
        """Raise a signal in the step in which its occurrence is noticed, if there is room.

        The source's own task then finds it raised: all that comes before the signal is written makes it late.

        Args:
            signum: the signal, a checked one.
            wake: lets the source's task run; called when the signal is in its queues.

        Returns:
            Whether `wake` was called.
        """
        if self._early is not None:
            return False
        one = Raised(signum, self._origin, wake)
        if not self._accept_at_once(one):
            return False
        self._early = one
        return True

    async def __call__(self, signum: int) -> None:
        """Raise a signal; returns once it is in its queues. A cancelled call has raised nothing.

        Raises:
            TypeError, ValueError: not a signal number.
            trio.BrokenResourceError: the dispatcher has ended.
        """
        one, self._early = self._early, None
        if one is None:
            one = Raised(check_signum(signum), self._origin)
            await self._channel.send(one)
        try:
            # No checkpoint if it was accepted already: it must not look cancelled.
            await one.wait_accepted()
        finally:
            one.withdrawn = not one.accepted
