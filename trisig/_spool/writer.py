"""Writing jobs from many tasks of one process: those that come while one batch is written are the next batch."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from trisig._util.ki_protection import ki_protected

from .committer import Committer, Outcome
from .in_thread import run_to_its_end
from .job import Job


class _Pending(msgspec.Struct, eq=False):
    job: Job
    task: trio.lowlevel.Task = msgspec.field(default_factory=trio.lowlevel.current_task)
    outcome: Outcome | None = None


@ki_protected
class SpoolWriter:
    """Writes jobs in a thread, one batch at a time.

    Args:
        committer: what writes a batch.

    Attributes:
        directory: where the jobs go.
    """

    def __init__(self, committer: Committer) -> None:
        self.directory = committer.directory
        self._committer = committer
        self._pending: list[_Pending] = []
        self._writing = False

    async def write(self, job: Job) -> Path:
        """Write a job and return its file, once it is on the disk.

        A cancelled call has written nothing; one that a batch has begun to write is not cancelled.

        Raises:
            ValueError: the pairs take more than 64 KiB.
            OSError: it was not written; the message says why.
        """
        job.packet().encode()  # its mistakes are raised here, not for the whole batch
        await trio.lowlevel.checkpoint_if_cancelled()
        one = _Pending(job)
        self._pending.append(one)
        if self._writing:
            await self._wait_turn(one)
        if one.outcome is None:
            await self._write_batch()
        await trio.lowlevel.cancel_shielded_checkpoint()
        assert one.outcome is not None
        if isinstance(one.outcome, Exception):
            raise one.outcome
        return one.outcome

    def write_now(self, job: Job) -> Path:
        """Write a job and return its file, once it is on the disk; from any thread. Blocks.

        Raises:
            ValueError: the pairs take more than 64 KiB.
            OSError: it was not written; the message says why.
        """
        [outcome] = self._committer.commit([job])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def write_call(self, task: str, arguments: bytes, priority: int | None, due: float) -> Path:
        """Write the call of a task, as `write` does; see `Job.calling`."""
        return await self.write(Job.calling(task, arguments, priority, due))

    def write_call_now(self, task: str, arguments: bytes, priority: int | None, due: float) -> Path:
        """Write the call of a task, as `write_now` does."""
        return self.write_now(Job.calling(task, arguments, priority, due))

    async def _wait_turn(self, one: _Pending) -> None:
        """Wait until another task has written it, or it is the first of the next batch."""

        def abort(_: object) -> trio.lowlevel.Abort:
            if one not in self._pending:
                return trio.lowlevel.Abort.FAILED
            self._pending.remove(one)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def _write_batch(self) -> None:
        batch, self._pending = self._pending, []
        self._writing = True
        outcomes: list[Outcome] = []
        try:
            outcomes = await run_to_its_end(lambda: self._committer.commit([one.job for one in batch]))
        except Exception as error:  # noqa: BLE001  whatever it is, it is the outcome of all: none of them may wait on
            outcomes = [error] * len(batch)
        for one, outcome in zip(batch, outcomes, strict=True):
            one.outcome = outcome
        me = trio.lowlevel.current_task()
        for one in batch:
            if one.task is not me:
                trio.lowlevel.reschedule(one.task)
        # Still `_writing` if there is a next batch: whoever comes before its first task runs joins it.
        self._writing = bool(self._pending)
        if self._pending:
            trio.lowlevel.reschedule(self._pending[0].task)
