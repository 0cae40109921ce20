"""The cores of a child: how many async handlers it runs at a time, and how one that waits lends its own.

A handler that waits for a signal may wait for one that this very process has to handle. So while any of its tasks is
in `wait`, its core is there for another handler. It is taken back before the handler goes on, cancelled or not: a
handler that runs holds a core.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar

import trio

_held: ContextVar[Core | None] = ContextVar("trisig.core", default=None)


def current_core() -> Core | None:
    """The core of the handler that runs here, or None outside of handlers."""
    return _held.get()


class Core:
    """The core of one handler, from `hold` to `end`; the handler's own tasks inherit it."""

    def __init__(self, give_back: Callable[[Core], None]) -> None:
        self._give_back = give_back
        self.taking_back = trio.Lock()
        self.waiting = 0  # tasks of the handler
        self.lent = self.over = False

    def waits(self) -> bool:
        """Whether any task of the handler is in `wait`."""
        return self.waiting > 0

    def hold(self) -> None:
        """Be the core of what runs in this context."""
        _held.set(self)

    def end(self) -> None:
        """The handler has ended."""
        self.over = True
        self._give_back(self)


class Cores:
    """The cores of one process.

    Args:
        count: how many there are.
        most: how many handlers there may be, those that have lent their cores included.
        word: shared with the master: how many are free.
        changed: called when a core has become free before its handler has ended.
    """

    def __init__(self, count: int, most: int, word: memoryview, changed: Callable[[], None]) -> None:
        self._free = trio.Semaphore(count)
        self._most = most - count
        self._word = word
        self._changed = changed
        self._handlers = 0
        self._publish()

    @property
    def free(self) -> int:
        """How many more async handlers could run."""
        return self._free.value

    async def wait_free(self) -> None:
        """Wait until a core is free."""
        async with self._free:  # a release hands the core over without being counted as free
            pass
        self._publish()

    def take_nowait(self) -> Core:
        """Take a free core.

        Raises:
            trio.WouldBlock: no core is free.
        """
        self._free.acquire_nowait()
        self._handlers += 1
        self._publish()
        return Core(self._ended)

    def _ended(self, core: Core) -> None:
        self._handlers -= 1
        if not core.lent:
            self._release()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """While a task of a handler waits in this block, let another handler run."""
        core = _held.get()
        if core is None or core.over:
            yield
            return
        core.waiting += 1
        self._lend(core)
        try:
            yield
        finally:
            core.waiting -= 1
            if core.lent:
                with trio.CancelScope(shield=True):
                    await self._take_back(core)

    def _lend(self, core: Core) -> None:
        if not core.lent and self._handlers < self._most:
            core.lent = True
            self._release()
            self._changed()

    async def _take_back(self, core: Core) -> None:
        async with core.taking_back:
            if core.lent and not core.waits() and not core.over:
                await self._free.acquire()
                core.lent = False
                self._publish()
                if core.waits():  # another task of the handler began to, meanwhile
                    self._lend(core)

    def _release(self) -> None:
        self._free.release()
        self._publish()

    def _publish(self) -> None:
        self._word[0] = self._free.value
