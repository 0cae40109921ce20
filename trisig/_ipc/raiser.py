"""Raising a signal, the same in every process: one byte into an inlet to the master.

The master always reads what is raised. When too much is queued it pauses the gate, a word in shared memory that
raisers look at first; an eventfd, readable while the gate is open, wakes those who wait.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVarTuple

import trio

from trisig._model.errors import master_gone
from trisig._model.signum import SIGNALS, check_signum

from .gate import Gate
from .inlets import Inlet
from .raised_stream import ESCAPE, SIGNAL_255

Ts = TypeVarTuple("Ts")
THREADS = "threads"  # who raises what the master's other threads raise
_BYTES = (*(bytes((signum,)) for signum in range(ESCAPE)), SIGNAL_255)  # as the stream has them


class Raiser:
    """Raises signals through one inlet.

    Args:
        inlet: the way in.
        gate: the master's.
    """

    def __init__(self, inlet: Inlet, gate: Gate) -> None:
        self._write = inlet.write
        self._fd = inlet.fd
        self._gate = gate
        self._paused = gate.word
        self._line = trio.Lock()

    def send_nowait(self, signum: int) -> None:
        """Raise a signal; from any thread.

        Raises:
            trio.WouldBlock: the queue is full; the signal was not raised.
            NoMasterError: the master is gone.
        """
        if type(signum) is not int or not 0 <= signum < SIGNALS:  # a call less for each signal
            check_signum(signum)
        if self._paused[0]:
            raise trio.WouldBlock
        try:
            self._write(self._fd, _BYTES[signum])
        except BlockingIOError:
            raise trio.WouldBlock from None
        except OSError:
            raise master_gone() from None

    async def send(self, signum: int) -> None:
        """Raise a signal, waiting while the queue is full.

        Raises:
            NoMasterError: the master is gone.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self.send_nowait(signum)
        except trio.WouldBlock:
            await self._put_in_line(partial(self.send_nowait, signum))
        # It has been raised: a cancellation that comes now must not look as if it had not.
        await trio.lowlevel.cancel_shielded_checkpoint()

    def put_nowait(self, write: Callable[[*Ts], object], *arguments: *Ts) -> None:
        """Raise something else than a signal.

        Args:
            write: does it.
            arguments: what it is called with.

        Raises:
            trio.WouldBlock: the queue is full; nothing was raised.
            NoMasterError: the master is gone.
        """
        if self._paused[0]:
            raise trio.WouldBlock
        try:
            write(*arguments)
        except BlockingIOError:
            raise trio.WouldBlock from None
        except OSError:
            raise master_gone() from None

    async def put(self, attempt: Callable[[], object]) -> None:
        """Try until there is room.

        Args:
            attempt: raises something, or `trio.WouldBlock`.

        Raises:
            NoMasterError: the master is gone.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            attempt()
        except trio.WouldBlock:
            await self._put_in_line(attempt)
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def _put_in_line(self, attempt: Callable[[], object]) -> None:
        async with self._line:  # those who came first raise first
            while True:
                try:
                    attempt()
                except trio.WouldBlock:
                    pass
                else:
                    return
                try:
                    await self._wait_for_room()
                except trio.ClosedResourceError:
                    raise master_gone() from None

    async def _wait_for_room(self) -> None:
        if self._gate.paused:
            await trio.lowlevel.wait_readable(self._gate.fd)
        else:
            await trio.lowlevel.wait_writable(self._fd)
