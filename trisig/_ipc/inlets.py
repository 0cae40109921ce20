"""The ways of a raised signal from a process to the master.

Each takes one byte at a time: it is in when `write` returns, and `BlockingIOError` means that it is not.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Protocol

from trisig._util.ki_protection import ki_protected


class Inlet(Protocol):
    """One way in.

    Attributes:
        fd: the writing end of a pipe; writable when `write` may have room again.
        write: takes a byte in, called with `fd` before it, so that `os.write` itself can be one: a Python call for
            each signal less.
    """

    @property
    def fd(self) -> int: ...

    @property
    def write(self) -> Callable[[int, bytes], object]: ...


class Outbox(Protocol):
    """Where a journal keeps what is raised until it is accepted."""

    def put(self, signum: int) -> bool: ...
    def undo(self) -> None: ...


class PipeInlet:
    """A pipe to the master.

    A write of one byte is atomic, so any thread may raise through it, and so may a handler of a Unix signal in the
    middle of another write.

    Args:
        fd: its writing end, non-blocking.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.write: Callable[[int, bytes], object] = os.write


@ki_protected
class NotedPipeInlet:
    """A pipe to the master, where a journal has each signal noted before it is raised.

    Args:
        fd: the writing end of the pipe, non-blocking.
        outbox: where the process notes what it raises.
    """

    def __init__(self, fd: int, outbox: Outbox) -> None:
        self.fd = fd
        self._outbox = outbox
        # An RLock, because a handler of a Unix signal runs in the thread that it interrupts, which may hold the lock.
        self._lock = threading.RLock()
        self._noting = False

    def write(self, fd: int, byte: bytes) -> None:
        """Note the signal, then raise it; both or neither, unless the process is killed in between.

        Raises:
            BlockingIOError: no room; or a handler of a Unix signal calls this in the middle of another call, whose
                note and byte it must not get between.
        """
        with self._lock:
            if self._noting:
                raise BlockingIOError
            try:
                self._noting = True
                self._note_and_write(fd, byte)
            finally:
                self._noting = False

    def _note_and_write(self, fd: int, byte: bytes) -> None:
        if not self._outbox.put(byte[0]):
            raise BlockingIOError
        try:
            os.write(fd, byte)
        except BaseException:
            self._outbox.undo()
            raise


def pipe_inlet(fd: int, outbox: Outbox | None) -> Inlet:
    """The way in through a pipe, with a journal or without."""
    return PipeInlet(fd) if outbox is None else NotedPipeInlet(fd, outbox)
