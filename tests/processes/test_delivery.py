"""Every signal arrives, in order, and nobody waits behind somebody else."""

import time
from collections import Counter
from contextlib import ExitStack
from enum import IntEnum
from pathlib import Path

import pytest
import trio
import trio.testing
from witness import PATIENCE, Journal, Trail, eventually, pid_of, stopped, until_equal

import trisig

MANY = 100_000
# Neighbours differ and the cycle is no power of two, so a lost, doubled or swapped signal shows.
BURST = bytes(number % 251 for number in range(MANY))


def raise_all(signals: trisig.Signals, burst: bytes) -> None:
    """Raise signals in one go, without letting the master's loop run."""
    for signum in burst:
        signals.send_nowait(signum)


def application(trail: Trail, target: str) -> trisig.Signals:
    """Every number of the burst, handled by leaving it in the trail."""
    signals = trisig.Signals()
    for signum in sorted(set(BURST)):
        signals.register(signum, target, trail.mark)
    return signals


# All of them


async def test_a_burst_to_a_mule_arrives_whole_and_in_order() -> None:
    """100,000 signals raised in one go run in the mule, each once, in the order in which they were raised."""
    trail = Trail(MANY + 10)
    signals = application(trail, "mule")
    async with trisig.open_master(signals, workers=1, mules=1, grace=60) as master:
        raise_all(signals, BURST)
        assert master.statistics().accepted == MANY
    assert trail.of("mule1") == BURST
    assert trail.total() == master.statistics().done == MANY


async def test_a_burst_to_a_pool_of_two_arrives_whole() -> None:
    """100,000 for "any worker" of two run once each; both do their part, and a task of the master waits little."""
    trail = Trail(MANY + 10)
    signals = application(trail, "worker")
    longest = 0.0
    async with trisig.open_master(signals, workers=2, grace=60) as master:
        raise_all(signals, BURST)
        while trail.total() < MANY:
            before = time.thread_time()
            await trio.sleep(0.001)
            longest = max(longest, time.thread_time() - before)
    assert longest < 0.5  # of its CPU time
    ran = trail.of("worker1"), trail.of("worker2")
    assert Counter(ran[0]) + Counter(ran[1]) == Counter(BURST)
    assert min(map(len, ran)) > MANY // 20
    assert trail.total() == master.statistics().done == MANY
    assert master.statistics().redelivered < MANY


async def test_a_burst_to_all_workers_arrives_whole_and_in_order_at_each() -> None:
    """100,000 signals for all workers run once in each of them, in order."""
    trail = Trail(MANY + 10)
    signals = application(trail, "workers")
    async with trisig.open_master(signals, workers=2, grace=60) as master:
        raise_all(signals, BURST)
    assert trail.of("worker1") == trail.of("worker2") == BURST
    assert trail.total() == master.statistics().done == 2 * MANY


async def test_a_burst_from_a_child_arrives_whole_and_in_order(tmp_path: Path) -> None:
    """What a worker raises with `send` reaches a mule whole and in order, while another worker does the same."""
    trail, journal = Trail(MANY), Journal(tmp_path)
    signals = trisig.Signals()
    half = {"worker1": range(100), "worker2": range(100, 200)}
    for signum in range(200):
        signals.register(signum, "mule", trail.mark)

    @signals.service("workers")
    async def burst() -> None:
        for _ in range(100):
            for signum in half[trisig.current_process().name]:
                await signals.send(signum)
        journal.note("sent")
        await trio.sleep_forever()

    async with trisig.open_master(signals, workers=2, mules=1, grace=60) as master:
        await journal.until(2)
    ran = trail.of("mule1")
    assert bytes(signum for signum in ran if signum < 100) == bytes(half["worker1"]) * 100
    assert bytes(signum for signum in ran if signum >= 100) == bytes(half["worker2"]) * 100
    assert master.statistics().done == 20_000


class Number(IntEnum):
    """Signals with names."""

    ORDERED, PAID = 17, 18


