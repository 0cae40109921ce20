"""Sockets that stay open while their process becomes another program."""

from __future__ import annotations

import json
import os
import socket

import trio

from trisig._control.fixed_listener import FixedListener
from trisig._control.listener import UnixListener
from trisig._model.address import Address

from .sockets import Listener, RemoteSockets, socket_file


def handed_over(sockets: RemoteSockets) -> str:
    """Let the descriptors survive an exec; what to tell the next program."""
    told = []
    for address, listener in sockets.opened:
        fd = listener.sock.fileno()
        os.set_inheritable(fd, True)
        made = listener.made if isinstance(listener, UnixListener) else None
        told.append((fd, address.text, address.path, address.host, address.port, made))
    return json.dumps(told)


def taken_over(text: str) -> dict[Address, Listener]:
    """The listening sockets that `handed_over` has told of; none if the text is empty."""
    return dict(_taken_over(*one) for one in json.loads(text or "[]"))


def _taken_over(
    fd: int, text: str, path: str, host: str, port: int, made: tuple[int, int] | None
) -> tuple[Address, Listener]:
    os.set_inheritable(fd, False)
    address = Address(text, path, host, port)
    sock = trio.socket.from_stdlib_socket(socket.socket(fileno=fd))
    if made is None:
        return address, FixedListener(sock)
    return address, UnixListener(socket_file(address, None), sock, (made[0], made[1]))
