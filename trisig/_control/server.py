"""The master's side of the control socket: who may ask, and what is answered.

Whatever a client sends wrongly is answered with an error, or ends its connection; nothing else changes.
"""

from __future__ import annotations

import inspect
import os
import select
import socket
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, Protocol

import trio

from .admission import Admission, ClientLimits
from .protocol import LINE_BYTES, encode, parse_request

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class Listener(Protocol):
    """Where clients come from."""

    async def accept(self) -> trio.SocketStream: ...


Command = Callable[..., Awaitable[object]]
Progress = Callable[..., str]


class ControlLimits(ClientLimits, frozen=True):
    """What the clients of a control socket may use.

    Attributes:
        notice: seconds after which a client that still waits hears what for, again and again.
    """

    notice: float = 2.0


class ControlServer:
    """Serves commands on a unix socket.

    Args:
        commands: async functions by name; each gets the request's other fields as keyword arguments.
        progress: for commands that may take long, what they wait for; called with the seconds that have passed and
            the same arguments.
        limits: what clients may use.
    """

    def __init__(
        self,
        commands: dict[str, Command],
        progress: dict[str, Progress] | None = None,
        limits: ControlLimits | None = None,
    ) -> None:
        self._commands = commands
        self._progress = progress or {}
        self._limits = limits or ControlLimits()
        self._admission = Admission(self._limits, "control socket", queues=False)

    async def serve(self, listener: Listener, connections: trio.Nursery) -> None:
        """Answer whoever connects, until cancelled.

        Args:
            listener: the socket.
            connections: where conversations run. They go on when this is cancelled and nobody else is let in.
        """
        await self._admission.serve(listener.accept, self._converse, connections)

    async def _converse(self, stream: trio.SocketStream) -> None:
        try:
            async with stream:
                if _uid_of(stream.socket) not in (0, os.geteuid()):
                    return
                with trio.CancelScope() as scope:
                    async with aclosing(self._lines(stream, scope)) as lines:
                        async for line in lines:
                            reply = await self._reply_while_it_listens(line, stream)
                            if reply is None:
                                return
                            with self._admission.idling(scope):
                                await stream.send_all(encode(reply))
        except (trio.BrokenResourceError, ValueError):
            pass  # it went away, or sends no lines: its loss

    async def _lines(self, stream: trio.SocketStream, scope: trio.CancelScope) -> AsyncGenerator[bytes, None]:
        """The lines that a client sends.

        Raises:
            ValueError: a line is too long.
        """
        rest = b""
        while True:
            with self._admission.idling(scope):
                data = await stream.receive_some(LINE_BYTES)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield line
            if len(rest) > LINE_BYTES:
                raise ValueError("the line is too long")

    async def _reply_while_it_listens(self, line: bytes, stream: trio.SocketStream) -> dict[str, Any] | None:
        """The reply to a request; None if its client has left, and the command was given up."""
        reply = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_left, stream, nursery.cancel_scope)
            reply = await self._reply(line, stream, nursery)
            nursery.cancel_scope.cancel()
        return reply

    async def _reply(self, line: bytes, stream: trio.SocketStream, nursery: trio.Nursery) -> dict[str, Any]:
        try:
            name, arguments = parse_request(line)
            command = self._commands.get(name)
            if command is None:
                raise ValueError(f"unknown command {name!r}; expected one of {', '.join(self._commands)}")  # noqa: TRY301  one answer for all
            _check_arguments(command, arguments)
            if name in self._progress:
                nursery.start_soon(self._report, stream, self._progress[name], arguments)
            if _tells(command):
                return {"answer": await command(**arguments, tell=partial(_tell, stream))}
            return {"answer": await command(**arguments)}
        except RecursionError:
            return {"error": "the request is nested too deeply"}
        except Exception as error:  # noqa: BLE001  whatever is wrong with a request is answered
            return {"error": f"{error}" or type(error).__name__}

    async def _report(self, stream: trio.SocketStream, progress: Progress, arguments: dict[str, Any]) -> None:
        """Tell a client that waits what it waits for."""
        begin = trio.current_time()
        while True:
            await trio.sleep(self._limits.notice)
            if not _tell(stream, progress(trio.current_time() - begin, **arguments)):
                return


def _tell(stream: trio.SocketStream, words: str) -> bool:
    """Say something to a client that waits; whether it still listens."""
    line = encode({"waiting": words})
    try:
        # Not by `send_all`: cancelled halfway, it would leave half a line before the answer.
        sent = os.write(stream.socket.fileno(), line)
    except BlockingIOError:
        return True
    except OSError:  # it has left, and is about to be noticed
        return False
    if sent < len(line):
        stream.socket.shutdown(socket.SHUT_RDWR)
        return False
    return True


def _tells(command: Command) -> bool:
    """Whether a command is given `tell`, to say something before its answer."""
    return "tell" in inspect.signature(command).parameters


async def _cancel_when_left(stream: trio.SocketStream, scope: trio.CancelScope) -> None:
    """Give a command up when its client closes the connection.

    One that has only finished sending still listens, as `printf ... | nc -U` does. EPOLLHUP tells them apart; the
    event comes unasked, and asking for none keeps the next request, which is readable too, from waking this up.
    """
    try:
        hangups = select.epoll()
    except OSError:  # no descriptor is left: the command runs to its end
        return
    with hangups:
        hangups.register(stream.socket.fileno(), 0)
        await trio.lowlevel.wait_readable(hangups.fileno())
        scope.cancel()


def _check_arguments(command: Command, arguments: dict[str, Any]) -> None:
    """Refuse arguments that the command does not take.

    Raises:
        TypeError: it does not take them.
    """
    signature = inspect.signature(command)
    parameters = [one for name, one in signature.parameters.items() if name != "tell"]  # which is no client's
    signature = signature.replace(parameters=parameters)
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise TypeError(f"{error}; it takes {', '.join(signature.parameters) or 'none'}") from None


def _uid_of(peer: trio.socket.SocketType) -> int:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(credentials)[1]
    return uid
