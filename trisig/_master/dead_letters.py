"""What was given up, for whoever looks after it: the application through `Master`, an operator through the command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

import trio

from trisig._cluster.engine import LETTER_PREFIX, ClusterEngine
from trisig._model.dead_letter import DeadLetter
from trisig._model.destination import Destination
from trisig._model.ledger import Ledger
from trisig._model.process import SPOOL
from trisig._util.ki_protection import ki_protected

from .dispatcher import Dispatcher

T = TypeVar("T")


class DeadJob(Protocol):
    """A job that was given up; see the class of that name in `_spool`."""

    @property
    def name(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def attempts(self) -> int: ...


class DeadJobs(Protocol):
    """All of them; likewise."""

    def list(self) -> Sequence[DeadJob]: ...
    def find(self, name: str) -> DeadJob | None: ...
    def requeue(self, name: str) -> object: ...
    def drop(self, name: str) -> object: ...


@ki_protected
class DeadLetters:
    """The signals, tasks and jobs that were given up; `Master.dead_letters`.

    The newest 10,000 signals and tasks are kept; with a journal they survive the master. All jobs are kept, in the
    directory `dead` of the spool; their `destination` is `spool`, and their `id` the name of the file. All that the
    nodes of a cluster have given up is in its database; there the `id` begins with `cluster-`.

    Args:
        ledger: has the signals and tasks.
        jobs: has the jobs; None without a spool.
        dispatcher: knows where they go.
        cluster: has those of the cluster; None without one.
        check: raises `RuntimeError` in another thread than the master's; called with what is done, and an example.
    """

    def __init__(
        self,
        ledger: Ledger,
        jobs: DeadJobs | None,
        dispatcher: Dispatcher,
        cluster: ClusterEngine | None,
        check: Callable[[str, str], object],
    ) -> None:
        self._cluster = cluster
        self._ledger = ledger
        self._jobs = jobs
        self._dispatcher = dispatcher
        self._check = check

    async def list(self) -> tuple[DeadLetter, ...]:
        """All of them, the oldest first.

        Raises:
            ClusterError: the database of the cluster cannot be reached.
            OSError: the spool cannot be read.
            RuntimeError: this is not the thread that runs the master.
        """
        self._check("dead letters are listed", "master.dead_letters.list")
        jobs = await self._in_spool(lambda jobs: jobs.list())
        cluster = () if self._cluster is None else await self._cluster.dead_letters()
        letters = (*self._ledger.letters, *map(_letter_of, jobs or ()), *cluster)
        return tuple(sorted(letters, key=lambda letter: letter.at))

    async def requeue(self, letter_id: str) -> DeadLetter:
        """Let one run again: it goes to the end of its queue, with all its attempts.

        Args:
            letter_id: its `id`.

        Raises:
            LookupError: there is none with this id.
            ValueError: it is a task that this application does not have, or nobody runs it any more.
            ClusterError: the database of the cluster cannot be reached.
            OSError: it is a job, and the spool cannot be written.
            RuntimeError: this is not the thread that runs the master.
        """
        if (cluster := self._cluster_of(letter_id)) is not None:
            return await self._in_cluster("requeued", letter_id, cluster.requeue)
        letter = await self._found("requeued", letter_id)
        if letter.destination == SPOOL:
            await self._in_spool(lambda jobs: jobs.requeue(letter_id))
            return letter
        destination = self._dispatcher.destinations.named(letter.destination) or self._like(letter)
        self._ledger.requeue(letter, destination.queue)
        destination.deliver()
        return letter

    async def drop(self, letter_id: str) -> DeadLetter:
        """Forget one; it stays counted in `dead_lettered`.

        Args:
            letter_id: its `id`.

        Raises:
            LookupError: there is none with this id.
            ClusterError: the database of the cluster cannot be reached.
            OSError: it is a job, and the spool cannot be written.
            RuntimeError: this is not the thread that runs the master.
        """
        if (cluster := self._cluster_of(letter_id)) is not None:
            return await self._in_cluster("dropped", letter_id, cluster.drop)
        letter = await self._found("dropped", letter_id)
        if letter.destination == SPOOL:
            await self._in_spool(lambda jobs: jobs.drop(letter_id))
            return letter
        self._ledger.forget(letter)
        return letter

    def _cluster_of(self, letter_id: str) -> ClusterEngine | None:
        return self._cluster if letter_id.startswith(LETTER_PREFIX) else None

    async def _in_cluster(
        self, verb: str, letter_id: str, step: Callable[[str], Awaitable[DeadLetter | None]]
    ) -> DeadLetter:
        self._check_thread(verb, letter_id)
        letter = await step(letter_id)
        if letter is None:
            raise LookupError(f"there is no dead letter {letter_id!r}")
        return letter

    def _check_thread(self, verb: str, letter_id: str) -> None:
        self._check(f"dead letters are {verb}", f"master.dead_letters, {letter_id!r}")

    async def _found(self, verb: str, letter_id: str) -> DeadLetter:
        self._check_thread(verb, letter_id)
        await trio.lowlevel.checkpoint()
        with suppress(KeyError):
            return self._ledger.letters[letter_id]
        job = await self._in_spool(lambda jobs: jobs.find(letter_id))
        if job is None:
            raise LookupError(f"there is no dead letter {letter_id!r}")
        return _letter_of(job)

    async def _in_spool(self, step: Callable[[DeadJobs], T]) -> T | None:
        """Do what blocks, if there is a spool."""
        if self._jobs is None:
            await trio.lowlevel.checkpoint()
            return None
        return await trio.to_thread.run_sync(step, self._jobs)

    def _like(self, letter: DeadLetter) -> Destination:
        """Where its like goes now that its queue is gone."""
        routes = self._dispatcher.task_routes
        if letter.task is None:
            route = self._dispatcher.route(letter.signum or 0)
        elif (index := routes.index(letter.task)) is None:
            raise ValueError(f"there is no task {letter.task} in this application")
        else:
            route = routes[index]
        if not route:
            raise ValueError(f"there is no {letter.destination} any more, and nobody else runs {letter}")
        return route[0]


def _letter_of(job: DeadJob) -> DeadLetter:
    name = job.task or "that cannot be read"
    return DeadLetter(None, SPOOL, job.attempts, name, id=job.name, at=job.at, reason=job.reason)
