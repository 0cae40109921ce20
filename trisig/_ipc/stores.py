"""The tasks of one process that wait until the cluster has what they raised, the same in the master and in a child."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import trio

from trisig._model.errors import master_gone


class Stores:
    """The bookkeeping of these tasks.

    Args:
        ask: has `stored` called with a key once all is stored that this process has raised until now.
    """

    def __init__(self, ask: Callable[[int], object]) -> None:
        self._ask = ask
        self._waiting: dict[int, trio.Event] = {}
        self._keys = count()
        self._ended = False

    async def wait(self) -> None:
        """Wait until all is stored that this process has raised until now.

        Raises:
            NoMasterError: the master has ended; what was raised is stored, or not.
        """
        key, event = next(self._keys), trio.Event()
        self._waiting[key] = event
        try:
            self._ask(key)
            await event.wait()
        finally:
            self._waiting.pop(key, None)
        if self._ended:
            raise master_gone()

    def stored(self, key: int) -> None:
        """All is stored that the task with that key waits for."""
        if (event := self._waiting.pop(key, None)) is not None:
            event.set()

    def master_ended(self) -> None:
        """End all waits with `NoMasterError`."""
        self._ended = True
        for event in self._waiting.values():
            event.set()
