"""The calls of one process that wait for their answers, the same in the master and in a child."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from itertools import count

import msgspec
import trio

from trisig._model.errors import master_gone
from trisig._util.own_thread import OwnThread


class _Call(msgspec.Struct):
    over: trio.Event = msgspec.field(default_factory=trio.Event)
    answer: tuple[int, bytes | bytearray] | None = None


class Calls:
    """The bookkeeping of the tasks that are in `call`."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._keys = count(1)
        self._thread = OwnThread()

    def live_here(self) -> None:
        """This thread runs trio, if it is not the one that made this."""
        self._thread = OwnThread()

    async def call(
        self, send: Callable[[int], Awaitable[None]], meanwhile: AbstractAsyncContextManager[object]
    ) -> tuple[int, bytes | bytearray]:
        """Send a task, and wait for its answer: the outcome, and the content.

        Args:
            send: sends the task, with the key of the call.
            meanwhile: entered while the caller waits.

        Raises:
            NoMasterError: the master has ended.
            RuntimeError: this is another thread: the answer could not wake a task there.
        """
        if not self._thread.is_here():
            raise RuntimeError(
                "a task is called in the thread of the process that runs trisig; from another one write "
                "trio.from_thread.run(task.call)"
            )
        key, call = next(self._keys), _Call()
        self._calls[key] = call
        try:
            await send(key)
            async with meanwhile:
                await call.over.wait()
        finally:
            del self._calls[key]
        if call.answer is None:
            raise master_gone()
        return call.answer

    def answered(self, key: int, outcome: int, content: bytes | bytearray) -> None:
        """An answer has come; nothing happens if its call was given up."""
        if (call := self._calls.get(key)) is not None:
            call.answer = outcome, content
            call.over.set()

    def master_ended(self) -> None:
        """End all calls with `NoMasterError`."""
        for call in self._calls.values():
            call.over.set()