async def test_numbers_may_have_names(tmp_path: Path) -> None:
    """Members of an `IntEnum` are numbers everywhere, in the master and in a child; a handler is told the plain one."""
    journal, signals = Journal(tmp_path), trisig.Signals()
    signals.add_rb_timer(Number.ORDERED, 0.01, iterations=1)

    @signals.handler(Number.ORDERED, target="worker1")
    async def ordered(signum: int) -> None:
        signals.register(Number.PAID, "worker1", lambda signum: journal.note(repr(signum)))
        journal.note(repr(signum), signals.is_registered(Number.PAID))
        signals.send_nowait(Number.PAID)
        await signals.send(Number.PAID)
        signals.unregister(Number.PAID)

    async with trisig.open_master(signals):
        assert await journal.until(3) == [("worker1", "17", True), ("worker1", "18"), ("worker1", "18")]
        signals.send_nowait(Number.PAID)
        assert await signals.wait(Number.PAID) == 18


async def test_handlers_that_raise_signals_do_not_lock_up() -> None:
    """A mule whose handlers raise signals for itself, sync and async, gets through all of them."""
    trail = Trail(40_000)
    signals = trisig.Signals()
    signals.register(3, "mule", trail.mark)

    @signals.handler(1, target="mule")
    def plain(signum: int) -> None:
        signals.send_nowait(3)

    @signals.handler(2, target="mule")
    async def patient(signum: int) -> None:
        await signals.send(3)

    async with trisig.open_master(signals, mules=1, grace=60):
        raise_all(signals, b"\x01\x02" * 5000)
    assert trail.of("mule1") == b"\x03" * 10_000


async def test_order_holds_between_different_handlers_of_one_process() -> None:
    """Plain and async handlers of one process run in the order in which their signals were raised."""
    trail = Trail(10_000)
    signals = trisig.Signals()
    signals.register(1, "mule1", trail.mark)
    signals.register(2, "mule", trail.mark)

    @signals.handler(3, target="mules")
    async def later(signum: int) -> None:
        await trio.lowlevel.checkpoint()
        trail.mark(signum)

    sent = bytes(1 + number * number % 7 % 3 for number in range(3000))
    async with trisig.open_master(signals, mules=1, grace=60):
        raise_all(signals, sent)
    assert trail.of("mule1") == sent


# Nobody waits behind the stuck


async def test_a_stopped_mule_delays_nobody_else() -> None:
    """20,000 signals for a stopped mule leave other mules and workers their way, and arrive when it goes on."""
    trail = Trail(50_000)
    signals = trisig.Signals()
    for signum, target in enumerate(("mule1", "mule2", "workers", "spooler")):
        signals.register(signum, target, trail.mark)
    async with trisig.open_master(signals, workers=2, mules=2, spoolers=1, grace=60) as master:
        with stopped(pid_of(master.processes, "mule1")):
            raise_all(signals, b"\0" * 20_000)
            raise_all(signals, b"\1\2\3" * 1000)
            await eventually(lambda: trail.total() == 4000)
            raise_all(signals, b"\0\1\2\3" * 1000)
            await eventually(lambda: trail.total() == 8000)
            assert trail.of("mule1") == b""
            now = master.statistics()
            assert now.processes["mule1"].queued + now.processes["mule1"].in_flight == 21_000
    assert trail.of("mule1") == b"\0" * 21_000
    assert master.statistics().done == 29_000


async def test_a_stopped_worker_holds_up_only_its_own_part_of_all_workers() -> None:
    """A signal for all workers runs in the others while one is stopped."""
    trail = Trail(5000)
    signals = trisig.Signals()
    signals.register(1, "workers", trail.mark)
    async with trisig.open_master(signals, workers=3) as master:
        with stopped(pid_of(master.processes, "worker2")):
            raise_all(signals, b"\1" * 5000)
            await eventually(lambda: trail.total() == 10_000)
            assert trail.of("worker2") == b""
    assert trail.of("worker2") == b"\1" * 5000


# First available


@pytest.mark.parametrize("before", [0, 1, 1000])
@pytest.mark.parametrize("kind", ["worker", "mule"])
async def test_fast_signals_pass_a_slow_one(kind: str, before: int, tmp_path: Path) -> None:
    """While one member of a pool is in a slow handler, the others run everything else, however fast it was before."""
    trail, journal = Trail(5000), Journal(tmp_path)
    signals = trisig.Signals()
    signals.register(1, kind, trail.mark)
    everything = before + 1000

    @signals.handler(2, target=kind)
    def slow(signum: int) -> None:
        """Ends only when all the others have run, so whatever waits behind it would wait for good."""
        give_up = time.monotonic() + PATIENCE
        while trail.total() < everything and time.monotonic() < give_up:
            time.sleep(0.001)
        journal.note(trail.total())

    async with trisig.open_master(signals, workers=2, mules=2, grace=60) as master:
        raise_all(signals, b"\1" * before + b"\2" + b"\1" * 1000)
    assert [words for _, words in journal.read()] == [everything]
    assert master.statistics().done == everything + 1


