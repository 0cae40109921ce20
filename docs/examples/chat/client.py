"""One person's connection, whatever it speaks: what it is to be shown waits in its inbox.

    hub ──> inbox (bounded) ──> write() ──> Line: a WebSocket, or lines over TCP

Nobody ever waits for a client but its own tasks. A client that does not read fills its inbox, and is dropped: it may
still read what is there and the notice at the end, and is cut off if that takes too long.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

import trio

from events import Notice, Shown
from pace import Pace

INBOX = 2000  # things to show that a client may be behind
LAST_CHANCE = 10.0  # seconds to read the notice for which it is dropped
NOBODY = Notice("You did not say who you are.", "bye")

Batch = Sequence[Shown]


class Line(Protocol):
    """What a connection can do."""

    async def show(self, batch: Batch) -> None:
        """Send these to the client; waits until they are on their way."""


class Client:
    """One connection.

    Attributes:
        connection: its own id.
        name, room: empty until it has entered a room.
        entered: set when it has said who it is, and where it wants to be.
    """

    def __init__(self) -> None:
        self.connection = secrets.token_hex(8)
        self.name = self.room = ""
        self.entered = trio.Event()
        self.scope = trio.CancelScope()
        self._pace = Pace(trio.current_time())
        self._send, self._inbox = trio.open_memory_channel[Shown](INBOX)
        self._held: list[Shown] | None = None
        self._bye: Notice | None = None

    # For the hub

    def offer(self, batch: Batch) -> bool:
        """Put something into the inbox; false if it is full. Never waits."""
        if self._held is not None:
            self._held += batch
            return len(self._held) <= INBOX
        try:
            for shown in batch:
                self._send.send_nowait(shown)
        except trio.WouldBlock:
            return False
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            pass  # it is leaving
        return True

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
        """Put something into the inbox; waits while it is full. For the client's own requests."""
        with suppress(trio.ClosedResourceError, trio.BrokenResourceError):
            for shown in batch:
                await self._send.send(shown)

    def dismiss(self, bye: Notice) -> None:
        """End the connection once it has read what is in its inbox, and in any case soon."""
        if self._bye is None:
            self._bye = bye
            self._send.close()
            self.scope.deadline = trio.current_time() + LAST_CHANCE

    # For the connection

    async def enter_within(self, seconds: float) -> None:
        """Dismiss it unless it says who it is in time."""
        with trio.move_on_after(seconds):
            await self.entered.wait()
        if not self.entered.is_set():
            self.dismiss(NOBODY)

    async def keep_pace(self) -> None:
        """Wait until the client may go on: whoever is too fast is read later."""
        await trio.sleep(self._pace.take(trio.current_time()))

    async def write(self, line: Line, quiet: float = float("inf")) -> None:
        """Show what comes into the inbox until it ends; an empty batch after every `quiet` seconds of nothing."""
        try:
            while True:
                await line.show(await self._next(quiet))
        except trio.EndOfChannel:
            if self._bye is not None:
                await line.show([self._bye])

    async def _next(self, quiet: float) -> Batch:
        batch: list[Shown] = []
        with trio.move_on_after(quiet):
            batch.append(await self._inbox.receive())
        with suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                batch.append(self._inbox.receive_nowait())
        return batch
