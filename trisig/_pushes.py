"""What the master tells a child without being asked; it never waits for the child to listen."""

from __future__ import annotations

import json
import socket
from collections import deque

import trio

from ._asking import Message
from ._interrupt import uninterrupted


@uninterrupted
class Pushes:
    """The messages to one incarnation of a child, in order; those that its socket does not take are kept.

    Args:
        end: a connected SOCK_SEQPACKET socket, non-blocking.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._kept: deque[bytes] = deque()
        self._blocked = trio.Event()

    def push(self, message: Message) -> None:
        self._kept.append(json.dumps(message).encode())
        self._flush()

    def hang_up(self) -> None:
        """The end of the messages, which asks the child to leave."""
        try:
            self._end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it has left

    async def keep_flushing(self) -> None:
        """Send what was kept whenever there is room, until cancelled."""
        while True:
            await self._blocked.wait()
            self._blocked = trio.Event()
            await trio.lowlevel.wait_writable(self._end)
            self._flush()

    def _flush(self) -> None:
        try:
            while self._kept:
                self._end.send(self._kept[0])
                self._kept.popleft()
        except BlockingIOError:
            self._blocked.set()
        except OSError:
            self._kept.clear()  # nobody is there any more
