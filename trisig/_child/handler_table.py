"""The handlers that one child can run, wherever they were registered."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import trio

from trisig._ipc.messages import HandlerPart
from trisig._ipc.runtime_handlers import HandlerAssembler
from trisig._model.handlers import Handler
from trisig._model.signum import SIGNALS

log = logging.getLogger("trisig")


class HandlerTable:
    """The handlers of one child, by signal number.

    Args:
        name: of the process, for the log.
        declared: those that were registered before the fork.
        signals: the application's `Signals`, for handlers that refer to it.
        word: the shared word that counts the registrations in the running master.

    Attributes:
        handlers: 256 handlers or None; read afresh for every signal.
        on_the_way: handlers whose registration by this process is under way.
    """

    def __init__(self, name: str, declared: Mapping[int, Handler], signals: object, word: memoryview) -> None:
        self.handlers = [declared.get(signum) for signum in range(SIGNALS)]
        self.on_the_way: dict[int, Handler] = {}
        self.word = word
        self.known = 0  # registrations in the running master that have arrived here
        self._name = name
        self._signals = signals
        self._changes: dict[int, int] = {}  # of the table, by which the handlers that came later were registered
        self._arriving = HandlerAssembler()
        self._grew = trio.Event()

    @contextmanager
    def registering(self, signum: int, handler: Handler) -> Iterator[None]:
        """Have a handler ready while the master is asked to register it.

        If this is not the thread that runs handlers, the first signal may be faster than the answer.
        """
        self.on_the_way[signum] = handler
        try:
            yield
        finally:
            del self.on_the_way[signum]

    def set(self, signum: int, handler: Handler, change: int) -> None:
        """Take the handler of a signal.

        Args:
            signum: the signal's number.
            handler: its handler.
            change: the change of the table that registered it.
        """
        self.handlers[signum], self._changes[signum] = handler, change

    def arrived(self, message: HandlerPart) -> None:
        """Take a part of a handler that was registered in the master after this process was forked."""
        packed = self._arriving.add(message)
        # Two ways lead here, so the younger may arrive first: the change of the table says which one is in force.
        if packed is None or message.change <= self._changes.get(message.signum, 0):
            return
        self._changes[message.signum] = message.change
        try:
            from trisig._ipc.handler_pickle import unpack  # noqa: PLC0415  few register anything at run time

            self.handlers[message.signum] = unpack(packed, self._signals)
        except Exception:
            log.exception("%s: the handler of signal %d cannot be used here", self._name, message.signum)

    def all_arrived(self, count: int) -> None:
        """So many registrations of the running master are known here now."""
        self.known = count
        self._grew.set()

    async def wait_complete(self) -> None:
        """Wait until every handler that was registered in the running master is known here."""
        while self.known != self.word[0]:
            self._grew = trio.Event()
            await self._grew.wait()
