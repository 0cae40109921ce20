"""One connection to a PostgreSQL server, driven by trio through libpq's non-blocking calls.

psycopg's asynchronous connection needs asyncio; `psycopg.pq` below it only needs a caller that waits for the socket.
Any call of libpq may change the socket, so it is looked up before each wait. Only the task in these functions waits for
it, so libpq may close it in any of its calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import psycopg
import trio
from psycopg import pq
from psycopg.pq import abc

from .server import Place, Server

# A connection that fails in one of these has not got a word from a server.
_UNANSWERED = (pq.ConnStatus.STARTED, pq.ConnStatus.MADE)


class ConnectError(Exception):
    """No address of the server accepted a connection.

    Attributes:
        answered: a server refused it, for a password, a database or a certificate; waiting may not help.
    """

    def __init__(self, message: str, *, answered: bool) -> None:
        super().__init__(message)
        self.answered = answered


class ChannelError(Exception):
    """The server refused a channel; the connection still works."""


class QueryError(Exception):
    """The server refused a statement; the connection still works.

    Attributes:
        code: the SQLSTATE.
    """

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


async def connect(server: Server) -> Wire:
    """Connect to the first place and address that accepts the connection.

    Args:
        server: where, and how.

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
    """Drive a connection that was started until it is established."""
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
    """An error of libpq on one line, for the log; libpq adds hints on further lines."""
    return " ".join(str(message).split())


class Wire:
    """An established connection.

    Every method but `close` raises `psycopg.OperationalError` once the connection is lost.

    Attributes:
        channels: the channels that it listens to.
    """

    def __init__(self, pgconn: abc.PGconn) -> None:
        self._pgconn = pgconn
        self._escaping = pq.Escaping(pgconn)
        self.channels: set[bytes] = set()
        self._prepared: dict[str, bytes] = {}  # names, by statement

    async def listen(self, channel: bytes) -> None:
        """Subscribe to a channel.

        Raises:
            ChannelError: it will not.
        """
        await self._ask(b"LISTEN " + self._escaping.escape_identifier(channel))
        self.channels.add(channel)

    async def unlisten(self, channel: bytes) -> None:
        """Unsubscribe from a channel.

        Raises:
            ChannelError: it will not.
        """
        await self._ask(b"UNLISTEN " + self._escaping.escape_identifier(channel))
        self.channels.discard(channel)

    async def wait_arrival(self) -> None:
        """Wait until the server sends something, and read it."""
        await trio.lowlevel.wait_readable(self._pgconn.socket)
        self._pgconn.consume_input()

    def notified(self) -> Iterator[tuple[bytes, bytes]]:
        """The channels and the payloads of the notifications that came in."""
        while (notification := self._pgconn.notifies()) is not None:
            yield notification.relname, notification.extra

    async def query(self, statement: str, *values: object) -> list[tuple[str | None, ...]]:
        """Run one statement by the extended protocol, unnamed, so that a pooler cannot mistake it for another's.

        Args:
            statement: with `$1` and so on.
            values: sent as text; None is NULL.

        Raises:
            QueryError: the server refuses it.
        """
        self._pgconn.send_query_params(
            statement.encode(), [None if value is None else str(value).encode() for value in values]
        )
        return await self._rows()

    async def query_prepared(self, statement: str, *values: object) -> list[tuple[str | None, ...]]:
        """Like `query`, but have the server keep the parsed statement, under a name, while the connection lasts.

        Not through a pooler that gives each transaction another session.

        Raises:
            QueryError: the server refuses it.
        """
        name = self._prepared.get(statement)
        if name is None:
            name = b"trisig%d" % len(self._prepared)
            self._pgconn.send_prepare(name, statement.encode())
            await self._rows()
            self._prepared[statement] = name
        self._pgconn.send_query_prepared(name, [None if value is None else str(value).encode() for value in values])
        return await self._rows()

    async def script(self, statements: str) -> None:
        """Run statements in one transaction.

        Raises:
            QueryError: the server refuses one.
        """
        self._pgconn.send_query(statements.encode())
        await self._rows()

    async def _rows(self) -> list[tuple[str | None, ...]]:
        while self._pgconn.flush():
            await trio.lowlevel.wait_writable(self._pgconn.socket)
        rows: list[tuple[str | None, ...]] = []
        refused = None
        while (result := await self._result()) is not None:
            if result.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
                rows = _text_of(result)
            else:
                code = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
                refused = QueryError(one_line(result.get_error_message()), code.decode())
        if refused is not None:
            raise refused
        return rows

    def close(self) -> None:
        """Close the connection without waiting for the server."""
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
            await self.wait_arrival()
        return self._pgconn.get_result()


def _text_of(result: abc.PGresult) -> list[tuple[str | None, ...]]:
    return [
        tuple(
            None if (value := result.get_value(row, column)) is None else value.decode()
            for column in range(result.nfields)
        )
        for row in range(result.ntuples)
    ]
