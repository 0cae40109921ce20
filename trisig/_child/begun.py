"""An async handler that has begun, and waits for the first time."""

from __future__ import annotations

from collections.abc import Generator
from contextvars import Context
from types import CoroutineType, FrameType
from typing import Any

from .cores import Core
from .stopwatch import What


class Begun(Generator[Any, Any, object]):
    """Awaited by the task in which the handler began, it passes on what the handler waits for, and then all the rest.

    Args:
        coroutine: of the handler.
        trap: what it has yielded to trio.
        context: in which it runs.
        what: the signal or the task.
        number: of the signal, in its lane.
        core: held by the handler.
        began: when that was, in seconds of the monotonic clock.
    """

    def __init__(
        self,
        coroutine: CoroutineType[Any, Any, object],
        trap: object,
        context: Context,
        what: What,
        number: int,
        core: Core,
        began: float,
    ) -> None:
        self._coroutine = coroutine
        self._trap, self._passed_on = trap, False
        self.context = context
        self.what = what
        self.number = number
        self.core = core
        self.began = began

    def __await__(self) -> Begun:
        return self

    def __next__(self) -> Any:
        if self._passed_on:
            return self._coroutine.send(None)
        self._passed_on = True
        return self._trap

    def send(self, value: Any) -> Any:
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    # By these names trio finds the frames of a task that waits.

    @property
    def cr_frame(self) -> FrameType | None:
        return self._coroutine.cr_frame

    @property
    def cr_await(self) -> object:
        return self._coroutine.cr_await
