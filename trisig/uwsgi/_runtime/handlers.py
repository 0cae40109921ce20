"""uWSGI's signal table over trisig's: numbers modulo 256, targets that may be wrong, handlers that block."""

from __future__ import annotations

import logging
import operator
from collections.abc import Callable
from typing import SupportsIndex

import trio

from trisig import Signals, SignalTableError, TargetError
from trisig._model.handling import Overlap

from .harakiri import Harakiri
from .main_thread import MainThread
from .probe import Notes
from .processes import Processes

log = logging.getLogger("trisig")

BlockingHandler = Callable[[int], object]


def byte(number: SupportsIndex) -> int:
    """A signal number as uWSGI takes it.

    Raises:
        TypeError: not a whole number.
    """
    return operator.index(number) % 256


class Handlers:
    """The handlers that this process has. Made in the master; each child has a copy.

    Args:
        signals: the application.
        processes: who this is.
        main: runs them.
        harakiri: ends the process if one takes too long.
        notes: what the application has asked for, where each process imports it.

    Attributes:
        limits: seconds that a handler may take, by kind of process.
        overlaps: what becomes of a signal while its handler runs, by number; None for all others.
        received: the number of the last signal that reached this process.
        leave: ends the process in order; called, in trio's thread, when a handler calls `sys.exit`.
    """

    def __init__(
        self, signals: Signals, processes: Processes, main: MainThread, harakiri: Harakiri, notes: Notes
    ) -> None:
        self._signals = signals
        self._processes = processes
        self._main = main
        self._harakiri = harakiri
        self._handlers: dict[int, BlockingHandler | None] = {}
        self._reserved: set[int] = set()
        self._reached = trio.Event()
        self._notes = notes
        self.limits: dict[str, int] = {}
        self.overlaps: dict[int | None, Overlap] = {}
        self.received = 0
        self.leave: Callable[[], object] = lambda: None

    def register(self, signum: int, target: str, handler: BlockingHandler) -> None:
        """See `uwsgi.register_signal`.

        Raises:
            ValueError: the number is taken, in the master.
        """
        if self._processes.in_master and signum in self._handlers:
            log.error("you cannot re-register a signal as the master !!!")
            raise ValueError("unable to register signal")
        is_new = signum not in self._handlers
        self._handlers[signum] = handler
        if is_new and not (self._notes.mode == "note" and self._notes.takes("declare", signum, target)):
            self._enter(signum, target)

    def declare(self, signum: int, target: str) -> None:
        """Register a signal whose handler each process finds itself, when it imports the application."""
        self._handlers[signum] = None
        self._enter(signum, target)

    def _enter(self, signum: int, target: str) -> None:
        try:
            overlap = self.overlaps.get(signum, self.overlaps.get(None, "queue"))
            self._signals.register(signum, self._processes.target(target), self.run, overlap=overlap)
        except TargetError as error:
            log.error("signal %d can never be handled: UNSUPPORTED SIGNAL TARGET: %s", signum, error)  # noqa: TRY400
        except SignalTableError:
            log.warning(
                "%s: signal %d was registered by another process, which alone handles it; "
                "register it where the application is imported, and all processes of its target do",
                self._processes.name,
                signum,
            )

    def is_registered(self, signum: int) -> bool:
        """Whether a number is taken; while an application is imported anew, by this process."""
        if self._notes.mode == "skip":
            return self._handlers.get(signum) is not None
        return signum in self._handlers or self._signals.is_registered(signum)

    def reserve(self) -> int:
        """A number that the application does not get: the highest that is free."""
        signum = next(number for number in reversed(range(256)) if number not in self._handlers)
        self._handlers[signum] = None
        self._reserved.add(signum)
        return signum

    async def run(self, signum: int) -> None:
        """Run the handler in the main thread."""
        handler = self._handlers.get(signum)
        if handler is None:
            log.error("error managing signal %d on %s: it has no handler here", signum, self._processes.name)
            return
        try:
            await self._main.run(self._call, handler, signum)
        except SystemExit as end:
            log.warning("%s: the handler of signal %d has called sys.exit(%s)", self._processes.name, signum, end)
            self.leave()
        finally:
            self._reach(signum)

    def _call(self, handler: BlockingHandler, signum: int) -> None:
        with self._harakiri.within(self.limits.get(self._processes.kind, 0)):
            handler(signum)

    def _reach(self, signum: int) -> None:
        self.received = signum
        self._reached.set()
        self._reached = trio.Event()

    async def wait_handled(self) -> None:
        """Wait until a handler has run in this process."""
        await self._reached.wait()

    async def wait_any(self) -> None:
        """Wait for the next signal that reaches this process, with a handler, which runs then, or without one."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wait_unregistered, nursery.cancel_scope)
            await self.wait_handled()
            nursery.cancel_scope.cancel()

    async def _wait_unregistered(self, scope: trio.CancelScope) -> None:
        while (signum := await self._signals.wait()) in self._reserved:
            with trio.CancelScope(shield=True):  # it is the master's, which is about to wait for it
                await self._signals.send(signum)
        self.received = signum
        scope.cancel()

    async def wait_for(self, signum: int) -> None:
        """Wait for a signal, with a handler, after which this returns, or without one."""
        self.received = await self._signals.wait(signum)