async def test_a_pool_of_three_with_two_slow_handlers_still_has_one_available() -> None:
    """Two of three workers are busy for long; the third runs 500 signals meanwhile."""
    trail = Trail(2000)
    signals = trisig.Signals()
    signals.register(1, "", trail.mark)

    @signals.handler(2, target="worker0")
    def slow(signum: int) -> None:
        trail.mark(signum)
        while trail.total() < 502:
            time.sleep(0.001)

    async with trisig.open_master(signals, workers=3) as master:
        raise_all(signals, b"\2\2")
        await until_equal(trail.total, 2)
        raise_all(signals, b"\1" * 500)
        with trio.fail_after(PATIENCE):
            await eventually(lambda: master.statistics().done == 502)
    assert sorted(len(trail.of(f"worker{number}")) for number in (1, 2, 3)) == [1, 1, 500]


async def test_a_busy_async_handler_is_not_available_either() -> None:
    """A member in an async handler takes no other signal of the pool while another one is free."""
    trail = Trail(2000)
    signals = trisig.Signals()
    signals.register(1, "worker", trail.mark)

    @signals.handler(2)
    async def slow(signum: int) -> None:
        trail.mark(signum)
        await eventually(lambda: trail.total() == 101)

    async with trisig.open_master(signals, workers=2):
        signals.send_nowait(2)
        await eventually(trail.total)
        raise_all(signals, b"\1" * 100)
    assert sorted([trail.of("worker1"), trail.of("worker2")]) == [b"\1" * 100, b"\2"]


async def test_every_member_is_available_when_all_are_needed() -> None:
    """As many slow signals as members run at the same time, one in each."""
    trail = Trail(100)
    signals = trisig.Signals()

    @signals.handler(1, target="mule")
    def together(signum: int) -> None:
        trail.mark(signum)
        while trail.total() % 4:
            time.sleep(0.001)

    async with trisig.open_master(signals, workers=0, mules=4) as master:
        for turn in range(1, 6):
            raise_all(signals, b"\1" * 4)
            await until_equal(lambda: master.statistics().done, turn * 4)
    assert [len(trail.of(f"mule{number}")) for number in (1, 2, 3, 4)] == [5] * 4


@pytest.mark.parametrize("busy_before", [0, 2000])
async def test_a_stopped_member_of_a_pool_is_not_available(busy_before: int) -> None:
    """Signals for "any worker" are all run by the others while one is stopped, one that was idle or fast before."""
    trail = Trail(5000)
    signals = trisig.Signals()
    signals.register(1, "worker", trail.mark)
    async with trisig.open_master(signals, workers=2) as master:
        raise_all(signals, b"\1" * busy_before)
        await eventually(lambda: master.statistics().done == busy_before)
        for name in ("worker1", "worker2"):
            done = trail.total()
            with stopped(pid_of(master.processes, name)):
                for _ in range(30):
                    await signals.send(1)
                    await trio.sleep(0.001)
                raise_all(signals, b"\1" * 300)
                await until_equal(trail.total, done + 330)
    assert trail.total() == master.statistics().done == busy_before + 660


async def test_a_lone_signal_is_not_given_to_a_stopped_member_for_long() -> None:
    """One single signal for a pool of two with one stopped runs in the other, whoever's turn it was."""
    trail = Trail(100)
    signals = trisig.Signals()
    signals.register(1, "worker", trail.mark)
    async with trisig.open_master(signals, workers=2) as master:
        for name in ("worker1", "worker2") * 4:
            done = trail.total()
            with stopped(pid_of(master.processes, name)):
                await signals.send(1)
                await until_equal(trail.total, done + 1)


