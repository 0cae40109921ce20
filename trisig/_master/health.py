"""What keeps a master from being well: silent processes, endless handlers, late sources."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import msgspec
import trio

from trisig._model.statistics import ClusterStatistics, SourceStatistics

from .keeper import Keeper


class Limits(msgspec.Struct, frozen=True):
    """What is a problem.

    Attributes:
        patience: seconds that an idle process may take to answer, a process to start, and a source to be late.
        handler: seconds that a handler may run; None for any time.
    """

    patience: float
    handler: float | None = None

    @classmethod
    def given(cls, patience: float, handler: float | None, handler_timeout: float | None) -> Limits:
        """Limit handlers to what is asked for, or else to what their timeout allows: one that is over it is killed."""
        if handler is None and handler_timeout is not None:
            handler = handler_timeout + patience
        return cls(patience, handler)


async def find_problems(
    keepers: Iterable[Keeper],
    sources: Iterable[SourceStatistics],
    limits: Limits,
    cluster: ClusterStatistics | None = None,
) -> tuple[str, ...]:
    """A sentence for each of them; none if all is well.

    Args:
        keepers: of all processes.
        sources: how the event sources fare.
        limits: what is a problem.
        cluster: that of the master, if there is one.
    """
    patience = limits.patience
    found = [*_late(sources, patience), *_not_ready(keepers, patience)]
    if limits.handler is not None:
        found += _too_long(keepers, limits.handler)
    if cluster is not None and cluster.state == "away":
        found.append(f"the database of the cluster is away: {cluster.error}")
    async with trio.open_nursery() as nursery:
        for keeper in keepers:
            if keeper.state == "ready" and not keeper.is_at_work:
                nursery.start_soon(_ask, keeper, patience, found)
    return tuple(found)


async def _ask(keeper: Keeper, patience: float, found: list[str]) -> None:
    pid = keeper.pid
    with trio.move_on_after(patience):
        await keeper.answer()
        return
    if keeper.pid == pid and not keeper.is_at_work:
        found.append(f"{keeper.name} (pid {pid}) has not answered for {patience:g} s: it is stopped, or hangs")


def _not_ready(keepers: Iterable[Keeper], patience: float) -> Iterator[str]:
    now = trio.current_time()
    for keeper in keepers:
        if keeper.state == "waiting":
            yield f"{keeper.name} has failed, and waits for its next try"
        elif keeper.state == "starting" and now - keeper.since > patience:
            yield f"{keeper.name} has been starting for {now - keeper.since:.0f} s"


def _too_long(keepers: Iterable[Keeper], limit: float) -> Iterator[str]:
    for keeper in keepers:
        for name, seconds in keeper.handlers():
            if seconds > limit:
                what = f"the handler of signal {name}" if isinstance(name, int) else f"the task {name}"
                yield f"{keeper.name} (pid {keeper.pid}) has been running {what} for {seconds:.0f} s"


def _late(sources: Iterable[SourceStatistics], patience: float) -> Iterator[str]:
    for source in sources:
        late = 0.0 if source.next_due is None else time.time() - source.next_due
        if source.state == "failed":
            yield f"{source.source} has failed: {source.error}"
        elif source.state not in ("paused", "starting") and late > patience:
            yield f"{source.source} is {late:.0f} s late"
