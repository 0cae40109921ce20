"""The control socket: what an operator may ask of a running master.

A unix socket that only its owner may use: mode 0600 from its first moment, and the kernel tells who connects.
One JSON object a line in each direction. Whatever a client sends wrongly is answered with an error, or ends
its connection; nothing else changes.
"""

from __future__ import annotations

import errno
import inspect
import json
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from ._errors import reworded

_LINE_BYTES = 65_536
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid

Command = Callable[..., Awaitable[object]]


class Endpoint:
    """Serves commands on a unix socket.

    Args:
        commands: by name; each gets the request's other fields as keyword arguments.
    """

    def __init__(self, commands: dict[str, Command]) -> None:
        self._commands = commands

    async def serve(self, listener: trio.SocketListener, connections: trio.Nursery) -> None:
        """Answer whoever connects, until cancelled.

        Args:
            listener: the socket.
            connections: what runs on, until it is cancelled, when nobody else is let in.
        """
        await trio.serve_listeners(self._talk, [listener], handler_nursery=connections)

    async def _talk(self, stream: trio.SocketStream) -> None:
        async with stream:
            if _uid_of(stream.socket) not in (0, os.geteuid()):
                return
            try:
                async for line in _lines(stream):
                    await stream.send_all(json.dumps(await self._answer(line)).encode() + b"\n")
            except (trio.BrokenResourceError, ValueError):
                pass  # it went away, or sends no lines: its loss

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("do"), str):
                raise TypeError('a request is an object such as {"do": "status"}')  # noqa: TRY301  one answer for all
            command = self._commands.get(request.pop("do"))
            if command is None:
                raise ValueError(f"there is no such command; there are {', '.join(self._commands)}")  # noqa: TRY301
            return {"answer": await command(**_fitting(command, request))}
        except RecursionError:
            return {"error": "the request is nested too deeply"}
        except Exception as error:  # noqa: BLE001  whatever is wrong with a request is answered
            return {"error": f"{error}" or type(error).__name__}


def _fitting(command: Command, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, if the command takes them.

    Raises:
        TypeError: it does not.
    """
    try:
        inspect.signature(command).bind(**arguments)
    except TypeError as error:
        raise TypeError(f"{error}; it takes {', '.join(inspect.signature(command).parameters) or 'none'}") from None
    return arguments


def _uid_of(peer: trio.socket.SocketType) -> int:
    credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    uid: int = _CREDENTIALS.unpack(credentials)[1]
    return uid


async def _lines(stream: trio.SocketStream) -> AsyncIterator[bytes]:
    """The lines that a client sends.

    Raises:
        ValueError: a line is too long.
    """
    rest = b""
    async for data in stream:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > _LINE_BYTES:
            raise ValueError("the line is too long")


@asynccontextmanager
async def open_listener(path: Path) -> AsyncIterator[trio.SocketListener]:
    """Make the socket for the length of a block; from its start on clients can connect, and wait.

    Raises:
        trio.BusyResourceError: another master listens there.
        OSError: the socket cannot be made there.
    """
    sock = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
    with sock:
        os.fchmod(sock.fileno(), 0o600)  # Linux takes it over when the socket gets its name
        await _bind(sock, path)
        made = path.lstat()  # noqa: ASYNC240  local, and just made
        sock.listen(64)
        try:
            yield trio.SocketListener(sock)
        finally:
            _remove(path, made)


async def _bind(sock: trio.socket.SocketType, path: Path) -> None:
    try:
        await sock.bind(str(path))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise _unusable(path, error) from None
    else:
        return
    await _clear(path)
    await sock.bind(str(path))


def _unusable(path: Path, error: OSError) -> OSError:
    if error.errno == errno.ENOENT:
        why = f"there is no directory {path.parent}; make it, or name another path"
    else:
        why = error.strerror or str(error)
    return reworded(error, f"control socket {path}: {why}")


async def _clear(path: Path) -> None:
    """Remove the socket of a master that was killed."""
    if not stat.S_ISSOCK(path.lstat().st_mode):  # noqa: ASYNC240  local and short
        what = "a directory" if path.is_dir() else "a file of another kind"  # noqa: ASYNC240  local and short
        raise FileExistsError(f"control socket {path}: this is {what}; name another path")
    with trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM) as probe:
        try:
            await probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()  # noqa: ASYNC240  local and short
            return
    raise trio.BusyResourceError(f"control socket {path}: another master listens there; name another path")


def _remove(path: Path, made: os.stat_result) -> None:
    try:
        if os.path.samestat(path.lstat(), made):
            path.unlink()
    except FileNotFoundError:
        pass
