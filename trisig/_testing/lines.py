"""What was raised, and waits to run: in one line for each target, one after the other."""

from __future__ import annotations

import inspect
from collections import Counter, deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

import trio

from trisig._model.event import Event
from trisig._model.handling import Handling

current_event: ContextVar[Event | None] = ContextVar("trisig.testing.event", default=None)


@dataclass(frozen=True, slots=True)
class Run:
    """Something to run.

    Attributes:
        what: the number of the signal, or the name of the task.
        call: runs it; may return what is to be awaited.
        event: what raised it.
        ended: called with the result or the error; returns whether it has dealt with the error.
    """

    what: int | str
    call: Callable[[], object]
    handling: Handling = field(default_factory=Handling)
    event: Event | None = None
    ended: Callable[[object, BaseException | None], bool] = lambda _result, error: error is None


class Lines:
    """The lines of one application.

    Args:
        nursery: in which they run. An error that nobody deals with ends it.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._waiting: dict[str, deque[Run]] = {}
        self._busy = Counter[int | str]()  # what waits or runs
        self._running = 0
        self._idle = trio.Event()
        self._idle.set()

    def add(self, line: str, run: Run) -> bool:
        """Have something run when it is its turn; False if its handling skips it."""
        overlap, before = run.handling.overlap, self._busy[run.what]
        if (overlap == "skip" and before) or (overlap == "one" and before > 1):
            return False
        self._busy[run.what] += 1
        self._running += 1
        self._idle = self._idle if not self._idle.is_set() else trio.Event()
        if line not in self._waiting:
            self._waiting[line] = deque()
            self._nursery.start_soon(self._serve, line, name=f"handlers for {line}")
        self._waiting[line].append(run)
        return True

    async def wait_idle(self) -> None:
        """Wait until all that was raised has run, and what that has raised too."""
        while self._running:
            await self._idle.wait()
        await trio.lowlevel.checkpoint()

    async def _serve(self, line: str) -> None:
        waiting = self._waiting[line]
        while waiting:
            run = waiting.popleft()
            try:
                await self._run(run)
            finally:
                self._busy[run.what] -= 1
                self._running -= 1
                if not self._running:
                    self._idle.set()
        del self._waiting[line]

    async def _run(self, run: Run) -> None:
        token = current_event.set(run.event)
        failures = 0
        try:
            while True:
                try:
                    result = run.call()
                    if inspect.isawaitable(result):
                        result = await result
                except Exception as error:
                    failures += 1
                    pause = None if run.handling.retry is None else run.handling.retry.pause(failures)
                    if pause is None:
                        if run.ended(None, error):
                            return
                        raise
                    await trio.sleep(pause)
                else:
                    run.ended(result, None)
                    await trio.lowlevel.checkpoint()
                    return
        finally:
            current_event.reset(token)
