"""Every target, and exactly which processes ran it."""

from pathlib import Path
from typing import Any

import pytest
import trio
from witness import Journal, Trail, eventually

import trisig

WORKERS = {"worker1", "worker2", "worker3"}
MULES = {"mule1", "mule2", "mule3"}
SPOOLERS = {"spooler1", "spooler2"}
BUSY = {"mule1", "mule3"}
LONE = {"mule2"}

# Each target: the processes that run a signal of it, and whether all of them do or the first available one.
TARGETS = {
    "": (WORKERS, "one"),
    "worker": (WORKERS, "one"),
    "worker0": (WORKERS, "one"),
    "worker1": ({"worker1"}, "all"),
    "worker2": ({"worker2"}, "all"),
    "worker3": ({"worker3"}, "all"),
    "workers": (WORKERS, "all"),
    "active-workers": (WORKERS, "all"),
    "spooler": (SPOOLERS, "one"),
    "spoolers": (SPOOLERS, "all"),
    "spooler1": ({"spooler1"}, "all"),
    "spooler2": ({"spooler2"}, "all"),
    "mule": (MULES, "one"),
    "mule0": (MULES, "one"),
    "mule1": ({"mule1"}, "all"),
    "mule3": ({"mule3"}, "all"),
    "mules": (MULES, "all"),
    "farm1": (BUSY, "one"),
    "farm_busy": (BUSY, "one"),
    "farm2": (LONE, "one"),
    "farm_lone": (LONE, "one"),
    "farm_2": (MULES, "one"),
    "farm_with space": ({"mule1", "mule2"}, "one"),
}
FARMS = {"busy": (1, 3), "lone": (2,), "2": (1, 2, 3), "with space": (2, 1)}
SIZES: dict[str, Any] = {"workers": 3, "mules": 3, "spoolers": 2}


async def test_each_target_runs_in_exactly_the_processes_that_it_names(tmp_path: Path) -> None:
    """One signal for each target: all the named processes run it once, or one of those that may, and no other does."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    for signum, target in enumerate(TARGETS):
        signals.register(signum, target, journal.note)
    async with trisig.open_master(signals, farms=FARMS, **SIZES) as master:
        for signum in range(len(TARGETS)):
            await signals.send(signum)
    ran: dict[int, list[str]] = {signum: [] for signum in range(len(TARGETS))}
    for process, signum in journal.read():
        ran[signum].append(process)
    for signum, (target, (processes, how)) in enumerate(TARGETS.items()):
        if how == "all":
            assert sorted(ran[signum]) == sorted(processes), target
        else:
            assert len(ran[signum]) == 1, target
            assert ran[signum][0] in processes, target
        told = master.statistics().signals[signum]
        assert (told.target, told.accepted, told.done) == (target, len(ran[signum]), len(ran[signum]))


@pytest.mark.parametrize("target", [target for target, (_, how) in TARGETS.items() if how == "one"])
async def test_each_member_of_a_pool_can_be_the_first_available(target: str) -> None:
    """With as many signals as members, held until all run, each member of the pool runs one and nobody else any."""
    members, _ = TARGETS[target]
    trail = Trail(100)
    signals = trisig.Signals()

    @signals.handler(1, target=target)
    async def together(signum: int) -> None:
        trail.mark(signum)
        await eventually(lambda: trail.total() == len(members))

    async with trisig.open_master(signals, farms=FARMS, **SIZES):
        for _ in members:
            await signals.send(1)
    assert {name for name in WORKERS | MULES | SPOOLERS if trail.of(name)} == members
    assert all(trail.of(name) == b"\1" for name in members)


async def test_a_process_of_two_pools_takes_from_both() -> None:
    """A mule that belongs to two farms and to "any mule" runs what comes for each of them, and for itself."""
    trail = Trail(1000)
    signals = trisig.Signals()
    for signum, target in enumerate(("mule", "mule1", "mules", "farm_left", "farm_right")):
        signals.register(signum, target, trail.mark)
    async with trisig.open_master(signals, mules=3, farms={"left": (1, 2), "right": (1, 3)}) as master:
        for _ in range(50):
            for signum in range(5):
                await signals.send(signum)
    assert trail.of("mule1").count(1) == 50
    assert all(trail.of(name).count(2) == 50 for name in MULES)
    assert trail.of("mule3").count(3) == trail.of("mule2").count(4) == 0
    assert master.statistics().done == trail.total() == 50 * (1 + 1 + 3 + 1 + 1)


async def test_active_workers_are_those_that_are_not_cheaped(tmp_path: Path) -> None:
    """A signal for the active workers leaves cheaped ones out for good; one for all workers waits for them."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "active-workers", journal.note)
    signals.register(2, "workers", journal.note)
    async with trisig.open_master(signals, workers=3) as master:
        await master.cheap(2)
        await signals.send(1)
        await signals.send(2)
        assert sorted(await journal.until(4)) == [("worker1", 1), ("worker1", 2), ("worker3", 1), ("worker3", 2)]
        await master.wake(2)
        assert (await journal.until(5))[4:] == [("worker2", 2)]
        await signals.send(1)
    assert sorted(journal.read()[5:]) == [("worker1", 1), ("worker2", 1), ("worker3", 1)]


