"""The master's own verbs: the same as a child's, without a way to go.

In the trio thread a raised signal goes straight into the dispatcher, so `send_nowait` knows exactly whether
the queue is full. Other threads write to a pipe, as the children do, because they must not touch the
dispatcher and cannot wait for the loop without risking a deadlock with it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import trio

from . import _packing
from ._control import Sources
from ._errors import gone
from ._handlers import Handler
from ._interrupt import uninterrupted
from ._late import LateHandlers
from ._raiser import Gate, Outbox, Raiser
from ._signum import check_signum
from ._sources import EventSource
from ._table import Entry, Table
from ._targets import Topology, parse
from ._thread import OwnThread
from ._waits import WaitDesk
from ._wires import open_raise_pipe

_ME = "master"


@dataclass(slots=True)
class _Wait:
    over: trio.Event
    signum: int | None = None


@uninterrupted
class LocalRaiser(Raiser):
    """Raises signals in the master.

    Args:
        accept: takes what the trio thread raises.
        accept_piped: takes what other threads have raised, through the pipe.
        gate: the master's.
        outbox: for other threads, if there is a journal.
    """

    def __init__(
        self,
        accept: Callable[[bytes], None],
        accept_piped: Callable[[bytes], None],
        gate: Gate,
        outbox: Outbox | None,
    ) -> None:
        self.pipe, self._other_threads = open_raise_pipe()
        super().__init__(self._other_threads, gate, outbox)
        self._accept = accept
        self._accept_piped = accept_piped
        self._write_piped = self._write
        self._write = self._write_here
        self._thread = OwnThread()
        self._piped = False
        self._open_for_others = threading.Lock()
        self._refused = False

    def _write_here(self, fd: int, byte: bytes) -> None:
        if not self._thread.is_here():
            self._write_from_afar(fd, byte)
            return
        self.take()
        self._accept(byte)

    def _write_from_afar(self, fd: int, byte: bytes) -> None:
        with self._open_for_others:  # never held for longer than a write that does not wait
            if self._refused:
                raise gone()
            self._piped = True
            self._write_piped(fd, byte)

    def take(self) -> None:
        """Accept what other threads have raised so far."""
        while self._piped:
            self._piped = False
            try:
                self._accept_piped(os.read(self.pipe, 65_536))
                self._piped = True
            except BlockingIOError:
                pass

    async def listen(self) -> None:
        """Accept what other threads raise."""
        while True:
            await trio.lowlevel.wait_readable(self.pipe)
            self._piped = True
            self.take()

    def refuse(self) -> None:
        """Accept what other threads have raised until now, and nothing any more."""
        with self._open_for_others:
            self._refused = True
        self._piped = True
        self.take()

    def close(self) -> None:
        """Let go of the pipe, after `refuse`."""
        for fd in (self.pipe, self._other_threads):
            trio.lowlevel.notify_closing(fd)
            os.close(fd)


@uninterrupted
class Local:
    """The verbs of `Signals` in the master's process."""

    def __init__(
        self,
        signals: object,
        topology: Topology,
        table: Table,
        raiser: LocalRaiser,
        desk: WaitDesk,
        late: LateHandlers,
        sources: Sources,
        changed: Callable[[], None],
    ) -> None:
        self._signals = signals
        self._topology = topology
        self._table = table
        self._raiser = raiser
        self._desk = desk
        self._late = late
        self._sources = sources
        self._changed = changed
        self._thread = OwnThread()
        self._waits: dict[int, _Wait] = {}
        self._keys = count()

    def send_nowait(self, signum: int) -> None:
        self._raiser.send_nowait(signum)

    async def send(self, signum: int) -> None:
        await self._raiser.send(signum)

    def is_registered(self, signum: int) -> bool:
        return self._table.is_registered(signum)

    def free_signum(self) -> int:
        return self._table.free_signum()

    def register(self, signum: int, target: str, handler: Handler) -> None:
        self._thread.check("handlers are registered", "signals.register, signum, target, handler")
        parsed = parse(target)
        self._topology.members(parsed)
        packed = _packing.pack(handler, self._signals)
        change = self._table.register(signum, Entry(parsed))
        self._late.add(signum, packed, change)
        self._changed()

    def unregister(self, signum: int) -> None:
        self._thread.check("handlers are unregistered", "signals.unregister, signum")
        self._table.unregister(signum)
        self._sources.end_with(signum)
        self._changed()

    def add_source(self, source: EventSource) -> None:
        self._sources.add(source)

    def remove_source(self, key: str) -> None:
        self._sources.remove(key)

    async def wait(self, signum: int | None) -> int:
        if signum is not None:
            check_signum(signum)
        await trio.lowlevel.checkpoint_if_cancelled()
        key, wait = next(self._keys), _Wait(trio.Event())
        self._waits[key] = wait
        took = False
        try:
            self._desk.ask(_ME, key, signum)
            await wait.over.wait()
            if wait.signum is None:
                raise gone()
            took = True
            return wait.signum
        finally:
            del self._waits[key]
            self._desk.end(_ME, key, took=took)

    def granted(self, key: int, signum: int) -> None:
        """A task of this process gets an unregistered signal."""
        wait = self._waits[key]
        wait.signum = signum
        wait.over.set()

    def end_waits(self) -> None:
        """The master has ended: whoever still waits is told."""
        for wait in self._waits.values():
            wait.over.set()
