"""Tasks of the application in the master's process: `signals.service("master")`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from trisig._model.handlers import takes_task_status
from trisig._util.tracebacks import code_of_application

MasterService = Callable[..., Awaitable[object]]


class MasterServices:
    """Runs them from when every child is ready until the shutdown begins.

    Args:
        services: async functions of one argument, the `Master`.
    """

    def __init__(self, services: Sequence[MasterService]) -> None:
        self._services = services
        self._fds: list[Callable[[], Sequence[int]]] = []
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._ended.set()  # until `run` begins

    def add(self, service: MasterService, fds: Callable[[], Sequence[int]]) -> None:
        """Run one more, which has these descriptors; to be called before `run`."""
        self._services = [*self._services, service]
        self._fds.append(fds)

    def fds(self) -> list[int]:
        """The descriptors of those that were added."""
        return [fd for fds in self._fds for fd in fds()]

    async def run(self, master: object, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run them until `stop`; started once each that takes `task_status` has called it.

        Raises:
            Exception: what one of them raises. The nursery around this ends the master in order then.
        """
        self._ended = trio.Event()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for service in self._services:
                        await start_service(nursery, service, master)
                    task_status.started()
                    task_status = trio.TASK_STATUS_IGNORED
            task_status.started()  # stopped before all of them had started
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """End them; returns when the last one has ended."""
        self._scope.cancel()
        await self._ended.wait()


async def start_service(nursery: trio.Nursery, service: MasterService, *arguments: object) -> None:
    """Run a service of the application in a nursery; returns when it has started, if it takes `task_status`."""
    if takes_task_status(service):
        await nursery.start(_serve_from, service, arguments, name=service)
    else:
        nursery.start_soon(_serve, service, arguments, name=service)


async def _serve(service: MasterService, arguments: Sequence[object]) -> None:
    with code_of_application():
        await service(*arguments)


async def _serve_from(
    service: MasterService, arguments: Sequence[object], *, task_status: trio.TaskStatus[object]
) -> None:
    with code_of_application():
        await service(*arguments, task_status=task_status)
