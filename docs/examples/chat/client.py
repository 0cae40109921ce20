"""One person's connection, whatever it speaks: what it is to be shown waits in its inbox.

    hub ──> inbox (bounded) ──> write() ──> Line: a WebSocket, or lines over TCP

Nobody ever waits for a client but its own tasks. A client that does not read fills its inbox, and is dropped: it may
still read what is there and the notice at the end, and is cut off if that takes too long. A client that reads too
slowly is cut off too, whether or not there is much to read.
"""

from __future__ import annotations

import logging
import secrets
from typing import Protocol

import trio

from events import Notice, Shown
from inbox import Batch, Inbox
from pace import Pace

log = logging.getLogger("chat")

HELD = 2000  # events that may happen while a client reads its history
LAST_CHANCE = 10.0  # seconds to read the notice for which it is dropped
FRAMES = {"rate": 20.0, "burst": 100.0}  # pieces of input a second, and at once
NOBODY = Notice("You did not give a name.", "bye")


class Line(Protocol):
    """What a connection can do."""

    async def show(self, batch: Batch) -> None:
        """Send these to the client; waits until they are on their way."""


class Client:
    """One connection.

    Args:
        slowest: seconds that the client may take to read what is shown in one go.

    Attributes:
        connection: its own id.
        name, room: empty until it has entered a room.
        entered: set when it has said who it is, and where it wants to be.
        welcomed_at: the id of the last event before its welcome, which lists the people.
    """

    def __init__(self, slowest: float) -> None:
        self.connection = secrets.token_hex(8)
        self.name = self.room = ""
        self.entered = trio.Event()
        self.welcomed_at = 0
        self.scope = trio.CancelScope()
        now = trio.current_time()
        self._pace, self._input_pace = Pace(now), Pace(now, **FRAMES)
        self._slowest = slowest
        self._inbox = Inbox()
        self._held: list[Shown] | None = None
        self._bye: Notice | None = None

    # For the hub

    def offer(self, batch: Batch, size: int) -> bool:
        """Put something into the inbox; false if it is full. Never waits."""
        if self._held is None:
            return self._inbox.offer(batch, size)
        self._held += batch
        return len(self._held) <= HELD

    def hold(self) -> None:
        """Keep back what is offered until `release`: the history comes first."""
        self._held = []

    async def release(self) -> None:
        """Let go of what was kept back, in order."""
        while self._held:
            held, self._held = self._held, []
            await self.put(held)
        self._held = None

    async def put(self, batch: Batch) -> None:
        """Put something into the inbox; waits while much is in there. For the client's own requests."""
        await self._inbox.put(batch)

    def dismiss(self, bye: Notice) -> None:
        """End the connection once it has read what is in its inbox, and in any case soon."""
        if self._bye is None:
            self._bye = bye
            self._inbox.close()
            self.scope.deadline = trio.current_time() + LAST_CHANCE

    # For the connection

    async def enter_within(self, seconds: float) -> None:
        """Dismiss it unless it says who it is in time."""
        with trio.move_on_after(seconds):
            await self.entered.wait()
        if not self.entered.is_set():
            self.dismiss(NOBODY)

    async def keep_pace(self) -> None:
        """Wait until the client's next request may be served: whoever is too fast is read later."""
        await trio.sleep(self._pace.take(trio.current_time()))

    async def keep_input_pace(self) -> None:
        """The same for each piece of input, of which a request may have many, or none at all."""
        await trio.sleep(self._input_pace.take(trio.current_time()))

    async def write(self, line: Line, quiet: float = float("inf")) -> None:
        """Show what comes into the inbox until it ends; an empty batch after every `quiet` seconds of nothing."""
        try:
            while True:
                batch: Batch = []
                with trio.move_on_after(quiet):
                    batch = await self._inbox.take()
                await self._show(line, batch)
        except trio.EndOfChannel:
            if self._bye is not None:
                await self._show(line, [self._bye])

    async def _show(self, line: Line, batch: Batch) -> None:
        with trio.move_on_after(self._slowest) as patience:
            await line.show(batch)
        if patience.cancelled_caught:  # in the middle of something, so nothing more can be said
            log.info("%s reads too slowly and is cut off", self.name or "somebody")
            self.scope.cancel()
            await trio.lowlevel.checkpoint()
