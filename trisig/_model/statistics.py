"""What a master tells about itself: frozen snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .backoff import Backoff
from .durations import Durations
from .handling import Overlap
from .lock_name import LockName
from .node_info import NodeInfo
from .process import Kind


@dataclass(frozen=True, slots=True)
class ProcessStatistics:
    """One process slot.

    Attributes:
        name, kind, number: which slot.
        pid: of the process that fills it now; 0 if none does.
        state: `starting`, `ready`, `waiting` (for the next try after failures), `cheap` or `stopped`.
        respawns: how many times a process was started here after the first one.
        done, failed: handlers that ran to their end here, and how many of them raised; each attempt counts.
        queued: signals that wait for this very process, or rest before it runs them.
        in_flight: signals that were handed to it and are not done.
        running: the numbers of the signals whose handlers are running.
        running_tasks: the names of the tasks that are running.
        uptime: for how many seconds the process has been ready; None if it is not.
        rss: its resident memory, in bytes; 0 if it has none.
        busy_for: for how many seconds it has held signals without finishing one; None if it is idle.
        handler_time: seconds that handlers have run here in all, each core for itself.
        timeouts: how many processes were killed here because of `handler_timeout`.
    """

    name: str
    kind: Kind
    number: int
    pid: int
    state: str
    respawns: int
    done: int
    failed: int
    queued: int
    in_flight: int
    running: tuple[int, ...]
    running_tasks: tuple[str, ...]
    uptime: float | None = None
    rss: int = 0
    busy_for: float | None = None
    handler_time: float = 0.0
    timeouts: int = 0


@dataclass(frozen=True, slots=True)
class SignalStatistics:
    """One signal number.

    Attributes:
        signum: the number.
        target: the target it is registered with; None if it is not.
        owner: the process that registered it for itself; None if the master did.
        accepted, done, failed, dead_lettered, retried, skipped: as in `MasterStatistics`.
        overlap: what becomes of it while its handler runs; None if there is no handler.
        retry: how often a handler that raises is tried; None for once.
        handler_time: how long its handlers took that have ended. Handlers that take half a millisecond or more, and
            async ones, are all timed; of quicker ones in a burst one stands for some hundred others.
        queueing_time: how long it waited for its handler, from the moment at which the master had it; of a sample.
    """

    signum: int
    target: str | None
    owner: str | None
    accepted: int
    done: int
    failed: int
    dead_lettered: int
    retried: int = 0
    skipped: int = 0
    overlap: Overlap | None = None
    retry: Backoff | None = None
    handler_time: Durations = field(default_factory=Durations)
    queueing_time: Durations = field(default_factory=Durations)


@dataclass(frozen=True, slots=True)
class TaskStatistics:
    """One task.

    Attributes:
        task: its name.
        target: who runs it.
        accepted, done, failed, dead_lettered: as in `MasterStatistics`.
        handler_time, queueing_time: as in `SignalStatistics`. A durable task queues when its job is handed out.
    """

    task: str
    target: str
    accepted: int
    done: int
    failed: int
    dead_lettered: int
    handler_time: Durations = field(default_factory=Durations)
    queueing_time: Durations = field(default_factory=Durations)


@dataclass(frozen=True, slots=True)
class SourceStatistics:
    """One event source.

    Attributes:
        source: what it is, for example `timer of signal 26 every 2 s`.
        fired: how many signals it raised.
        missed: how many occurrences it folded into other signals, because it was late.
        restarts: how often it failed and was started again.
        error: the last failure, if there was one; it stays when the source goes on.
        state: `starting` (until the children are ready), `waiting` (for what raises the next signal), `sending` (waits
            for room in the master's queue), `failed` (until it is started again) or `paused`. A file monitor whose
            path does not exist is `missing`, a PostgreSQL source is `connecting` or `listening`, and an application's
            own source is `running`.
        next_due: when the next signal of a timer or cron job is due, in seconds since 1970; None if nobody can know.
        settings: the arguments of a timer, cron or file monitor, by name, except for the signal.
    """

    source: str
    fired: int
    missed: int
    restarts: int
    error: str | None
    state: str
    next_due: float | None
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LockStatistics:
    """One lock that is held.

    Attributes:
        lock: its number or name.
        holder: the process whose task holds it.
        waiting: the processes whose tasks wait for it, the next one first; a process with two such tasks twice.
    """

    lock: LockName
    holder: str
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpoolStatistics:
    """The directory of durable jobs.

    Attributes:
        path: where it is.
        waiting: jobs that are not due, or wait for a process.
        running: jobs that were handed to processes; the totals of the master count these alone.
        dead_lettered: jobs that this master knows to have been given up.
    """

    path: str
    waiting: int
    running: int
    dead_lettered: int


@dataclass(frozen=True, slots=True)
class ReloadStatistics:
    """How a reload has ended.

    Attributes:
        seconds: how long it took.
        error: why the version of before runs on; empty if the new one runs.
    """

    seconds: float
    error: str


@dataclass(frozen=True, slots=True)
class ClusterStatistics:
    """The cluster, as this master sees it.

    Attributes:
        node: the name of this master in it.
        state: `connected`, or `away` while there is no connection to the database.
        error: why there was none the last time; None if there always was one.
        nodes: all nodes, by name, as they were seen last.
        waiting: signals that were raised here and are not in the database yet.
        claimed: signals that this master has taken over and not finished.
        token: the fencing token while this node leads; None while it does not.
    """

    node: str
    state: str
    error: str | None
    nodes: tuple[NodeInfo, ...]
    waiting: int
    claimed: int
    token: int | None = None


@dataclass(frozen=True, slots=True)
class MasterStatistics:
    """Where every signal and task is; `accepted == done + queued + in_flight + dead_lettered` always.

    A signal or a task for all workers counts once for each of them. A signal for the cluster counts in the master that
    has raised it, where it is done when it is stored, and in each master that has claimed it.

    Attributes:
        accepted: taken over for delivery.
        done: handled to the end, or taken by a `wait`.
        failed: those of `done` whose handler raised.
        queued: waiting in the master, for a process, for their turn, or for the next attempt.
        in_flight: handed to a process, not done.
        dead_lettered: given up, because their handlers ended their processes, or raised, too often.
        redelivered: put back because a process ended before it had finished them.
        waiting: tasks that wait for a signal without a handler.
        processes: by name.
        signals: by number; those that are registered or were ever raised.
        tasks: by name; all that are declared.
        sources: the event sources.
        locks: those that are held.
        unjournaled: accepted while the journal had no room for them, because the disk was full; a death of the master
            would lose those of them that are not done.
        retried: failures of handlers with `retry=` that were not the last attempt.
        skipped: not accepted, because `overlap=` allows no further signal while one waits or runs.
        spool: the directory of durable jobs; None without one.
        cluster: the cluster; None without one.
    """

    accepted: int
    done: int
    failed: int
    queued: int
    in_flight: int
    dead_lettered: int
    redelivered: int
    waiting: int
    processes: Mapping[str, ProcessStatistics]
    signals: Mapping[int, SignalStatistics]
    tasks: Mapping[str, TaskStatistics]
    sources: tuple[SourceStatistics, ...]
    locks: tuple[LockStatistics, ...]
    unjournaled: int
    retried: int = 0
    skipped: int = 0
    spool: SpoolStatistics | None = None
    cluster: ClusterStatistics | None = None