async def test_with_every_worker_cheaped_nobody_is_active(tmp_path: Path) -> None:
    """With all workers cheaped a signal for the active ones goes to nobody, and one for any waits for a worker."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "active-workers", journal.note)
    signals.register(2, "worker", journal.note)
    async with trisig.open_master(signals, workers=2) as master:
        master.cheap_nowait(1)
        await master.cheap(2)
        await master.cheap(1)
        await signals.send(1)
        await signals.send(2)
        now = master.statistics()
        assert (now.accepted, now.queued) == (1, 1)
        await master.wake(1)
        assert await journal.until(1) == [("worker1", 2)]


async def test_hooks_and_services_run_in_exactly_their_processes(tmp_path: Path) -> None:
    """`on_start` and `service` run in each process that their target names, of a farm in all its members."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    fixed = {
        "workers": WORKERS,
        "active-workers": WORKERS,
        "worker2": {"worker2"},
        "mules": MULES,
        "mule3": {"mule3"},
        "farm_busy": BUSY,
        "farm2": LONE,
        "spoolers": SPOOLERS,
        "spooler1": {"spooler1"},
    }

    def declare(target: str) -> None:
        @signals.on_start(target)
        def hook() -> None:
            journal.note("hook", target)

        @signals.service(target)
        async def serve(task_status: trio.TaskStatus[None]) -> None:
            journal.note("service", target)
            task_status.started()
            await trio.sleep_forever()

    for target in fixed:
        declare(target)
    signals.on_start()(lambda: journal.note("hook", None))
    async with trisig.open_master(signals, farms=FARMS, **SIZES):
        notes = journal.read()
    for target, processes in fixed.items():
        for what in ("hook", "service"):
            assert sorted(name for name, *words in notes if words == [what, target]) == sorted(processes), target
    assert sorted(name for name, *words in notes if words == ["hook", None]) == sorted(WORKERS | MULES | SPOOLERS)


async def test_one_process_that_is_a_pool_of_its_own() -> None:
    """With a single worker, mule and spooler, "any" and "all" of them are that one, in the order of raising."""
    trail = Trail(1000)
    signals = trisig.Signals()
    targets = ("worker", "workers", "worker1", "active-workers", "", "worker0")
    for signum, target in enumerate(targets):
        signals.register(signum, target, trail.mark)
    async with trisig.open_master(signals, workers=1, mules=1, spoolers=1):
        for _ in range(100):
            for signum in range(len(targets)):
                await signals.send(signum)
    assert trail.of("worker1") == bytes(range(len(targets))) * 100
