"""What a master tells about itself: frozen snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ._process import Kind


@dataclass(frozen=True, slots=True)
class ProcessStatistics:
    """One process slot.

    Attributes:
        name, kind, number: which slot.
        pid: of the process that fills it now; 0 if none does.
        state: `starting`, `ready`, `waiting` (for the next try after failures), `cheap` or `stopped`.
        respawns: how many times a process was started here after the first one.
        done, failed: handlers that ran to their end here, and how many of them raised.
        queued: signals that wait for this very process.
        in_flight: signals that were handed to it and are not done.
        running: the numbers of the signals whose handlers are running.
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


@dataclass(frozen=True, slots=True)
class SignalStatistics:
    """One signal number.

    Attributes:
        signum: the number.
        target: the target it is registered with; None if it is not.
        owner: the process that registered it for itself; None if the master did.
        accepted, done, failed, dead_lettered: as in `MasterStatistics`.
    """

    signum: int
    target: str | None
    owner: str | None
    accepted: int
    done: int
    failed: int
    dead_lettered: int


@dataclass(frozen=True, slots=True)
class SourceStatistics:
    """One event source.

    Attributes:
        source: what it is, for example `timer of signal 26 every 2 s`.
        fired: how many signals it raised.
        missed: how many occasions it had to leave out, because it was late.
        restarts: how often it failed and was started again.
        error: the last failure, if any.
    """

    source: str
    fired: int
    missed: int
    restarts: int
    error: str | None


@dataclass(frozen=True, slots=True)
class MasterStatistics:
    """Where every signal is; `accepted == done + queued + in_flight + dead_lettered` always.

    A signal for all workers counts once for each of them.

    Attributes:
        accepted: taken over for delivery.
        done: handled to the end, or taken by a `wait`.
        failed: those of `done` whose handler raised.
        queued: waiting in the master.
        in_flight: handed to a process, not done.
        dead_lettered: given up, because their handlers ended their processes too often.
        redelivered: put back because a process ended before it had finished them.
        waiting: tasks that wait for a signal without a handler.
        processes: by name.
        signals: by number; those that are registered or were ever raised.
        sources: the event sources.
        unjournaled: accepted while the journal had no room for them, because the disk was full; a death of the
            master would lose those of them that are not done.
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
    sources: tuple[SourceStatistics, ...]
    unjournaled: int
