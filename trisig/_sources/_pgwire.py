"""One connection to a PostgreSQL server, driven by trio at the level of libpq's own non-blocking calls.

psycopg's asynchronous connection needs asyncio; what is under it, `psycopg.pq`, needs only somebody who waits for a
socket. Which socket that is may change whenever libpq was called, so it is asked for before each wait. And no task but
the one in these functions ever waits for it, so libpq may close it at any of its calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psycopg
import trio
from psycopg import pq
from psycopg.pq import abc

from ._pgserver import Place, Server

# A connection that fails in one of these has not got a word from a server.
_UNANSWERED = (pq.ConnStatus.STARTED, pq.ConnStatus.MADE)


class ConnectError(Exception):
    """No address of the server gave a connection.

    Attributes:
        answered: a server was there and refused: a password, a database, a certificate. Waiting may not help.
    """

    def __init__(self, message: str, *, answered: bool) -> None:
        super().__init__(message)
        self.answered = answered


class ChannelError(Exception):
    """The server would not listen to a channel; the connection is as good as before."""


async def connect(server: Server) -> Wire:
    """Connect to the first place and address that will have us.

    Raises:
        ConnectError: there was none.
    """
    failures: list[ConnectError] = []
    for place in server.places:
        try:
            for address in await _addresses(place, server.timeout):
                try:
                    with trio.fail_after(server.timeout):
                        return Wire(await _connected(server.conninfo(place, address)))
                except trio.TooSlowError:
                    failures.append(_silent(place, server.timeout))
                except ConnectError as error:
                    failures.append(error)
        except ConnectError as error:
            failures.append(error)
    raise ConnectError("; ".join(map(str, failures)), answered=any(failure.answered for failure in failures))


async def _addresses(place: Place, timeout: float) -> list[str]:  # noqa: ASYNC109  it is libpq's option
    try:
        with trio.fail_after(timeout):
            return await place.addresses()
    except trio.TooSlowError:
        raise _silent(place, timeout) from None
    except OSError as error:
        raise ConnectError(f"{place}: {error}", answered=False) from error


def _silent(place: Place, timeout: float) -> ConnectError:
    return ConnectError(f"{place}: no answer within {timeout:g} s", answered=False)


async def _connected(conninfo: str) -> abc.PGconn:
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        await _poll(pgconn)
        pgconn.nonblocking = 1
    except BaseException:
        _close(pgconn)
        raise
    return pgconn


async def _poll(pgconn: abc.PGconn) -> None:
    """Drive a connection that was started until it stands."""
    reached = pgconn.status
    while True:
        if reached != pq.ConnStatus.BAD:
            progress = pgconn.connect_poll()
        else:
            reached, progress = pq.ConnStatus.STARTED, pq.PollingStatus.FAILED
        match progress:
            case pq.PollingStatus.OK:
                return
            case pq.PollingStatus.READING:
                await trio.lowlevel.wait_readable(pgconn.socket)
            case pq.PollingStatus.WRITING:
                await trio.lowlevel.wait_writable(pgconn.socket)
            case _:
                raise ConnectError(one_line(pgconn.get_error_message()), answered=reached not in _UNANSWERED)
        reached = pgconn.status


def _close(pgconn: abc.PGconn) -> None:
    with suppress(psycopg.OperationalError):  # libpq has closed its socket already
        trio.lowlevel.notify_closing(pgconn.socket)
    pgconn.finish()


def one_line(message: object) -> str:
    """An error of libpq, which likes to add hints on lines of their own, for the log."""
    return " ".join(str(message).split())


class Wire:
    """A connection that stands. Everything here raises `psycopg.OperationalError` once it does not any more."""

    def __init__(self, pgconn: abc.PGconn) -> None:
        self._pgconn = pgconn
        self._escaping = pq.Escaping(pgconn)
        self.channels: set[bytes] = set()

    async def listen(self, channel: bytes) -> None:
        """Have the server tell of a channel.

        Raises:
            ChannelError: it will not.
        """
        await self._ask(b"LISTEN " + self._escaping.escape_identifier(channel))
        self.channels.add(channel)

    async def unlisten(self, channel: bytes) -> None:
        """Have the server be silent about a channel.

        Raises:
            ChannelError: it will not.
        """
        await self._ask(b"UNLISTEN " + self._escaping.escape_identifier(channel))
        self.channels.discard(channel)

    async def arrival(self) -> None:
        """Wait until the server says something, and take it in."""
        await trio.lowlevel.wait_readable(self._pgconn.socket)
        self._pgconn.consume_input()

    def notified(self) -> Iterator[bytes]:
        """The channels of the notifications that came in."""
        while (notification := self._pgconn.notifies()) is not None:
            yield notification.relname

    def close(self) -> None:
        """Say good-bye, as far as that takes no waiting."""
        _close(self._pgconn)

    async def _ask(self, statement: bytes) -> None:
        self._pgconn.send_query(statement)
        while self._pgconn.flush():
            await trio.lowlevel.wait_writable(self._pgconn.socket)
        refused = None
        while (result := await self._result()) is not None:
            if result.status != pq.ExecStatus.COMMAND_OK:
                refused = ChannelError(one_line(result.get_error_message()))
        if refused is not None:
            raise refused

    async def _result(self) -> abc.PGresult | None:
        while self._pgconn.is_busy():
            await self.arrival()
        return self._pgconn.get_result()
