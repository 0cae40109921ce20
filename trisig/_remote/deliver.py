"""Sends a signal to another program: `deliver` where code may block, `deliver_async` in trio."""

from __future__ import annotations

import socket

import trio

from trisig._control.unix_stream import open_unix_stream
from trisig._model.address import Address

from .packet import PACKET_BYTES, check_answer, packet_of, undelivered

PATIENCE_S = 10.0


def deliver(signum: int, node: str) -> None:
    """Raise a signal in the program that listens at an address.

    Args:
        signum: 0 to 255.
        node: `HOST:PORT`, or the path of a Unix socket.

    Raises:
        OSError: it cannot be reached, or does not answer within ten seconds.
        RejectedError: it did not take the signal.
    """
    answer = b""
    try:
        with _connect(Address.parse(node)) as connection:
            connection.sendall(packet_of(signum))
            while len(answer) < PACKET_BYTES and (part := connection.recv(PACKET_BYTES - len(answer))):
                answer += part
    except (OSError, ValueError) as error:
        raise undelivered(signum, node) from error
    check_answer(answer, signum, node)


def _connect(address: Address) -> socket.socket:
    if not address.path:
        return socket.create_connection((address.host or "127.0.0.1", address.port), PATIENCE_S)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(PATIENCE_S)
    try:
        connection.connect(address.path)
    except BaseException:
        connection.close()
        raise
    return connection


async def deliver_async(signum: int, node: str) -> None:
    """Do as `deliver` does; for as long as its caller waits.

    Raises:
        OSError: it cannot be reached, or ends the connection.
        RejectedError: it did not take the signal.
    """
    answer = b""
    try:
        async with await _open(Address.parse(node)) as stream:
            await stream.send_all(packet_of(signum))
            while len(answer) < PACKET_BYTES and (part := await stream.receive_some(PACKET_BYTES - len(answer))):
                answer += part
    except (OSError, ValueError, trio.BrokenResourceError) as error:
        raise undelivered(signum, node) from error
    check_answer(answer, signum, node)


async def _open(address: Address) -> trio.SocketStream:
    if address.path:
        return await open_unix_stream(address.path)
    return await trio.open_tcp_stream(address.host or "127.0.0.1", address.port)
