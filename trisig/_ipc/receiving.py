"""The tasks of one process that ask for messages, the same in the master and in a child."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from .calls import Calls


class Receiving:
    """Asks for messages; they come as the answers to calls do.

    Args:
        calls: of the process.
        start: tells the master that a task asks: key, and the numbers of the boxes.
        end: tells it that this is over, and whether the task has the message that it was handed.
    """

    def __init__(
        self, calls: Calls, start: Callable[[int, tuple[int, ...]], object], end: Callable[[int, bool], object]
    ) -> None:
        self._calls = calls
        self._start = start
        self._end = end

    async def receive(
        self, boxes: tuple[int, ...], meanwhile: AbstractAsyncContextManager[object]
    ) -> bytes | bytearray:
        """Wait for the next message of some boxes.

        Args:
            boxes: their numbers.
            meanwhile: entered while the task waits.

        Raises:
            NoMasterError: the master has ended.
        """
        key, took = 0, False

        async def ask(own: int) -> None:
            nonlocal key
            key = own
            self._start(own, boxes)

        try:
            _, content = await self._calls.call(ask, meanwhile)
            took = True
            return content
        finally:
            if key:  # the master puts back what it handed to a task that was cancelled
                self._end(key, took)
