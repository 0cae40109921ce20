"""Hands the jobs of a spool to the processes that run them, each as a task whose argument is the path of its file.

    directory ── inotify ──> agenda ── due ──> sorter ──> dispatcher ──> child: claims the file, runs the job
                               ^                                                    │
                               └──────────────────── outcome ───────────────────────┘

A destination is given as many jobs as it runs at a time, so a more urgent one never waits behind those in its queue.
Whatever blocks is done in a thread; whatever must survive this process is in the directory.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import count
from typing import Protocol

import trio

from trisig._ipc.raised_stream import TasksRaised
from trisig._model.dead_letter import DeadLetter
from trisig._model.process import SPOOL
from trisig._model.statistics import SpoolStatistics
from trisig._sources.clocks import WallClock
from trisig._spool.agenda import Agenda
from trisig._spool.attempts import excuse_all
from trisig._spool.dead_jobs import DeadJobs
from trisig._spool.directory import Entry, SpoolDirectory
from trisig._spool.leftovers import remove_leftovers
from trisig._spool.outcome import Fate, Outcome
from trisig._spool.sorter import Sorter
from trisig._spool.watch import SpoolWatch
from trisig._util.backoff import Backoff
from trisig._util.exception_groups import unwrapped
from trisig._util.ki_protection import ki_protected

from .dispatcher import Dispatcher

log = logging.getLogger("trisig")

_AT_ONCE = 256  # jobs that are looked at in one step
_LAST_S = 1.0  # seconds for what is left to write when the master ends


class Task(Protocol):
    """A declared task."""

    name: str

    @property
    def is_durable(self) -> bool: ...


@ki_protected
class JobFeeder:
    """Feeds one master from one spool.

    Args:
        directory: the spool.
        dispatcher: takes the tasks.
        tasks: those of the application, in the order of their indices.
        cores: how many jobs each process runs at a time.
        given_up: called with each job that is in `dead` now.

    Attributes:
        opened: set when the jobs that are there have been found, or cannot be.
    """

    def __init__(
        self,
        directory: SpoolDirectory,
        dispatcher: Dispatcher,
        tasks: Sequence[Task],
        cores: int,
        given_up: Callable[[DeadLetter], object],
    ) -> None:
        self._directory = directory
        self._dispatcher = dispatcher
        self._tasks = tasks
        self._sorter = _sorter(directory, tasks)
        self._cores = cores
        self._given_up = given_up
        self.opened = trio.Event()
        self._agenda = Agenda()
        self._handed: dict[int, tuple[Entry, str, int]] = {}  # with destination and task, by the key of the call
        self._keys = count(1)
        self._changed: list[Entry] = []  # released, and to be looked at again
        self._stopped = trio.CancelScope()
        self._rest = trio.CancelScope()
        self._stirred = False
        self._dead = 0

    def statistics(self) -> SpoolStatistics:
        """What the master knows of the spool."""
        return SpoolStatistics(
            path=str(self._directory.path),
            waiting=self._agenda.waiting,
            running=self._agenda.running,
            dead_lettered=self._dead,
        )

    def learn_tasks(self) -> None:
        """The list of tasks has grown."""
        self._sorter = _sorter(self._directory, self._tasks)

    def stop(self) -> None:
        """Hand out no more jobs. The others stay in the directory."""
        self._stopped.cancel()

    async def run(self) -> None:
        """Hand out jobs until stopped."""
        failures, backoff = 0, Backoff(0.1, 30.0, steady=60.0)
        with self._stopped:
            while True:
                began = trio.current_time()
                try:
                    with unwrapped():
                        await self._feed()
                except OSError as error:
                    self.opened.set()
                    failures = backoff.count(failures, trio.current_time() - began)
                    pause = backoff.pause(failures)
                    log.error("master: no jobs are run: %s; next try in %.1f s", error, pause)  # noqa: TRY400  not ours
                    await trio.sleep(pause)

    async def excuse_unfinished(self) -> None:
        """The processes have been ended: what they were running has not failed. Gives up after a second."""
        unfinished = [entry.path for entry, *_ in self._handed.values()]
        if unfinished:
            with trio.move_on_after(_LAST_S):
                await trio.to_thread.run_sync(excuse_all, unfinished, abandon_on_cancel=True)

    async def _feed(self) -> None:
        watch = await trio.to_thread.run_sync(self._open)
        with closing(watch):
            await self._note(await trio.to_thread.run_sync(self._directory.jobs))
            self.opened.set()
            async with trio.open_nursery() as nursery:
                clock = WallClock()  # set by whoever sets the clock, as jobs are due by the time of day
                nursery.start_soon(clock.drive)
                nursery.start_soon(self._listen, watch)
                await self._work(clock)

    def _open(self) -> SpoolWatch:
        self._directory.make()
        remove_leftovers(self._directory)
        return SpoolWatch(self._directory)

    async def _listen(self, watch: SpoolWatch) -> None:
        while True:
            await self._note(await watch.wait_changed())

    async def _note(self, entries: Sequence[Entry | None]) -> None:
        for start in range(0, len(entries), _AT_ONCE):
            for entry in entries[start : start + _AT_ONCE]:
                if entry is not None:
                    self._agenda.note(entry)
            self._wake()
            await trio.lowlevel.checkpoint()

    def _wake(self) -> None:
        self._stirred = True
        self._rest.cancel()

    async def _work(self, clock: WallClock) -> None:
        while True:
            self._stirred = False
            await self._look_again()
            await self._sort(self._agenda.take_due(time.time_ns(), _AT_ONCE))
            self._hand_out()
            with trio.CancelScope() as self._rest:
                if not self._stirred:
                    await clock.wait_until(self._agenda.next_due_ns / 1e9)

    async def _look_again(self) -> None:
        changed, self._changed = self._changed, []
        if changed:
            await self._note(await trio.to_thread.run_sync(lambda: [self._sorter.again(entry) for entry in changed]))

    async def _sort(self, due: Sequence[Entry]) -> None:
        if not due:
            return
        for entry, sorted_as in await trio.to_thread.run_sync(lambda: [(one, self._sorter.sort(one)) for one in due]):
            if isinstance(sorted_as, Outcome):
                self._settle(entry, sorted_as)
            else:
                self._agenda.route(entry, sorted_as, self._dispatcher.destination_of_task(sorted_as).name)

    def _hand_out(self) -> None:
        for name in self._agenda.destinations():
            for entry, task in self._agenda.hand_out(name, self._capacity(name)):
                key = next(self._keys)
                self._handed[key] = entry, name, task
                self._dispatcher.accept_all(SPOOL, (TasksRaised(task, [bytes(entry.path)], key),))

    def _capacity(self, name: str) -> int:
        destinations = self._dispatcher.destinations
        members = [destinations.slots[name]] if name in destinations.slots else destinations.pools[name].members
        # One waits for a process even if all are stopped: when it has run, the next ones are handed out.
        return max(1, self._cores * sum(slot.active for slot in members))

    # What became of them

    def answered(self, key: int, outcome: bytes | bytearray) -> None:
        """A process has finished with a job; what became of it is an `Outcome`, encoded."""
        entry, destination, task = self._handed.pop(key)
        self._agenda.returned(destination)
        self._settle(entry, Outcome.decode(outcome), self._tasks[task].name)
        self._wake()

    def _settle(self, entry: Entry, outcome: Outcome, task: str = "") -> None:
        fate, reason = outcome.fate, outcome.reason
        stirred = self._agenda.release(entry)
        if fate is Fate.LOCKED:
            self._agenda.locked(entry, time.time_ns())
        elif fate is Fate.REFUSED:
            if self._agenda.refused(entry, reason, time.time_ns()):
                log.error("master: job %s waits: %s", entry.path, reason)
        else:
            self._agenda.had(entry)
        if fate is Fate.DEAD:
            self._dead += 1
            log.error("master: job %s is dead-lettered: %s", entry.path, reason)
            self._given_up(DeadLetter(None, SPOOL, outcome.starts, task or entry.path.name))
        elif fate is Fate.AGAIN and reason:
            log.warning("master: job %s: %s", entry.path, reason)
        if stirred or fate is Fate.AGAIN:
            self._changed.append(entry)


def _sorter(directory: SpoolDirectory, tasks: Sequence[Task]) -> Sorter:
    durable = {task.name.encode(): index for index, task in enumerate(tasks) if task.is_durable}
    functions = Counter(name.rpartition(b".")[2] for name in durable)
    alone = {name.rpartition(b".")[2]: index for name, index in durable.items()}
    unique = {function: index for function, index in alone.items() if functions[function] == 1}
    return Sorter(directory, DeadJobs(directory), durable, unique)
