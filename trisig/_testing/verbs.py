"""The verbs of `Signals` where there is no master: what is raised runs in this process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import trio

from trisig._api.application import Application, Declaration
from trisig._api.tasks import Task
from trisig._model.errors import DeadlockError
from trisig._model.event import Event
from trisig._model.handlers import Handler
from trisig._model.handling import Handling
from trisig._model.lock_name import LockName
from trisig._model.node_info import NodeInfo
from trisig._model.table import already_registered, not_registered, table_full
from trisig._model.targets import Target
from trisig._sources import EventSource, key_of

from .lines import Lines, Run, current_event

T = TypeVar("T")


class HereVerbs:
    """The verbs.

    Args:
        application: whose handlers and tasks run.
        lines: in which they run.
        keep: runs a source until it ends.

    Attributes:
        raised: the numbers that were raised, in order.
        sent: the names of the tasks that were sent, in order.
        locks: between tasks of this process.
    """

    def __init__(
        self,
        application: Application,
        lines: Lines,
        keep: Callable[[EventSource], trio.CancelScope],
    ) -> None:
        self._application = application
        self._lines = lines
        self._keep = keep
        self._handlers: dict[int, Declaration] = dict(application.handlers)
        self._unhandled: deque[int] = deque()
        self._waiting: list[tuple[int | None, trio.Event, list[int]]] = []
        self._sources: dict[str, trio.CancelScope] = {}
        self.raised: list[int] = []
        self.sent: list[str] = []
        self.locks = HereLocks()

    # Signals

    def send_nowait(self, signum: int, event: Event | None = None) -> None:
        """Raise a signal."""
        self.raised.append(signum)
        declared = self._handlers.get(signum)
        if declared is None:
            self._unhandled.append(signum)
            self._grant()
            return
        handler = declared.handler
        ran = self._ran(signum)
        run = Run(signum, lambda: handler(signum), declared.handling, event, ran)
        self._lines.add(declared.target.text or "worker", run)

    def _ran(self, signum: int) -> Callable[[object, BaseException | None], bool]:
        def ran(_result: object, error: BaseException | None) -> bool:
            for wait in [wait for wait in self._waiting if wait[0] == signum]:
                self._give(wait, signum)
            return error is None

        return ran

    async def send(self, signum: int) -> None:
        """Raise a signal."""
        self.send_nowait(signum)
        await trio.lowlevel.checkpoint()

    async def wait(self, signum: int | None) -> int:
        """See `Signals.wait`."""
        wait: tuple[int | None, trio.Event, list[int]] = (signum, trio.Event(), [])
        self._waiting.append(wait)
        self._grant()
        try:
            await wait[1].wait()
        except BaseException:
            self._unhandled.extendleft(wait[2])
            raise
        finally:
            self._waiting = [other for other in self._waiting if other is not wait]
        return wait[2][0]

    def _grant(self) -> None:
        for wait in list(self._waiting):
            found = next((one for one in self._unhandled if wait[0] in (None, one)), None)
            if found is not None:
                self._unhandled.remove(found)
                self._give(wait, found)

    def _give(self, wait: tuple[int | None, trio.Event, list[int]], signum: int) -> None:
        self._waiting = [other for other in self._waiting if other is not wait]
        wait[2].append(signum)
        wait[1].set()

    def nodes(self) -> tuple[NodeInfo, ...]:
        """None: there is no cluster."""
        return ()

    def event(self) -> Event | None:
        """What raised the signal whose handler runs."""
        return current_event.get()

    # The table

    def register(self, signum: int, target: Target, handler: Handler, handling: Handling) -> None:
        """Enter a handler."""
        if signum in self._handlers:
            raise already_registered(signum)
        self._handlers[signum] = Declaration(target, handler, handling)

    def unregister(self, signum: int) -> None:
        """Remove an entry."""
        if self._handlers.pop(signum, None) is None:
            raise not_registered(signum)

    def is_registered(self, signum: int) -> bool:
        """Whether there is an entry."""
        return signum in self._handlers

    def free_signum(self) -> int:
        """The lowest number without one."""
        free = (signum for signum in range(256) if signum not in self._handlers)
        number = next(free, None)
        if number is None:
            raise table_full()
        return number

    # Sources

    def add_source(self, source: EventSource) -> None:
        """Let a source raise signals."""
        if key_of(source) in self._sources:
            raise ValueError(f"{source} has been added already")
        self._sources[key_of(source)] = self._keep(source)

    def remove_source(self, key: str) -> None:
        """Stop a source."""
        scope = self._sources.pop(key, None)
        if scope is None:
            raise ValueError("this source is not running: it was not added, was removed before, or has ended by itself")
        scope.cancel()

    def pause_source(self, key: str, *, paused: bool) -> NoReturn:
        """It cannot."""
        raise NotImplementedError("run_here does not pause sources: remove and add them")

    # Tasks

    def send_task_nowait(self, task: int, arguments: bytes, due: float, priority: int) -> None:  # noqa: ARG002  in order
        """Have a task run."""
        self._send(task, arguments, due, lambda _result, error: error is None)

    async def send_task(self, task: int, arguments: bytes, due: float, priority: int) -> None:
        """Have a task run."""
        self.send_task_nowait(task, arguments, due, priority)
        await trio.lowlevel.checkpoint()

    async def wait_stored(self) -> None:
        """There is no cluster."""
        await trio.lowlevel.checkpoint()

    async def call_task(
        self,
        task: int,
        arguments: bytes,
        due: float,
        priority: int,  # noqa: ARG002  in the order of sending
        take: Callable[[bytes | bytearray], T],
    ) -> T:
        """Have a task run, and return its result, as it would come back from another process."""
        declared, over, outcome = self._task(task), trio.Event(), list[Any]()

        def ended(result: object, error: BaseException | None) -> bool:
            outcome.append(error)
            if error is None:
                encoded = declared.encode_result([result] if declared.for_several else result)
                outcome.append(encoded)
            over.set()
            return True

        self._send(task, arguments, due, ended)
        await over.wait()
        if outcome[0] is not None:
            raise outcome[0]
        return take(outcome[1])

    def _task(self, index: int) -> Task[..., Any, Any]:
        task = self._application.tasks[index]
        assert isinstance(task, Task)
        return task

    def _send(
        self, index: int, arguments: bytes, due: float, ended: Callable[[object, BaseException | None], bool]
    ) -> None:
        task = self._task(index)
        self.sent.append(task.name)

        async def call() -> object:
            if due:
                await trio.sleep(max(due - time.time(), 0.0))
            result: Any = task.run(arguments)
            return await result if hasattr(result, "__await__") else result

        line = task.target.text if not due else f"{task.name} at {due}"
        self._lines.add(line or "worker", Run(task.name, call, ended=ended))

    async def receive(self, boxes: tuple[int, ...]) -> NoReturn:
        """It cannot."""
        raise NotImplementedError("run_here has no messages between processes")


class HereLocks:
    """Locks between the tasks of this process."""

    def __init__(self) -> None:
        self._locks: dict[LockName, trio.Lock] = {}

    def _lock(self, name: LockName) -> trio.Lock:
        return self._locks.setdefault(name, trio.Lock())

    def token_for_thread(self) -> None:
        """Threads that trio has started need none."""

    async def acquire(self, lock: LockName) -> None:
        """Wait until this task holds a lock."""
        found = self._lock(lock)
        if found.locked() and found.statistics().owner is trio.lowlevel.current_task():
            raise DeadlockError(f"this task holds lock {lock!r} already")
        await found.acquire()

    def acquire_nowait(self, lock: LockName) -> None:
        """Take a lock that nobody holds."""
        self._lock(lock).acquire_nowait()

    def acquire_in_thread(self, lock: LockName) -> None:
        """Block this thread until its task holds a lock."""
        trio.from_thread.run(self._lock(lock).acquire)

    def release(self, lock: LockName) -> None:
        """Give a lock back."""
        self._lock(lock).release()

    def is_locked(self, lock: LockName) -> bool:
        """Whether anybody holds it."""
        return self._lock(lock).locked()
