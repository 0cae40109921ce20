"""What a master knows of itself, put together from what its parts know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import trio

from trisig._ipc.measurements import Measurements, ProcessMeasurements
from trisig._linux.resident import resident_bytes
from trisig._model.durations import Durations
from trisig._model.ledger import Ledger
from trisig._model.node_info import NodeInfo
from trisig._model.probe import row_of_task
from trisig._model.process import MASTER, ProcessInfo, current_process
from trisig._model.signum import SIGNALS
from trisig._model.statistics import MasterStatistics, ProcessStatistics, SignalStatistics, TaskStatistics
from trisig._model.table import Entry
from trisig._model.targets import Target
from trisig._sources.runner import Sources
from trisig._util.ki_protection import ki_protected

from .core import Core
from .extras import Extras
from .health import Limits, find_problems
from .keeper import Keeper
from .slots import Slot


class Task(Protocol):
    """A declared task."""

    name: str
    target: Target


@ki_protected
class Overview:
    """The processes of one master, where every signal is, and what is wrong.

    Args:
        core: of the master.
        keepers: of its processes, by name.
        sources: its event sources.
        extras: what else it has.
        check: raises `RuntimeError` in another thread than the master's; called with what is done, and an example.
    """

    def __init__(
        self,
        core: Core,
        keepers: Mapping[str, Keeper],
        sources: Sources,
        extras: Extras,
        check: Callable[[str, str], object],
    ) -> None:
        self._core = core
        self._keepers = keepers
        self._sources = sources
        self._extras = extras
        self._check = check
        self._me = ProcessInfo(MASTER, 0, current_process().pid)
        self._final: MasterStatistics | None = None

    @property
    def processes(self) -> tuple[ProcessInfo, ...]:
        """The live processes, the master first."""
        return (self._me, *(keeper.info for keeper in self._keepers.values() if keeper.pid))

    @property
    def nodes(self) -> tuple[NodeInfo, ...]:
        """The nodes of the cluster, as they were seen last."""
        return () if self._extras.cluster is None else self._extras.cluster.nodes

    async def problems(self, limits: Limits) -> tuple[str, ...]:
        """A sentence for each thing that is not well."""
        self._core.dispatcher.read_marks()
        cluster = None if self._extras.cluster is None else self._extras.cluster.statistics()
        return await find_problems(self._keepers.values(), self._sources.statistics(), limits, cluster)

    def statistics(self) -> MasterStatistics:
        """Where every signal is, per process and per signal; once the master has ended, where it was then."""
        if self._final is not None:
            return self._final
        self._check("statistics are taken", "master.statistics")
        return self._now()

    def end(self) -> None:
        """The master has ended: nothing changes any more."""
        self._final = self._now()

    def _now(self) -> MasterStatistics:
        core, extras = self._core, self._extras
        journal, spool, cluster = extras.journal, extras.spool, extras.cluster
        dispatcher, ledger, measurements = core.dispatcher, core.ledger, core.memory.shared.measurements
        dispatcher.read_marks()
        measured = zip(core.destinations.slots.values(), measurements, strict=True)
        told = (signum for signum in range(SIGNALS) if core.table[signum] or ledger.accepted.by_signum[signum])
        return MasterStatistics(
            accepted=ledger.accepted.total,
            done=ledger.done.total,
            failed=ledger.failed.total,
            queued=dispatcher.queued(),
            in_flight=dispatcher.in_flight(),
            dead_lettered=ledger.dead_lettered.total,
            redelivered=ledger.redelivered,
            waiting=core.destinations.waiters.waiting,
            processes={slot.name: _process(slot, self._keepers[slot.name], times) for slot, times in measured},
            signals={signum: _signal(signum, core.table[signum], ledger, measurements) for signum in told},
            tasks={task.name: _task(index, task, ledger, measurements) for index, task in enumerate(core.tasks.all)},
            sources=self._sources.statistics(),
            locks=core.locks.statistics(),
            spool=None if spool is None else spool.feeder.statistics(),
            cluster=None if cluster is None else cluster.statistics(),
            unjournaled=0 if journal is None else journal.missed,
            retried=ledger.retried.total,
            skipped=ledger.turns.skipped.total(),
        )


def _process(slot: Slot, keeper: Keeper, measured: ProcessMeasurements) -> ProcessStatistics:
    running = slot.lane.running() if slot.lane else []
    now = trio.current_time()
    done, failed = slot.account()
    return ProcessStatistics(
        name=slot.name,
        kind=slot.kind,
        number=slot.number,
        pid=keeper.pid,
        state=keeper.state,
        respawns=max(keeper.respawns, 0),
        done=done,
        failed=failed,
        queued=len(slot.queue) + len(slot.queue.resting),
        in_flight=slot.in_flight,
        running=tuple(one for one in running if isinstance(one, int)),
        running_tasks=tuple(one for one in running if isinstance(one, str)),
        uptime=now - keeper.since if keeper.state == "ready" else None,
        rss=resident_bytes(keeper.pid) if keeper.pid else 0,
        busy_for=None if slot.last_progress is None else now - slot.last_progress,
        handler_time=measured.busy / 1e9,
        timeouts=slot.timeouts,
    )


def _signal(signum: int, entry: Entry | None, ledger: Ledger, measurements: Measurements) -> SignalStatistics:
    accepted = ledger.accepted.by_signum[signum]
    return SignalStatistics(
        signum=signum,
        target=entry.target.text if entry else None,
        owner=entry.owner if entry else None,
        accepted=accepted,
        done=ledger.done.by_signum[signum],
        failed=ledger.failed.by_signum[signum],
        dead_lettered=ledger.dead_lettered.by_signum[signum],
        retried=ledger.retried.by_signum[signum],
        skipped=ledger.turns.skipped[signum],
        overlap=entry.handling.overlap if entry else None,
        retry=entry.handling.retry if entry else None,
        handler_time=measurements.handler(signum) if accepted else Durations(),
        queueing_time=measurements.queueing(signum) if accepted else Durations(),
    )


def _task(index: int, task: Task, ledger: Ledger, measurements: Measurements) -> TaskStatistics:
    accepted, row = ledger.accepted.by_task[index], row_of_task(index)
    return TaskStatistics(
        task=task.name,
        target=task.target.text,
        accepted=accepted,
        done=ledger.done.by_task[index],
        failed=ledger.failed.by_task[index],
        dead_lettered=ledger.dead_lettered.by_task[index],
        handler_time=measurements.handler(row) if accepted else Durations(),
        queueing_time=measurements.queueing(row) if accepted else Durations(),
    )
