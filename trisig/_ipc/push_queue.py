"""What the master sends a child unasked; the master never waits for the child to read it."""

from __future__ import annotations

import socket
from collections import deque

import trio

from trisig._util.ki_protection import ki_protected

from .messages import Push, encode


@ki_protected
class PushQueue:
    """The messages to one incarnation of a child, in order; those that its socket does not take are kept.

    Args:
        end: a connected SOCK_SEQPACKET socket, non-blocking.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._kept: deque[bytes] = deque()
        self._blocked = trio.Event()

    def push(self, message: Push) -> None:
        """Send a message, or keep it until there is room."""
        self._kept.append(encode(message))
        self._flush()

    async def keep_flushing(self) -> None:
        """Send what was kept whenever there is room, until cancelled."""
        while True:
            await self._blocked.wait()
            # Replaced before the wait: a push that finds the socket full meanwhile must set the new event.
            self._blocked = trio.Event()
            await trio.lowlevel.wait_writable(self._end)
            self._flush()

    def _flush(self) -> None:
        try:
            while self._kept:
                self._end.send(self._kept[0])
                self._kept.popleft()  # only now: a message that the socket refused stays the first
        except BlockingIOError:
            self._blocked.set()
        except OSError:
            self._kept.clear()  # the child has left
