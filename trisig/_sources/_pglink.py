"""What all sources of one PostgreSQL server share: one connection, and whose channels it listens to.

Sources say which channel they want and nothing else; one task (`Link.drive`) compares what is wanted with what the
connection listens to, and makes them equal. The connection is there while anything is wanted. When it is lost it is
made again, with growing pauses, and nobody else sees more of it than this: notifications that the server sent
meanwhile are gone, and nothing says how many there were. So each listener that was deaf for a while is told of one
notification once it hears again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import psycopg
import trio

from trisig._interrupt import uninterrupted

from ._pgserver import Server
from ._pgwire import ChannelError, ConnectError, Wire, connect, one_line

log = logging.getLogger("trisig")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 30.0  # seconds


class Listener:
    """The notifications of one channel for one source.

    They are counted, not kept, so those that come while nobody takes them cost nothing.

    Attributes:
        settled: set once the channel is listened to, or once it is clear that it will not be for now.
    """

    def __init__(self, channel: str, source: str, again: Callable[[Listener], None]) -> None:
        self.key = channel.encode()
        self._channel = channel
        self._source = source
        self._again = again
        self._unheard = 0
        self._news = trio.Event()
        self._refusal: ChannelError | None = None
        self._deaf = False
        self.settled = trio.Event()

    async def next(self) -> int:
        """Wait for the next notification.

        Raises:
            ChannelError: the server will not listen to the channel; the next call has it try again.
        """
        if self._refusal is not None and not self._unheard:
            self._refusal = None
            self._again(self)
        while not self._unheard:
            if self._refusal is not None:
                raise self._refusal
            self._news = trio.Event()
            await self._news.wait()
        self._unheard -= 1
        return 0

    def hear(self) -> None:
        self._unheard += 1
        self._news.set()

    def be_deaf(self) -> None:
        """The channel is not listened to, though the source relies on it."""
        self._deaf = True
        self.settled.set()

    def arm(self) -> None:
        """The channel is listened to."""
        self._refusal = None
        self.settled.set()
        if self._deaf:
            self._deaf = False
            log.warning(
                "%s: listening after a time without; the signal is raised once, "
                "since notifications may have been missed",
                self._source,
            )
            self.hear()

    def refuse(self, error: ChannelError) -> None:
        """The server will not listen to the channel."""
        self._refusal = ChannelError(f"cannot listen to {self._channel!r}: {error}")
        self.be_deaf()
        self._news.set()


@uninterrupted
class Link:
    """The connection to one server; an engine that sources share.

    Args:
        server: which one.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._wanted: dict[bytes, set[Listener]] = {}
        self._refused: set[bytes] = set()
        self._unarmed: set[Listener] = set()
        self._down = False
        self._up_since = math.inf
        self._nap = trio.CancelScope()

    @contextmanager
    def listening(self, channel: str, source: str) -> Iterator[Listener]:
        """Want a channel for as long as the block runs.

        Args:
            channel: its name.
            source: what the log calls the source that wants it.
        """
        listener = Listener(channel, source, self._want)
        if self._down:
            listener.be_deaf()
        self._wanted.setdefault(listener.key, set()).add(listener)
        self._want(listener)
        try:
            yield listener
        finally:
            self._forget(listener)
            self._nap.cancel()

    async def settled(self) -> None:
        """Return once all wanted channels are listened to, or it is clear that they will not be for now."""
        for listener in [listener for listeners in self._wanted.values() for listener in listeners]:
            await listener.settled.wait()

    def _want(self, listener: Listener) -> None:
        """Have the channel listened to, though it may have been refused before."""
        self._refused.discard(listener.key)
        self._unarmed |= self._wanted[listener.key]
        self._nap.cancel()

    def _forget(self, listener: Listener) -> None:
        listener.settled.set()
        self._unarmed.discard(listener)
        listeners = self._wanted[listener.key]
        listeners.discard(listener)
        if not listeners:
            del self._wanted[listener.key]
            self._refused.discard(listener.key)

    async def drive(self) -> None:
        """Keep the connection for as long as anything is wanted, until cancelled."""
        pause = _FIRST_PAUSE
        while True:
            if not self._wanted:
                self._down = False
                await self._until_changed(trio.sleep_forever)
                continue
            self._up_since = math.inf
            try:
                await self._attend()
            except Exception as error:  # noqa: BLE001  whatever it was, the other sources of the master go on
                if trio.current_time() - self._up_since > pause:
                    pause = _FIRST_PAUSE
                self._lose(error, pause)
                await trio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _attend(self) -> None:
        """Connect, and hand on what comes until nothing is wanted any more."""
        wire = await connect(self._server)
        try:
            self._down, self._up_since = False, trio.current_time()
            while self._wanted:
                await self._agree(wire)
                self._deliver(wire)
                await self._until_changed(wire.arrival)
        finally:
            wire.close()

    async def _until_changed(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait, but not on when other channels are wanted than before.

        A change at any other time is seen before the next wait: the caller has no checkpoint in between.
        """
        with trio.CancelScope() as self._nap:
            await wait()

    async def _agree(self, wire: Wire) -> None:
        """Have the server tell of exactly the channels that are wanted."""
        with trio.fail_after(self._server.timeout):
            while different := (self._wanted.keys() - self._refused) ^ wire.channels:
                channel = different.pop()
                if channel in self._wanted:
                    await self._listen(wire, channel)
                else:
                    await wire.unlisten(channel)
        while self._unarmed:
            self._unarmed.pop().arm()

    async def _listen(self, wire: Wire, channel: bytes) -> None:
        try:
            await wire.listen(channel)
        except ChannelError as error:
            self._refused.add(channel)
            for listener in self._wanted.get(channel, ()):
                self._unarmed.discard(listener)
                listener.refuse(error)

    def _deliver(self, wire: Wire) -> None:
        for channel in wire.notified():
            for listener in self._wanted.get(channel, ()):
                listener.hear()

    def _lose(self, error: Exception, pause: float) -> None:
        """Nothing is listened to: say so, and remember who has to be told."""
        self._down = True
        self._refused.clear()
        self._unarmed = {listener for listeners in self._wanted.values() for listener in listeners}
        for listener in self._unarmed:
            listener.be_deaf()
        _log_loss(self._server, error, pause)


def _log_loss(server: Server, error: Exception, pause: float) -> None:
    match error:
        case ConnectError(answered=True):
            log.error("postgres at %s refused the connection, next try in %g s: %s", server, pause, error)
        case ConnectError():
            log.warning("postgres at %s is not reached, next try in %g s: %s", server, pause, error)
        case psycopg.OperationalError():
            log.warning("postgres at %s: connection lost, next try in %g s: %s", server, pause, one_line(error))
        case trio.TooSlowError():
            log.warning("postgres at %s does not answer, next try in %g s", server, pause)
        case _:
            log.error("postgres at %s failed, next try in %g s", server, pause, exc_info=error)
