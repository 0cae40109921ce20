"""Raising a signal, the same in every process: one byte into the process's own pipe to the master.

The master always reads that pipe. When too much is queued it closes the gate, a word in shared memory that
raisers look at first; an eventfd, readable while the gate is open, wakes those who wait.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Protocol

import trio

from ._errors import gone
from ._signum import SIGNALS, check_signum

_BYTES = tuple(bytes((signum,)) for signum in range(SIGNALS))


class Gate:
    """Opened and closed by the master, seen by all."""

    def __init__(self, word: memoryview) -> None:
        self.word = word
        self.fd = os.eventfd(1, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    @property
    def closed(self) -> bool:
        return bool(self.word[0])

    def close(self) -> None:
        """Let go of the descriptor, in the process that made the gate; who waits for it is told."""
        trio.lowlevel.notify_closing(self.fd)
        os.close(self.fd)

    def shut(self) -> None:
        self.word[0] = 1
        os.eventfd_read(self.fd)

    def open(self) -> None:
        self.word[0] = 0
        os.eventfd_write(self.fd, 1)


class Outbox(Protocol):
    """Where a journal keeps what is raised until it is accepted."""

    lock: threading.Lock

    def put(self, signum: int) -> bool: ...
    def undo(self) -> None: ...


class Raiser:
    """One process's way to raise signals.

    Args:
        fd: the writing end of its pipe, non-blocking.
        gate: the master's.
        outbox: of this process, if there is a journal.
    """

    def __init__(self, fd: int, gate: Gate, outbox: Outbox | None = None) -> None:
        self._outbox = outbox
        self._write: Callable[[int, bytes], object] = os.write if outbox is None else self._write_noted
        self._fd = fd
        self._gate = gate
        self._closed = gate.word
        self._line = trio.Lock()

    def send_nowait(self, signum: int) -> None:
        """Raise a signal; from any thread.

        Raises:
            trio.WouldBlock: the queue is full.
        """
        if type(signum) is not int or not 0 <= signum < SIGNALS:  # a call less for each signal
            check_signum(signum)
        if self._closed[0]:
            raise trio.WouldBlock
        try:
            self._write(self._fd, _BYTES[signum])
        except BlockingIOError:
            raise trio.WouldBlock from None
        except OSError:
            raise gone() from None

    def _write_noted(self, fd: int, byte: bytes) -> None:
        """Note the signal, then raise it; both or neither, unless the process is killed in between."""
        assert self._outbox is not None
        with self._outbox.lock:
            if not self._outbox.put(byte[0]):
                raise BlockingIOError
            try:
                os.write(fd, byte)
            except BaseException:
                self._outbox.undo()
                raise

    async def send(self, signum: int) -> None:
        """Raise a signal, waiting while the queue is full."""
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self.send_nowait(signum)
        except trio.WouldBlock:
            await self._send_in_line(signum)
        # It has been raised: a cancellation that comes now must not look as if it had not.
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def _send_in_line(self, signum: int) -> None:
        async with self._line:
            while True:
                try:
                    return self.send_nowait(signum)
                except trio.WouldBlock:
                    pass
                try:
                    await self._room()
                except trio.ClosedResourceError:
                    raise gone() from None

    async def _room(self) -> None:
        if self._gate.closed:
            await trio.lowlevel.wait_readable(self._gate.fd)
        else:
            await trio.lowlevel.wait_writable(self._fd)
