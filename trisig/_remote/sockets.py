"""The sockets at which a master listens for signals of other programs."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import trio

from trisig._control.fixed_listener import FixedListener
from trisig._control.listener import listen_at
from trisig._control.socket_file import SocketFile
from trisig._model.address import Address
from trisig._model.errors import reworded

_BACKLOG = 100  # uWSGI's listen


class Listener(Protocol):
    """A listening socket."""

    @property
    def sock(self) -> trio.socket.SocketType: ...
    async def accept(self) -> trio.SocketStream: ...
    async def keep(self) -> None: ...
    def close(self) -> None: ...


class RemoteSockets:
    """Sockets that listen; made by `open_sockets`.

    Args:
        opened: addresses, each with what listens there.
    """

    def __init__(self, opened: Sequence[tuple[Address, Listener]]) -> None:
        self.opened = opened

    @property
    def listeners(self) -> Sequence[Listener]:
        """What clients connect to."""
        return [listener for _, listener in self.opened]

    @property
    def addresses(self) -> list[str]:
        """As they were written."""
        return [address.text for address, _ in self.opened]

    def fds(self) -> list[int]:
        """Their descriptors."""
        return [listener.sock.fileno() for listener in self.listeners]

    def close(self) -> None:
        """Stop listening, and remove the files of Unix sockets."""
        for listener in self.listeners:
            listener.close()


async def open_sockets(
    addresses: Iterable[Address], mode: int | None = None, kept: Mapping[Address, Listener] | None = None
) -> RemoteSockets:
    """Listen. Clients can connect from now on, and wait.

    Args:
        addresses: at these.
        mode: of the files of Unix sockets; None for what the umask allows.
        kept: what listens already; what is not needed any more is closed.

    Raises:
        OSError: one of them cannot be had; then none is listened at.
        trio.BusyResourceError: another program listens at the path of one.
    """
    rest, opened = dict(kept or {}), list[tuple[Address, Listener]]()
    try:
        for address in addresses:
            listener = rest.pop(address, None) or await _listen(address, mode)
            opened.append((address, listener))
    except BaseException:
        RemoteSockets(opened).close()
        raise
    finally:
        RemoteSockets(list(rest.items())).close()
    return RemoteSockets(opened)


def socket_file(address: Address, mode: int | None) -> SocketFile:
    """The file of a Unix socket."""
    path = Path(os.path.abspath(address.path))  # noqa: PTH100  links are not resolved
    return SocketFile(path, mode, "socket", "another program")


async def _listen(address: Address, mode: int | None) -> Listener:
    if address.path:
        return await listen_at(socket_file(address, mode))
    try:
        return FixedListener(_listen_tcp(address))
    except OSError as error:
        why = f"socket {address.text}: {error.strerror or error}; write another port"
        raise reworded(error, why) from None


def _listen_tcp(address: Address) -> trio.socket.SocketType:
    host = "127.0.0.1" if address.host == "localhost" else address.host
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, address.port))
        sock.listen(_BACKLOG)
        sock.setblocking(False)
        return trio.socket.from_stdlib_socket(sock)
    except BaseException:
        sock.close()
        raise
