"""Runs durable jobs: this process claims the file, and has it until the job has ended, one way or another."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from trisig._model.jobs import Retry, Unusable
from trisig._spool.attempts import Attempts
from trisig._spool.dead_jobs import DeadJobs
from trisig._spool.directory import SpoolDirectory
from trisig._spool.in_thread import run_to_its_end
from trisig._spool.outcome import Outcome
from trisig._spool.packet import Packet


class DurableTask(Protocol):
    """The task of a job."""

    @property
    def retry(self) -> Retry: ...
    def run_job(self, job: Packet) -> object: ...


class JobRunner:
    """The jobs of one child.

    Args:
        directory: where they come from.
    """

    def __init__(self, directory: SpoolDirectory) -> None:
        self._attempts = Attempts(DeadJobs(directory))

    async def run(self, task: DurableTask, path: bytes, answer: Callable[[bytes], object]) -> None:
        """Run a job, unless somebody else has it or its attempts are used up.

        Args:
            task: whose job it is.
            path: of its file.
            answer: called with an `Outcome`, encoded, once its file says the same.

        Raises:
            Exception: what the task raised.
        """
        attempt = await run_to_its_end(lambda: self._attempts.start(Path(os.fsdecode(path)), task.retry))
        if isinstance(attempt, Outcome):
            answer(attempt.encode())
            return
        error: BaseException | None = None
        try:
            await _run(task, attempt.packet)
        except BaseException as raised:  # noqa: ASYNC103, BLE001  raised again below, when the file says so
            error = raised
        outcome = await run_to_its_end(lambda: self._attempts.end(attempt, task.retry, error))
        if outcome is not None:
            answer(outcome.encode())
        if error is not None and not isinstance(error, Unusable):
            raise error


async def _run(task: DurableTask, job: Packet) -> None:
    result = task.run_job(job)
    if inspect.isawaitable(result):
        await result
