"""A loop that passes from task to task, since what one of them has begun must be ended in that task."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import trio

_MOST_SPARE = 8

Rest = TypeVar("Rest")


class Relay(Generic[Rest]):
    """Runs a loop in one task at a time. A task that leaves the loop ends what it has begun, and may lead again.

    Args:
        lead: the loop; it returns what its task has to end, and another task goes on with the loop.
        end: ends that.

    Attributes:
        stopped: the loop is being left. A task that was about to wake when it was cancelled may be in it still.
    """

    def __init__(self, lead: Callable[[], Awaitable[Rest]], end: Callable[[Rest], Awaitable[object]]) -> None:
        self._lead = lead
        self._end = end
        # Each task has a scope around all that it does: only one that leads or is spare is ever cancelled by it.
        self._leading = trio.CancelScope()
        self._spare: dict[trio.lowlevel.Task, trio.CancelScope] = {}
        self.stopped = False

    async def run(self) -> None:
        """Run the loop until stopped, and then what has begun to its end."""
        async with trio.open_nursery() as nursery:
            if not self.stopped:
                nursery.start_soon(self._take_part, nursery, self._leading)

    def stop(self) -> None:
        """Leave the loop."""
        self.stopped = True
        for scope in (self._leading, *self._spare.values()):
            scope.cancel()

    async def _take_part(self, nursery: trio.Nursery, scope: trio.CancelScope) -> None:
        task = trio.lowlevel.current_task()
        name, context = task.name, task.context
        with scope:
            while True:
                rest = await self._lead()
                self._appoint(nursery)
                await self._end(rest)
                if self.stopped or len(self._spare) == _MOST_SPARE:
                    return
                task.name, task.context = name, context
                await self._stand_by(task, scope)

    def _appoint(self, nursery: trio.Nursery) -> None:
        """Let another task lead; to wake one that is there is cheaper than to start one."""
        if self._spare:
            task, self._leading = self._spare.popitem()
            trio.lowlevel.reschedule(task)
        else:
            self._leading = trio.CancelScope()
            nursery.start_soon(self._take_part, nursery, self._leading)

    async def _stand_by(self, task: trio.lowlevel.Task, scope: trio.CancelScope) -> None:
        self._spare[task] = scope

        def abort(_raise_cancel: Any) -> trio.lowlevel.Abort:
            del self._spare[task]
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
