"""Runs the tasks that this process is sent, and answers their callers."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from trisig._ipc.cargo import Loaded
from trisig._ipc.failure import encode_failure
from trisig._ipc.raised_stream import DONE, FAILED
from trisig._model.invocation import NO_REPLY
from trisig._model.jobs import JobContent, Retry


class DeclaredTask(Protocol):
    """A task of the application."""

    name: str

    @property
    def is_durable(self) -> bool: ...
    @property
    def retry(self) -> Retry: ...
    def run_job(self, job: JobContent) -> object: ...
    def run(self, arguments: bytes | bytearray) -> object: ...
    def encode_result(self, result: object) -> bytes: ...


class Jobs(Protocol):
    """Runs durable jobs; `JobRunner` is the one that does."""

    def run(self, task: DeclaredTask, path: bytes, answer: Callable[[bytes], object]) -> Awaitable[None]: ...


class TaskRunner:
    """The tasks of one child.

    Args:
        tasks: by index.
        answer: sends an outcome, its content, and the reply that the task carried.
        jobs: runs those that are durable; None if there is no spool.
    """

    def __init__(
        self, tasks: Sequence[DeclaredTask], answer: Callable[[int, bytes, int], object], jobs: Jobs | None
    ) -> None:
        self._tasks = tasks
        self._answer = answer
        self._jobs = jobs

    def name(self, loaded: Loaded) -> str:
        """What the log calls it."""
        return self._tasks[loaded.task].name

    def run(self, loaded: Loaded) -> object:
        """Call the function of a task; what it returns, or something to await if it is async.

        The answer is written before this returns: the master has it before it can see that the task is done.
        """
        task = self._tasks[loaded.task]
        if self._jobs is not None and task.is_durable:
            return self._jobs.run(task, bytes(loaded.arguments), partial(self._answer_job, reply=loaded.reply))
        if loaded.reply == NO_REPLY:
            return task.run(loaded.arguments)
        try:
            result = task.run(loaded.arguments)
            if inspect.isawaitable(result):
                return self._await(task, result, loaded.reply)
            self._done(task, result, loaded.reply)
        except Exception as error:
            self._failed(error, loaded.reply)
            raise
        return None

    async def _await(self, task: DeclaredTask, result: Awaitable[object], reply: int) -> None:
        try:
            self._done(task, await result, reply)
        except Exception as error:
            self._failed(error, reply)
            raise

    def _answer_job(self, outcome: bytes, reply: int) -> None:
        if reply != NO_REPLY:
            self._answer(DONE, outcome, reply)

    def _done(self, task: DeclaredTask, result: object, reply: int) -> None:
        self._answer(DONE, task.encode_result(result), reply)

    def _failed(self, error: Exception, reply: int) -> None:
        self._answer(FAILED, encode_failure(error), reply)
