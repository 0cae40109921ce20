"""Tasks: functions that run in another process, with arguments."""

from __future__ import annotations

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast, overload

import msgspec

from trisig._model.errors import NoMasterError
from trisig._model.invocation import UNRANKED
from trisig._model.jobs import JobContent, Retry, Unusable
from trisig._model.targets import Target, parse

from .arguments import Arguments
from .durable import Durable, checked_priority
from .pairs import arguments_from_pairs

P = ParamSpec("P")
R = TypeVar("R")  # what the function returns when it is called here
T = TypeVar("T")  # what `call` returns

LONGEST_DELAY = 1e9  # seconds


class TaskVerbs(Protocol):
    """What a process can do with the tasks of its application."""

    def send_task_nowait(self, task: int, arguments: bytes, due: float, priority: int) -> None: ...
    async def send_task(self, task: int, arguments: bytes, due: float, priority: int) -> None: ...
    async def wait_stored(self) -> None: ...
    async def call_task(
        self, task: int, arguments: bytes, due: float, priority: int, take: Callable[[bytes | bytearray], T]
    ) -> T: ...


class Task(Generic[P, R, T]):
    """A function that other processes run: `Signals.task` makes it.

    Called, it is the plain function, in the process that calls it.

    Args:
        fn: the function.
        target: who runs it.
        index: its place among the application's tasks.
        verbs: gives the verbs of the process, or None where no master is open.
        durable: how its jobs are kept; None if they are not.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        target: str,
        index: int,
        verbs: Callable[[], TaskVerbs | None],
        durable: Durable | None = None,
    ) -> None:
        self.__wrapped__ = fn
        self.__doc__ = fn.__doc__
        self.__name__ = getattr(fn, "__name__", "task")
        self.name = _checked_name(fn)
        self.target: Target = parse(target)
        self.index = index
        self._at_once = Timing()
        self._verbs_of = verbs
        self._durable = durable
        self._code: Arguments | None = None
        try:
            self._code = Arguments(self.name, fn)
        except NameError:
            pass  # an annotation that is defined further below: `code` asks again

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function here."""
        return self.__wrapped__(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<task {self.name} for {self.target.text!r}>"

    async def send(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have the function run elsewhere; returns once the master has it, and waits while its queue is full.

        If it is durable, this returns once the job is on the disk; if it is for the cluster, once the database has it.

        Raises:
            TypeError: the function cannot be called like this, or an argument is not what its annotation says.
            ValueError: the arguments are larger than 16 MiB.
            NoMasterError: no master is open.
            OSError: the job is not on the disk; the message says why.
        """
        await self._send(self._at_once, args, kwargs)

    def send_nowait(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Have the function run elsewhere; from a plain function or a thread.

        Arguments of more than some 4,000 bytes block until the master has read them, for about a millisecond a MiB. If
        it is durable, this blocks until the job is on the disk.

        Raises:
            TypeError: the function cannot be called like this, or an argument is not what its annotation says.
            ValueError: the arguments are larger than 16 MiB.
            trio.WouldBlock: the master's queue is full; the task was not sent.
            NoMasterError: no master is open.
            OSError: the job is not on the disk; the message says why.
        """
        self._send_nowait(self._at_once, args, kwargs)

    async def call(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Have the function run elsewhere, wait for it, and return its result.

        If the process that runs it dies, it runs again, and its result is that of the second run. Cancelled, this
        gives up the result, not the task. With a target that means several processes the result is a list, in the
        order of the processes.

        Raises:
            Exception: what the function raised, if its class is known in this process; its traceback is a note.
            TaskError: what the function raised, if not.
            ChildFailedError: the task has ended its process too often, and is dead-lettered.
            TypeError: the function cannot be called like this, or an argument is not what its annotation says; or the
                task is durable, or for the cluster: it may run long after its caller has ended.
            ValueError: the arguments are larger than 16 MiB.
            NoMasterError: no master is open.
        """
        return await self._call(self._at_once, args, kwargs)

    def configure(
        self, *, delay: float | None = None, at: datetime | None = None, priority: int | None = None
    ) -> ConfiguredTask[P, R, T]:
        """The same task, to run later or sooner than others.

        Args:
            delay: seconds from when it is sent.
            at: when to run it; without a time zone, in local time. What is past runs at once.
            priority: of those that wait, those with a lower number run first, and those without one last.

        Raises:
            TypeError: not a number of seconds, or not a datetime, or not a whole number.
            ValueError: both are given, or the delay is negative or more than 1e9 seconds; or the priority is not from 0
                to 999,999,999.
        """
        return ConfiguredTask(self, Timing.checked(delay, at, priority))

    @property
    def code(self) -> Arguments:
        """How its arguments travel.

        Raises:
            NameError: an annotation names what does not exist.
            TypeError: nothing can be read back by one of its annotations.
        """
        if self._code is None:
            self._code = Arguments(self.name, self.__wrapped__)
        return self._code

    @property
    def for_several(self) -> bool:
        """Whether every process that the target names runs it."""
        return self.target.audience in ("all", "active")

    @property
    def is_durable(self) -> bool:
        """Whether each call of it is a job, on the disk."""
        return self._durable is not None

    @property
    def retry(self) -> Retry:
        """When a job of it that has failed runs again."""
        assert self._durable is not None
        return self._durable.retry

    def run_job(self, job: JobContent) -> object:
        """Call the function with the arguments of a job.

        Raises:
            Unusable: it cannot be called with them, however often it is tried.
        """
        try:
            values, named = self._arguments_of(job)
        except (TypeError, ValueError, NameError) as error:
            raise Unusable(f"its arguments are not those of {self.name}: {error}") from None
        return cast("Callable[..., object]", self.__wrapped__)(*values, **named)

    def _arguments_of(self, job: JobContent) -> tuple[Sequence[Any], Mapping[str, Any]]:
        if not job.is_call:
            return (), arguments_from_pairs(self.__wrapped__, job.pairs, job.body)
        if not job.body:
            raise ValueError("it has none")
        return self.code.decode(job.body)

    def run(self, arguments: bytes | bytearray) -> object:
        """Call the function with arguments that were sent."""
        values, named = self.code.decode(arguments)
        return cast("Callable[..., object]", self.__wrapped__)(*values, **named)

    def encode_result(self, result: object) -> bytes:
        """What goes back to the caller."""
        return self.code.encode_result(result)

    async def _send(self, timing: Timing, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        verbs, arguments = self._verbs("send"), self.code.encode(args, kwargs)
        if self._durable is None:
            await verbs.send_task(self.index, arguments, timing.due(), timing.rank)
            if self.target.node is not None:
                await verbs.wait_stored()
        else:
            await self._durable.writer.write_call(self.name, arguments, timing.priority, timing.due())

    def _send_nowait(self, timing: Timing, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        verbs, arguments = self._verbs("send_nowait"), self.code.encode(args, kwargs)
        if self._durable is None:
            verbs.send_task_nowait(self.index, arguments, timing.due(), timing.rank)
        else:
            self._durable.writer.write_call_now(self.name, arguments, timing.priority, timing.due())

    async def _call(self, timing: Timing, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> T:
        if self._durable is not None:
            raise TypeError(f"task {self.name} is durable: it may run when its caller is gone; write send, not call")
        if self.target.node is not None:
            raise TypeError(f"task {self.name} runs in the cluster, and no result comes back: write send, not call")
        verbs, arguments = self._verbs("call"), self.code.encode(args, kwargs)
        return await verbs.call_task(self.index, arguments, timing.due(), timing.rank, self._take_result)

    def _take_result(self, data: bytes | bytearray) -> T:
        result: T = self.code.decode_result(data, several=self.for_several)
        return result

    def _verbs(self, verb: str) -> TaskVerbs:
        verbs = self._verbs_of()
        if verbs is None:
            raise NoMasterError(f"{verb}() needs a master; open one with trisig.open_master or trisig.run")
        return verbs


class Timing(msgspec.Struct, frozen=True):
    """When a task shall run: at once, after a while, or at some time; and before which others."""

    delay: float = 0.0
    at: float = 0.0
    priority: int | None = None

    @classmethod
    def checked(cls, delay: float | None, at: datetime | None, priority: int | None) -> Timing:
        """See `Task.configure`."""
        checked_priority(priority)
        if delay is not None and at is not None:
            raise ValueError("a task runs after a delay or at a time: give delay or at, not both")
        if at is not None and not isinstance(at, datetime):
            raise TypeError(f"at is a datetime, not {at!r}")
        if delay is None:
            return cls(0.0, at.timestamp() if at is not None else 0.0, priority)
        if isinstance(delay, bool) or not isinstance(delay, (int, float)):
            raise TypeError(f"delay is a number of seconds, not {delay!r}")
        if not 0 <= delay <= LONGEST_DELAY:
            raise ValueError(f"delay is a number of seconds from 0 to {LONGEST_DELAY:g}, not {delay}")
        return cls(delay, 0.0, priority)

    @property
    def rank(self) -> int:
        """Its priority as queues know it."""
        return UNRANKED if self.priority is None else self.priority

    def due(self) -> float:
        """When it shall run, in seconds since the epoch; 0 for at once."""
        return time.time() + self.delay if self.delay else self.at


class ConfiguredTask(Generic[P, R, T]):
    """A task that runs later: `Task.configure` makes it."""

    def __init__(self, task: Task[P, R, T], timing: Timing) -> None:
        self._task = task
        self._timing = timing

    async def send(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """See `Task.send`."""
        await self._task._send(self._timing, args, kwargs)  # noqa: SLF001  the other half of one class

    def send_nowait(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """See `Task.send_nowait`."""
        self._task._send_nowait(self._timing, args, kwargs)  # noqa: SLF001

    async def call(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Task.call`."""
        return await self._task._call(self._timing, args, kwargs)  # noqa: SLF001


class TaskDecorator(Protocol):
    """What `Signals.task` returns for a target that means one process."""

    @overload
    def __call__(self, fn: Callable[P, Awaitable[T]]) -> Task[P, Awaitable[T], T]: ...
    @overload
    def __call__(self, fn: Callable[P, T]) -> Task[P, T, T]: ...


class TaskForAllDecorator(Protocol):
    """What `Signals.task` returns for a target that means several: `call` returns a list."""

    @overload
    def __call__(self, fn: Callable[P, Awaitable[T]]) -> Task[P, Awaitable[T], list[T]]: ...
    @overload
    def __call__(self, fn: Callable[P, T]) -> Task[P, T, list[T]]: ...


def _checked_name(fn: Callable[..., object]) -> str:
    """The name of a task.

    Raises:
        TypeError: not a function, or one that yields, or a method.
    """
    if not inspect.isfunction(fn):
        raise TypeError(f"a task is a function, not {fn!r}; write def or async def at the top of a module")
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(f"task {fn.__qualname__} yields, so calling it would run nothing of it; write it without yield")
    before = fn.__qualname__.rpartition(".")[0]
    if before and not before.endswith("<locals>"):
        raise TypeError(
            f"task {fn.__qualname__} is a method: the object that it belongs to does not travel; "
            f"write a function, and pass what it needs"
        )
    return f"{fn.__module__}.{fn.__qualname__}"
