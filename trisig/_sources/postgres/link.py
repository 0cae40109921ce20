"""What all sources of one PostgreSQL server share: one connection, and the channels that it listens to.

Sources say which channel they want and nothing else. One task (`Link.drive`) compares the wanted channels with those
that the connection listens to, and makes them equal. The connection exists while any channel is wanted. A lost
connection is made again, after growing pauses. Notifications that the server sent meanwhile are gone, and nothing says
how many there were, so each listener that was interrupted counts one notification once it listens again.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import psycopg
import trio

from trisig._sources.occurrences import Occurrence, Occurrences
from trisig._util.backoff import Backoff
from trisig._util.ki_protection import ki_protected

from .server import Server
from .wire import ChannelError, ConnectError, Wire, connect, one_line

MOST_PAYLOADS = 1000  # kept for one source

log = logging.getLogger("trisig")


class Listener(Occurrences):
    """The notifications of one channel for one source.

    Notifications are counted, and only the payloads of the first thousand kept, so those that come while nobody takes
    them cost nothing.

    Args:
        channel: its name.
        source: what the log calls the source.
        want_again: has the server asked anew for a channel that it refused.

    Attributes:
        key: the name of the channel as the server sends it.
        is_settled: set once the channel is listened to, or once it is clear that it will not be for now.
    """

    def __init__(self, channel: str, source: str, want_again: Callable[[Listener], None]) -> None:
        self.key = channel.encode()
        self._channel = channel
        self._source = source
        self._want_again = want_again
        self._unread = 0
        self._payloads: deque[str | None] = deque()
        self._changed = trio.Event()
        self._refusal: ChannelError | None = None
        self._listens = self._was_interrupted = False
        self._error: str | None = None
        self.is_settled = trio.Event()

    @property
    def state(self) -> str:
        """`connecting` until the server tells of notifications on the channel, then `listening`."""
        return "listening" if self._listens else "connecting"

    @property
    def error(self) -> str | None:
        """Why the connection was not there the last time that it was not."""
        return self._error

    async def next(self) -> Occurrence:
        """Wait for the next notification.

        Raises:
            ChannelError: the server will not listen to the channel; the next call has it try again.
        """
        if self._refusal is not None and not self._unread:
            self._refusal = None
            self._want_again(self)
        while not self._unread:
            if self._refusal is not None:
                raise self._refusal
            self._changed = trio.Event()
            await self._changed.wait()
        self._unread -= 1
        return Occurrence(payload=self._payloads.popleft() if self._payloads else None)

    def notify(self, payload: str | None) -> None:
        """A notification has come, or may have been missed."""
        # Behind one without its payload none has one: this way each is that of its notification.
        if len(self._payloads) == self._unread < MOST_PAYLOADS:
            self._payloads.append(payload)
        self._unread += 1
        self._changed.set()

    def interrupt(self, error: str | None) -> None:
        """The channel is not listened to, though the source relies on it: notifications may be missed from now on."""
        self._error = error or self._error
        self._listens, self._was_interrupted = False, True
        self.is_settled.set()

    def arm(self) -> None:
        """The channel is listened to."""
        self._refusal = None
        self._listens = True
        self.is_settled.set()
        if self._was_interrupted:
            self._was_interrupted = False
            log.warning(
                "%s: listening again; raising the signal once because notifications may have been missed", self._source
            )
            self.notify(None)

    def refuse(self, error: ChannelError) -> None:
        """The server will not listen to the channel."""
        self._refusal = ChannelError(f"cannot listen to {self._channel!r}: {error}")
        self.interrupt(str(self._refusal))
        self._changed.set()


@ki_protected
class Link:
    """The connection to one server; an engine that sources share.

    Args:
        server: which one.
        backoff: the pauses between two tries to connect.
    """

    def __init__(self, server: Server, backoff: Backoff = Backoff()) -> None:  # noqa: B008  frozen
        self._server = server
        self._backoff = backoff
        self._wanted: dict[bytes, set[Listener]] = {}
        self._refused: set[bytes] = set()
        self._unarmed: set[Listener] = set()
        self._down: str | None = None  # why there is no connection, after a try has failed
        self._connected_at = math.inf
        self._nap = trio.CancelScope()

    @contextmanager
    def listening(self, channel: str, source: str) -> Iterator[Listener]:
        """Listen to a channel for as long as the block runs.

        Args:
            channel: its name.
            source: what the log calls the source that wants it.
        """
        listener = Listener(channel, source, self._want)
        if self._down is not None:
            listener.interrupt(self._down)
        self._wanted.setdefault(listener.key, set()).add(listener)
        self._want(listener)
        try:
            yield listener
        finally:
            self._forget(listener)
            self._nap.cancel()

    async def wait_settled(self) -> None:
        """Return once all wanted channels are listened to, or it is clear that they will not be for now."""
        for listener in [listener for listeners in self._wanted.values() for listener in listeners]:
            await listener.is_settled.wait()

    def _want(self, listener: Listener) -> None:
        """Have the channel listened to, though it may have been refused before."""
        self._refused.discard(listener.key)
        self._unarmed |= self._wanted[listener.key]
        self._nap.cancel()

    def _forget(self, listener: Listener) -> None:
        listener.is_settled.set()
        self._unarmed.discard(listener)
        listeners = self._wanted[listener.key]
        listeners.discard(listener)
        if not listeners:
            del self._wanted[listener.key]
            self._refused.discard(listener.key)

    async def drive(self) -> None:
        """Keep the connection for as long as any channel is wanted, until cancelled."""
        failures = 0
        while True:
            if not self._wanted:
                self._down = None
                await self._wait_or_change(trio.sleep_forever)
                continue
            self._connected_at = math.inf
            try:
                await self._serve()
            except Exception as error:  # noqa: BLE001  whatever it was, the other sources of the master go on
                # A connection that outlived the last pause has worked; a server that drops each new one is not pressed.
                worked = trio.current_time() - self._connected_at > self._backoff.pause(failures)
                failures = 1 if worked else failures + 1
                pause = self._backoff.pause(failures)
                self._lose(error, pause)
                await trio.sleep(pause)

    async def _serve(self) -> None:
        """Connect, and hand on notifications until no channel is wanted any more."""
        wire = await connect(self._server)
        try:
            self._down, self._connected_at = None, trio.current_time()
            while self._wanted:
                await self._agree(wire)
                self._deliver(wire)
                await self._wait_or_change(wire.wait_arrival)
        finally:
            wire.close()

    async def _wait_or_change(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait until `wait` returns or the wanted channels change.

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
        for channel, payload in wire.notified():
            for listener in self._wanted.get(channel, ()):
                listener.notify(payload.decode(errors="surrogateescape"))

    def _lose(self, error: Exception, pause: float) -> None:
        """Say why no channel is listened to, and remember which listeners to arm again."""
        level, problem = _describe_loss(error)
        self._down = f"{problem}: {one_line(error)}" if one_line(error) else problem
        self._refused.clear()
        self._unarmed = {listener for listeners in self._wanted.values() for listener in listeners}
        for listener in self._unarmed:
            listener.interrupt(self._down)
        known = isinstance(error, _EXPECTED)
        log.log(
            level,
            "postgres at %s: %s; next try in %g s",
            self._server,
            self._down,
            pause,
            exc_info=None if known else error,
        )


_EXPECTED = (ConnectError, psycopg.OperationalError, trio.TooSlowError)


def _describe_loss(error: Exception) -> tuple[int, str]:
    """How bad it is that there is no connection, and why there is none."""
    match error:
        case ConnectError(answered=True):
            return logging.ERROR, "the server refused the connection"
        case ConnectError():
            return logging.WARNING, "the server cannot be reached"
        case psycopg.OperationalError():
            return logging.WARNING, "the connection was lost"
        case trio.TooSlowError():
            return logging.WARNING, "the server does not answer"
        case _:
            return logging.ERROR, f"unexpected {type(error).__name__}"
