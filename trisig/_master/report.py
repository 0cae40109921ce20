"""The statistics of a master, put together from what its parts know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import trio

from trisig._ipc.measurements import Measurements, ProcessMeasurements
from trisig._linux.resident import resident_bytes
from trisig._model.durations import Durations
from trisig._model.ledger import Ledger
from trisig._model.probe import row_of_task
from trisig._model.signum import SIGNALS
from trisig._model.statistics import (
    ClusterStatistics,
    LockStatistics,
    MasterStatistics,
    ProcessStatistics,
    SignalStatistics,
    SourceStatistics,
    SpoolStatistics,
    TaskStatistics,
)
from trisig._model.table import Entry, Table
from trisig._model.targets import Target

from .dispatcher import Dispatcher
from .slots import Slot


class Task(Protocol):
    """A declared task."""

    name: str
    target: Target


class Keeper(Protocol):
    """What is known of the process in a slot."""

    respawns: int
    since: float

    @property
    def pid(self) -> int: ...
    @property
    def state(self) -> str: ...


def snapshot(
    dispatcher: Dispatcher,
    ledger: Ledger,
    keepers: Mapping[str, Keeper],
    table: Table,
    tasks: Sequence[Task],
    sources: tuple[SourceStatistics, ...],
    locks: tuple[LockStatistics, ...],
    spool: SpoolStatistics | None,
    cluster: ClusterStatistics | None,
    unjournaled: int,
    measurements: Measurements,
) -> MasterStatistics:
    """Where every signal is, per process and per signal; the marks have been read."""
    slots = dispatcher.destinations.slots
    measured = dict(zip(slots, measurements, strict=True))
    told = (signum for signum in range(SIGNALS) if table[signum] or ledger.accepted.by_signum[signum])
    return MasterStatistics(
        accepted=ledger.accepted.total,
        done=ledger.done.total,
        failed=ledger.failed.total,
        queued=dispatcher.queued(),
        in_flight=dispatcher.in_flight(),
        dead_lettered=ledger.dead_lettered.total,
        redelivered=ledger.redelivered,
        waiting=dispatcher.destinations.waiters.waiting,
        processes={name: _process(slots[name], keeper, measured[name]) for name, keeper in keepers.items()},
        signals={signum: _signal(signum, table[signum], ledger, measurements) for signum in told},
        tasks={task.name: _task(index, task, ledger, measurements) for index, task in enumerate(tasks)},
        sources=sources,
        locks=locks,
        spool=spool,
        cluster=cluster,
        unjournaled=unjournaled,
        retried=ledger.retried.total,
        skipped=ledger.turns.skipped.total(),
    )


def undelivered_report(left: MasterStatistics, *, journaled: bool) -> Iterator[str]:
    """What a master that has ended says of signals that were not handled."""
    tasks = left.tasks.values()
    if undelivered := left.queued + left.in_flight:
        things = counted(undelivered, sum(one.accepted - one.done - one.dead_lettered for one in tasks))
        yield f"stopped with {things} undelivered{_kept(left, undelivered) if journaled else ''}"
    yield from unhandled_report(left)
    if left.dead_lettered:
        numbers = _numbers({one.signum: one.dead_lettered for one in left.signals.values()})
        things = counted(left.dead_lettered, sum(one.dead_lettered for one in tasks))
        yield f"{things} {'was' if left.dead_lettered == 1 else 'were'} dead-lettered{numbers}"


def unhandled_report(now: MasterStatistics) -> Iterator[str]:
    """What a master says of signals that no handler takes."""
    waiting = {one.signum: unhandled(one) for one in now.signals.values()}
    if total := sum(waiting.values()):
        yield f"{counted(total)} {'has' if total == 1 else 'have'} no handler{_numbers(waiting)}"


def unhandled(signal: SignalStatistics) -> int:
    """How many signals of a number wait for somebody to call `wait`, because it has no handler."""
    return 0 if signal.target is not None else signal.accepted - signal.done - signal.dead_lettered


def _numbers(by_signum: dict[int, int]) -> str:
    text = ", ".join(f"{signum} ({count})" for signum, count in by_signum.items() if count)
    return f": {text}" if text else ""


def _kept(left: MasterStatistics, undelivered: int) -> str:
    missing = min(left.unjournaled, undelivered)
    return f"; the journal has what is left for the next master{f', but for {missing} at most' if missing else ''}"


def counted(things: int, tasks: int = 0) -> str:
    """So many signals, in words; some of the things are tasks."""
    signals = things - tasks
    words = [_plural(signals, "signal")] if signals or not tasks else []
    return " and ".join([*words, _plural(tasks, "task")] if tasks else words)


def _plural(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


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
