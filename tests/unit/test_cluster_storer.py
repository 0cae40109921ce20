"""Whether a node keeps what is raised on it, by what it is doing at that moment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest
import trio

from trisig._cluster.claimer import Claimer
from trisig._cluster.engine import Claimed, ClusterLink, Outbound
from trisig._cluster.inlet import Inlet
from trisig._cluster.outgoing import Outgoing
from trisig._cluster.storer import Storer

BATCH = [Outbound(1, "")]


class Master:
    """What a node needs of its master."""

    max_attempts = 3
    signums = (1,)
    tasks = ()

    def accept_claims(self, _claims: object) -> None: ...
    def passed(self) -> None: ...


class Batches:
    """A batch at a time, told to be there."""

    def __init__(self) -> None:
        self.has_batch = False

    def batch(self, _now: float) -> Sequence[Outbound]:
        return BATCH

    def stored(self) -> None:
        self.has_batch = False


class Link:
    """A database whose claims take a while.

    Args:
        takes: seconds.
    """

    def __init__(self, takes: float) -> None:
        self.takes = takes
        self.said: list[str] = []

    async def claim(self, _me: str, _signums: Collection[int], _tasks: object, _limit: int) -> Sequence[Claimed]:
        self.said.append("claim")
        await trio.sleep(self.takes)
        return []

    async def keep(self, *_: object) -> Sequence[Claimed]:
        self.said.append("keep")
        return [Claimed(1, 1, 1)]

    async def put(self, *_: object) -> bool:
        self.said.append("put")
        return True

    async def settle(self, *_: object) -> None: ...
    async def keep_only(self, *_: object) -> None:
        self.said.append("check")
        await trio.sleep(self.takes)
        self.said.append("checked")

    async def announce(self, *_: object) -> None: ...


@asynccontextmanager
async def storing(link: Link, batches: Batches, checks_apart: float) -> AsyncIterator[tuple[Claimer, Storer]]:
    """What stores and claims, at work until the block ends."""
    claimer = Claimer(cast("Inlet", Master()), 2, checks_apart)
    storer = Storer(cast("Inlet", Master()), claimer, "a", 2.0)
    storer.outgoing = cast("Outgoing", batches)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(claimer.run, cast("ClusterLink", link), "me")
        nursery.start_soon(storer.run, cast("ClusterLink", link), "me", trio.Event())
        yield claimer, storer
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("takes", "then"), [(0.001, "keep"), (60.0, "put")])
async def test_what_is_raised_during_a_look_waits_for_it(
    autojump_clock: trio.testing.MockClock, takes: float, then: str
) -> None:
    """For a few milliseconds, and is kept: put beside it, it would make the node look again, and so the next one."""
    link, batches = Link(takes), Batches()
    async with storing(link, batches, checks_apart=10.0) as (_, storer):
        await trio.testing.wait_all_tasks_blocked()
        batches.has_batch = True
        began = trio.current_time()
        storer.stir()
        while batches.has_batch:  # noqa: ASYNC110  a clock that jumps
            await trio.sleep(0.0001)
        assert trio.current_time() - began < 0.01
    assert link.said[:2] == ["claim", then]


async def test_nothing_is_kept_during_a_check(autojump_clock: trio.testing.MockClock) -> None:
    """What is kept then could be taken for what the node does not know, and be given back while it runs."""
    link, batches = Link(0.001), Batches()
    async with storing(link, batches, checks_apart=1.0) as (claimer, storer):
        await trio.sleep(2.0)
        claimer.check()
        await trio.testing.wait_all_tasks_blocked()
        assert link.said[-1] == "check"
        batches.has_batch = True
        storer.stir()
        await trio.sleep(0.1)
    at = len(link.said) - 1 - link.said[::-1].index("check")
    assert link.said[at : at + 3] == ["check", "checked", "keep"]
