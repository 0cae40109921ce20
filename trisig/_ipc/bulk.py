"""Contents that are too long for a frame, from a process to the master: a pipe that holds one after another, whole.

The frame that names a content is written after it. So a content that nothing names, because its process died, is
dropped with the pipe.
"""

from __future__ import annotations

import os
import select
import struct
import threading

import trio

from trisig._util.ki_protection import ki_protected

from .descriptors import widen

_HEADER = struct.Struct("<II")


@ki_protected
class BulkSender:
    """The end of the process.

    Blocks its thread until the master has read all but the last of it, as requests do: the master never waits for a
    process, so that takes about a millisecond a MiB.

    Args:
        fd: the writing end of the pipe, non-blocking.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.RLock()  # re-entrant for a handler of a Unix signal, which `_sending` then refuses
        self._sending = False
        self._sent = 0

    def send(self, content: bytes) -> int:
        """Write a content; returns its number.

        Raises:
            trio.WouldBlock: a handler of a Unix signal calls this in the middle of another call.
            OSError: the master is gone.
        """
        with self._lock:
            if self._sending:
                raise trio.WouldBlock
            self._sending = True
            try:
                return self._send(content)
            finally:
                self._sending = False

    def _send(self, content: bytes) -> int:
        if not self._sent:
            widen(self._fd)
        self._sent += 1
        number = self._sent & 0xFFFFFFFF
        self._write(_HEADER.pack(number, len(content)))
        self._write(content)
        return number

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        waiter = select.poll()
        waiter.register(self._fd, select.POLLOUT)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:
                waiter.poll()


class BulkReceiver:
    """The end of the master, for one incarnation of a process.

    Args:
        fd: the reading end of the pipe, non-blocking.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._whole: dict[int, bytearray] = {}
        # Read where it stays: fresh memory of that size costs more than the copy into it.
        self._content = bytearray()
        self._number = self._missing = 0

    def read(self) -> bool:
        """Read once; False at the end.

        Raises:
            BlockingIOError: there is nothing now.
        """
        if self._missing:
            return self._read_content()
        # A header is written by one system call, so it is there whole or not at all.
        header = os.read(self._fd, _HEADER.size)
        if header:
            self._number, self._missing = _HEADER.unpack(header)
            self._content = bytearray(self._missing)
        return bool(header)

    def _read_content(self) -> bool:
        with memoryview(self._content)[-self._missing :] as rest:
            size = os.readv(self._fd, [rest])
        self._missing -= size
        if not self._missing:
            self._whole[self._number] = self._content
        return size > 0

    def take(self, number: int) -> bytearray:
        """The content with a number, which is in the pipe or was read: its frame has been written."""
        while number not in self._whole and self.read():
            pass
        return self._whole.pop(number)
