"""The tasks of one process that are in `wait`, the same in the master and in a child."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from itertools import count

import msgspec
import trio

from trisig._model.errors import master_gone
from trisig._model.signum import check_signum


class _Wait(msgspec.Struct):
    wanted: int | None
    over: trio.Event = msgspec.field(default_factory=trio.Event)
    signum: int | None = None
    granted: bool = False

    def end(self, signum: int, *, granted: bool) -> None:
        if not self.over.is_set():  # a grant and a handler that ran may meet: the first of them counts
            self.signum, self.granted = signum, granted
            self.over.set()


class Waits:
    """The bookkeeping of the waiting tasks.

    Args:
        start: tells the master that a task waits: key, and the number that it wants or None.
        end: tells it that the wait with that key is over, and whether its task has the signal that was granted.

    Attributes:
        numbered: the waits for a certain number, by key; empty when nobody has to know which handlers ran.
    """

    def __init__(self, start: Callable[[int, int | None], object], end: Callable[[int, bool], object]) -> None:
        self._start = start
        self._end = end
        self._waits: dict[int, _Wait] = {}
        self.numbered: dict[int, _Wait] = {}
        self._keys = count()

    async def wait(self, signum: int | None, meanwhile: AbstractAsyncContextManager[object]) -> int:
        """Wait for the next unregistered signal, or for the next of one number.

        Args:
            signum: the number, or None for any.
            meanwhile: entered while the task waits.

        Raises:
            NoMasterError: the master has ended.
        """
        if signum is not None:
            check_signum(signum)
        await trio.lowlevel.checkpoint_if_cancelled()
        key, wait = next(self._keys), _Wait(signum)
        self._waits[key] = wait
        if signum is not None:
            self.numbered[key] = wait
        took = False
        try:
            self._start(key, signum)
            async with meanwhile:
                await wait.over.wait()
            if wait.signum is None:
                raise master_gone()
            took = wait.granted
            return wait.signum
        finally:
            del self._waits[key]
            self.numbered.pop(key, None)
            # The master puts back what it granted to a wait that was cancelled.
            self._end(key, took)

    def granted(self, key: int, signum: int) -> None:
        """The master gives a task an unregistered signal; nothing happens if that task has stopped waiting."""
        if (wait := self._waits.get(key)) is not None:
            wait.end(signum, granted=True)

    def ran(self, signum: int) -> None:
        """A handler ran here: return from the waits for its number."""
        for wait in self.numbered.values():
            if wait.wanted == signum:
                wait.end(signum, granted=False)

    def master_ended(self) -> None:
        """End all waits with `NoMasterError`."""
        for wait in self._waits.values():
            wait.over.set()
