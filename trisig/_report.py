"""The statistics of a master, put together from what its parts know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from ._ledger import Ledger
from ._signum import SIGNALS
from ._slots import Slot
from ._statistics import MasterStatistics, ProcessStatistics, SignalStatistics, SourceStatistics
from ._table import Entry, Table


class Queues(Protocol):
    """What the dispatcher knows."""

    ledger: Ledger
    slots: dict[str, Slot]

    def queued(self) -> int: ...
    def in_flight(self) -> int: ...
    def waiting(self) -> int: ...


class Keeper(Protocol):
    """What is known of the process in a slot."""

    pid: int
    state: str
    respawns: int


def snapshot(
    dispatcher: Queues,
    keepers: Mapping[str, Keeper],
    table: Table,
    sources: tuple[SourceStatistics, ...],
    unjournaled: int,
) -> MasterStatistics:
    """Where every signal is, per process and per signal; the marks have been read."""
    ledger = dispatcher.ledger
    told = (_signal(signum, table[signum], ledger) for signum in range(SIGNALS))
    return MasterStatistics(
        accepted=ledger.accepted.total,
        done=ledger.done.total,
        failed=ledger.failed.total,
        queued=dispatcher.queued(),
        in_flight=dispatcher.in_flight(),
        dead_lettered=ledger.dead_lettered.total,
        redelivered=ledger.redelivered,
        waiting=dispatcher.waiting(),
        processes={name: _process(dispatcher.slots[name], keeper) for name, keeper in keepers.items()},
        signals={one.signum: one for one in told if one.target or one.accepted},
        sources=sources,
        unjournaled=unjournaled,
    )


def last_words(left: MasterStatistics, *, journaled: bool) -> Iterator[str]:
    """What a master that has ended says of signals that were not handled."""
    if undelivered := left.queued + left.in_flight:
        yield f"stopped with {counted(undelivered)} undelivered{_kept(left, undelivered) if journaled else ''}"
    if left.dead_lettered:
        yield f"{counted(left.dead_lettered)} {'was' if left.dead_lettered == 1 else 'were'} dead-lettered"


def _kept(left: MasterStatistics, undelivered: int) -> str:
    missing = min(left.unjournaled, undelivered)
    return f"; the journal has what is left for the next master{f', but for {missing} at most' if missing else ''}"


def counted(signals: int) -> str:
    """So many signals, in words."""
    return "1 signal" if signals == 1 else f"{signals} signals"


def _process(slot: Slot, keeper: Keeper) -> ProcessStatistics:
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
        queued=len(slot.queue),
        in_flight=slot.lane.in_flight if slot.lane else 0,
        running=tuple(slot.lane.running()) if slot.lane else (),
    )


def _signal(signum: int, entry: Entry | None, ledger: Ledger) -> SignalStatistics:
    return SignalStatistics(
        signum=signum,
        target=entry.target.text if entry else None,
        owner=entry.owner if entry else None,
        accepted=ledger.accepted.by_signum[signum],
        done=ledger.done.by_signum[signum],
        failed=ledger.failed.by_signum[signum],
        dead_lettered=ledger.dead_lettered.by_signum[signum],
    )
