"""A spooler: runs the jobs of one directory, one at a time, by the function that is `uwsgi.spooler`."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import trio

from trisig._model.backoff import Backoff
from trisig._model.jobs import Retry, Unusable
from trisig._spool.attempts import Attempt, Attempts
from trisig._spool.dead_jobs import DeadJobs
from trisig._spool.directory import Entry, SpoolDirectory
from trisig._spool.in_thread import run_to_its_end
from trisig._spool.outcome import Fate, Outcome
from trisig._spool.packet import Packet
from trisig._spool.watch import SpoolWatch, watching

from .main_thread import MainThread

log = logging.getLogger("trisig")

SPOOL_OK = -2


@dataclass(frozen=True)
class SpoolerWork:
    """How a spooler works.

    Attributes:
        directory: whose jobs it runs.
        frequency: seconds after which a job that asks for it runs again, and the directory is looked at in any case.
        working_directory: where the function runs; empty for the spool itself.
        run: calls the function, within its time limit.
        leave: has this process end, and be replaced.
        max_tasks: jobs after which that happens; 0 for never.
        gives_up: whether a job that fails again and again becomes dead. uWSGI tries it for ever, at each look.
    """

    directory: SpoolDirectory
    frequency: float
    working_directory: str
    run: Callable[[Callable[[], object]], object]
    leave: Callable[[], object]
    max_tasks: int
    gives_up: bool

    @property
    def retry(self) -> Retry:
        """What becomes of a job that fails."""
        if self.gives_up:
            return Retry(Backoff(1, 300, attempts=10))
        return Retry(Backoff(self.frequency, self.frequency, attempts=sys.maxsize))


class Spooler:
    """One spooler process.

    Args:
        work: how it works.
        main: runs the function.
        module: `uwsgi`, whose attribute `spooler` is the function.
    """

    def __init__(self, work: SpoolerWork, main: MainThread, module: ModuleType) -> None:
        self._work = work
        self._main = main
        self._module = module
        self._retry = work.retry
        self._attempts = Attempts(DeadJobs(work.directory))
        self._ran = 0

    async def serve(self) -> None:
        """Run jobs as they become due, until cancelled; the one that runs is finished."""
        with watching(self._work.directory) as watch:
            while True:
                entries = await trio.to_thread.run_sync(self._work.directory.scan)
                now = time.time_ns()
                due = [entry for entry in entries if entry.due_ns <= now]
                ran = [await self._try(entry) for entry in due if not self._is_spent]
                if self._is_spent:
                    self._work.leave()
                    await trio.sleep_forever()
                if not any(ran):
                    await self._wait(watch, [entry.due_ns - now for entry in entries if entry.due_ns > now])

    @property
    def _is_spent(self) -> bool:
        return 0 < self._work.max_tasks <= self._ran

    async def _wait(self, watch: SpoolWatch, due_in: list[int]) -> None:
        with trio.move_on_after(min([self._work.frequency, *(ns / 1e9 for ns in due_in)])):
            await watch.wait_changed()

    async def _try(self, entry: Entry) -> bool:
        """Whether a job was run, or given up."""
        attempt = await run_to_its_end(lambda: self._attempts.start(entry.path, self._retry))
        if isinstance(attempt, Outcome):
            _say(entry, attempt)
            return attempt.fate is Fate.DEAD
        self._ran += 1
        error: BaseException | None = None
        answer: object = None
        try:
            answer = await self._main.run(self._call, attempt.packet, entry)
        except BaseException as raised:  # noqa: ASYNC103, BLE001  raised again below, when the file says so
            error = raised
        await run_to_its_end(lambda: self._end(entry, attempt, answer, error))
        if error is not None and not isinstance(error, Exception):
            raise error
        return True

    def _end(self, entry: Entry, attempt: Attempt, answer: object, error: BaseException | None) -> None:
        if error is None and answer != SPOOL_OK:
            attempt.claim.excuse()
            attempt.claim.postpone(self._work.frequency)
            attempt.claim.close()
        elif (outcome := self._attempts.end(attempt, self._retry, error)) is not None:
            _say(entry, outcome)

    def _call(self, packet: Packet, entry: Entry) -> int:
        function = getattr(self._module, "spooler", None)
        if not callable(function):
            raise Unusable("uwsgi.spooler is no function: set it where the application is imported")
        os.chdir(self._work.working_directory or self._work.directory.path)
        answers: list[Any] = []
        self._work.run(lambda: answers.append(function(_dict_of(packet, entry.path.name))))
        if type(answers[0]) is not int:
            raise TypeError(
                f"uwsgi.spooler returned {answers[0]!r}; it returns uwsgi.SPOOL_OK, SPOOL_RETRY or SPOOL_IGNORE"
            )
        return answers[0]


def _dict_of(packet: Packet, name: str) -> dict[str | bytes, bytes]:
    task: dict[str | bytes, bytes] = dict(packet.pairs.items())
    task["spooler_task_name"] = os.fsencode(name)
    if packet.body:
        task["body"] = packet.body
    return task


def _say(entry: Entry, outcome: Outcome) -> None:
    if outcome.reason:
        level = logging.ERROR if outcome.fate is Fate.DEAD else logging.WARNING
        log.log(level, "spooler: job %s: %s", entry.path.name, outcome.reason)