async def test_what_a_stopped_member_had_been_given_is_run_once() -> None:
    """After it goes on, a stopped member runs nothing that another has run for it."""
    trail = Trail(50_000)
    signals = trisig.Signals()
    for signum in range(250):
        signals.register(signum, "worker", trail.mark)
    sent = bytes(range(250)) * 8
    async with trisig.open_master(signals, workers=3, grace=60) as master:
        for _ in range(5):
            raise_all(signals, sent)
            for name in ("worker1", "worker3"):
                with stopped(pid_of(master.processes, name)):
                    await trio.sleep(0.01)
    assert Counter(b"".join(trail.of(f"worker{number}") for number in (1, 2, 3))) == dict.fromkeys(range(250), 40)


# Full queues


async def test_a_full_queue_raises_would_block_in_the_master() -> None:
    """With `max_queued` signals pending, `send_nowait` raises WouldBlock and nothing more is accepted."""
    trail = Trail(100)
    signals = trisig.Signals()
    signals.register(1, "mule", trail.mark)
    async with trisig.open_master(signals, mules=1, max_queued=10) as master:
        with stopped(pid_of(master.processes, "mule1")):
            raise_all(signals, b"\1" * 10)
            for _ in range(3):
                with pytest.raises(trio.WouldBlock):
                    signals.send_nowait(1)
            assert master.statistics().accepted == 10
        with trio.fail_after(PATIENCE):
            await signals.send(1)
        signals.send_nowait(1)
    assert trail.total() == 12


async def test_a_full_queue_makes_send_wait_in_the_master() -> None:
    """`send` waits while the queue is full, goes on when there is room, and raises nothing if it is cancelled."""
    trail = Trail(1000)
    signals = trisig.Signals()
    signals.register(1, "mule", trail.mark)
    async with trisig.open_master(signals, mules=1, max_queued=10) as master:
        with ExitStack() as held:
            held.enter_context(stopped(pid_of(master.processes, "mule1")))
            raise_all(signals, b"\1" * 10)
            with trio.move_on_after(0.05) as scope:
                await signals.send(1)
            assert scope.cancelled_caught
            assert master.statistics().accepted == 10
            async with trio.open_nursery() as nursery:
                for _ in range(100):
                    nursery.start_soon(signals.send, 1)
                await trio.testing.wait_all_tasks_blocked()
                assert master.statistics().accepted == 10
                held.close()
    assert trail.total() == master.statistics().done == 110


async def test_a_full_queue_reaches_the_children(tmp_path: Path) -> None:
    """In a child `send_nowait` raises WouldBlock and `send` waits while the master's queue is full; nothing is lost."""
    trail, journal = Trail(500_000), Journal(tmp_path)
    signals = trisig.Signals()
    signals.register(1, "mule", trail.mark)

    @signals.service("worker1")
    async def fill() -> None:
        assert await signals.wait() == 7  # the mule is stopped
        sent = 0
        try:
            while True:
                signals.send_nowait(1)
                sent += 1
        except trio.WouldBlock:
            journal.note("full", sent)
        await signals.send(1)
        journal.note("room")
        await trio.sleep_forever()

    async with trisig.open_master(signals, workers=1, mules=1, max_queued=10, grace=60) as master:
        with stopped(pid_of(master.processes, "mule1")):
            await signals.send(7)
            [(_, full, sent)] = await journal.until(1)
            assert full == "full"
            assert sent >= 9
            await trio.sleep(0.1)
            assert len(journal.read()) == 1
            with pytest.raises(trio.WouldBlock):
                signals.send_nowait(1)
        assert (await journal.until(2))[1] == ("worker1", "room")
    assert trail.total() == sent + 1
    assert master.statistics().done == sent + 2


async def test_a_thread_of_the_master_meets_the_full_queue_too() -> None:
    """`send_nowait` in a thread raises WouldBlock when the queue is full, and what it raised before is delivered."""
    trail = Trail(500_000)
    signals = trisig.Signals()
    signals.register(1, "mule", trail.mark)

    def fill() -> int:
        sent = 0
        try:
            while True:
                signals.send_nowait(1)
                sent += 1
        except trio.WouldBlock:
            return sent

    async with trisig.open_master(signals, mules=1, max_queued=10, grace=60) as master:
        with stopped(pid_of(master.processes, "mule1")):
            sent = await trio.to_thread.run_sync(fill)
    assert trail.total() == sent >= 10
