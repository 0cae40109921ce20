"""`wait`: unregistered signals are kept for whoever waits first, and any signal can be waited for by its number."""

import os
import signal
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
import trio
import trio.testing
from witness import PATIENCE, Journal, Trail, eventually, pid_of, stopped, until_equal

import trisig

# Unregistered signals


async def test_unregistered_signals_are_kept_in_order_until_somebody_waits() -> None:
    """Signals without a handler stay in the master; `wait` returns them one by one, in order."""
    signals = trisig.Signals()
    async with trisig.open_master(signals) as master:
        sent = [7, 200, 7, 0, 255]
        for signum in sent:
            await signals.send(signum)
        assert master.statistics().queued == 5
        with trio.fail_after(PATIENCE):
            for signum in sent:
                assert await signals.wait() == signum
        end = master.statistics()
        assert (end.accepted, end.done, end.queued, end.in_flight, end.waiting) == (5, 5, 0, 0, 0)


async def test_a_service_gets_what_was_raised_before_it_waited(tmp_path: Path) -> None:
    """A service that waits in a loop gets all unregistered signals, those of before it waited too, in order."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.service("mule1")
    async def follow() -> None:
        while True:
            journal.note(await signals.wait())

    async with trisig.open_master(signals, mules=1) as master:
        for signum in range(200):
            signals.send_nowait(signum)
        assert [signum for _, signum in await journal.until(200)] == [*range(200)]
        await eventually(lambda: master.statistics().done == 200)
        assert master.statistics().processes["mule1"].done == 0  # no handler ran


async def test_whoever_waits_first_gets_the_first(tmp_path: Path) -> None:
    """Processes and the master that wait are served in the order in which they began to wait."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    async def wait_once(signum: int) -> None:
        journal.note(await signals.wait())

    for signum, target in ((1, "worker2"), (2, "mule1"), (3, "worker1")):
        signals.register(signum, target, wait_once)
    async with trisig.open_master(signals, workers=2, mules=1) as master:
        for waiting, signum in enumerate((1, 2, 3), 1):
            await signals.send(signum)
            await until_equal(lambda: master.statistics().waiting, waiting)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_once, 0)
            await trio.testing.wait_all_tasks_blocked()
            for signum in (101, 102, 103, 104):
                await signals.send(signum)
    assert sorted(journal.read()) == [("master", 104), ("mule1", 102), ("worker1", 103), ("worker2", 101)]


async def test_many_tasks_of_one_process_wait_at_once(tmp_path: Path) -> None:
    """100 tasks of one service wait at the same time, each gets one signal, the first one first."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    async def one(number: int) -> None:
        journal.note(number, await signals.wait())

    @signals.service("worker1")
    async def many() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(one, number)

    async with trisig.open_master(signals) as master:
        await eventually(lambda: master.statistics().waiting == 100)
        for signum in range(100, 200):
            signals.send_nowait(signum)
        notes = await journal.until(100)
    assert sorted(number for _, number, _ in notes) == [*range(100)]
    assert sorted(signum for _, _, signum in notes) == [*range(100, 200)]


async def test_many_waiters_in_many_processes_share_without_loss() -> None:
    """Three processes with ten waiting tasks each take 1,000 signals, each exactly once."""
    trail = Trail(5000)
    signals = trisig.Signals()

    async def follow() -> None:
        while True:
            trail.mark(await signals.wait())

    @signals.service("workers")
    async def ten() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(follow)

    async with trisig.open_master(signals, workers=3) as master:
        for _ in range(4):
            for signum in range(250):
                await signals.send(signum)
        await eventually(lambda: master.statistics().done == 1000)
    together = b"".join(trail.of(f"worker{number}") for number in (1, 2, 3))
    assert sorted(together) == sorted(bytes(range(250)) * 4)


async def test_wait_inside_a_handler_lets_others_run(tmp_path: Path) -> None:
    """A handler that waits does not hold up its process: the handler of what it waits for runs meanwhile."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1)
    async def ask(signum: int) -> None:
        journal.note("asks")
        journal.note("got", await signals.wait(2), await signals.wait())

    @signals.handler(2)
    def answer(signum: int) -> None:
        journal.note("answers")

    async with trisig.open_master(signals) as master:
        await signals.send(1)
        await journal.until(1)
        await signals.send(2)
        await journal.until(2)
        await signals.send(77)
    assert [tuple(words) for _, *words in journal.read()] == [("asks",), ("answers",), ("got", 2, 77)]
    assert master.statistics().done == 3


async def test_many_handlers_of_one_process_wait_at_once(tmp_path: Path) -> None:
    """50 handlers of one process with one core wait at the same time, and each gets its signal."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1)
    async def ask(signum: int) -> None:
        journal.note(await signals.wait())

    async with trisig.open_master(signals) as master:
        for _ in range(50):
            await signals.send(1)
        await eventually(lambda: master.statistics().waiting == 50)
        for signum in range(100, 150):
            await signals.send(signum)
    assert sorted(signum for _, signum in journal.read()) == [*range(100, 150)]
    assert master.statistics().done == 100


async def test_a_pool_goes_on_while_a_member_that_waited_goes_on(tmp_path: Path) -> None:
    """A worker whose handler lent its core and took it back is not taken for idle: the other one gets the signals."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    async def busy(signum: int) -> None:
        await signals.wait(77)
        journal.note("has waited")
        await signals.wait(78)

    @signals.handler(3, target="worker1")
    async def holds_the_core(signum: int) -> None:
        journal.note("holds")
        await trio.sleep_forever()

    signals.register(2, "worker", lambda signum: journal.note("pool"))
    async with trisig.open_master(signals, workers=2, grace=0.1) as master:
        await signals.send(1)
        await eventually(lambda: master.statistics().waiting == 1)
        await signals.send(3)
        await signals.send(77)
        await eventually(lambda: ["worker1", "holds"] in [list(note) for note in journal.read()])
        master.statistics()
        with trio.fail_after(PATIENCE):
            for _ in range(20):
                await signals.send(2)
            await eventually(lambda: sum(note[1] == "pool" for note in journal.read()) == 20)
    assert {note[0] for note in journal.read() if note[1] == "pool"} == {"worker2"}


# By number


async def test_several_tasks_of_one_handler_wait_at_once(tmp_path: Path) -> None:
    """A handler that waits in tasks of its own lends its core too: what they wait for is handled in its process."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    async def gather(signum: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signals.wait, 2)
            nursery.start_soon(signals.wait, 3)
            nursery.start_soon(signals.send, 2)
            nursery.start_soon(signals.send, 3)
        journal.note(signum)

    for signum in (2, 3):
        signals.register(signum, "worker1", journal.note)
    async with trisig.open_master(signals) as master:
        await signals.send(1)
        notes = await journal.until(3)
        await signals.send(2)  # the core has been taken back, and is free again
        await eventually(lambda: master.statistics().done == 4)
    assert notes[-1] == ("worker1", 1)
    assert {words[1] for words in notes} == {1, 2, 3}


@pytest.mark.parametrize("cores", [1, 2])
async def test_a_handler_that_gives_up_waiting_goes_on_only_with_its_core(cores: int, tmp_path: Path) -> None:
    """After a `wait` that was cancelled, too, no more handlers run at a time than there are cores."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    inside, most = 0, 0

    async def alone(signum: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await trio.sleep(0.02)
        inside -= 1
        journal.note(signum, most)

    @signals.handler(1, target="worker1")
    async def impatient(signum: int) -> None:
        with trio.move_on_after(0.01):
            await signals.wait(50)
        await alone(signum)

    signals.register(2, "worker1", alone)
    async with trisig.open_master(signals, cores=cores):
        for _ in range(10):
            await signals.send(1)
            await signals.send(2)
        notes = await journal.until(20)
    assert max(most for _, _, most in notes) == cores


async def test_waiting_for_an_unregistered_number_leaves_the_others(tmp_path: Path) -> None:
    """`wait(n)` takes the first n that is kept and leaves what stands before and behind it in order."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1)
    async def pick(signum: int) -> None:
        journal.note([await signals.wait(9), await signals.wait(9), await signals.wait(8)])
        journal.note([await signals.wait() for _ in range(3)])

    async with trisig.open_master(signals):
        for number in (8, 7, 9, 7, 9, 6):
            await signals.send(number)
        await signals.send(1)
    assert [words for _, words in journal.read()] == [[9, 9, 8], [7, 7, 6]]


async def test_waiting_for_a_number_that_comes_later(tmp_path: Path) -> None:
    """`wait(n)` sleeps through other signals until n is raised; two that wait for it get one each."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.service("workers")
    async def follow() -> None:
        journal.note(await signals.wait(9))

    async with trisig.open_master(signals, workers=2) as master:
        await eventually(lambda: master.statistics().waiting == 2)
        await signals.send(8)
        await signals.send(9)
        assert len(await journal.until(1)) == 1
        await signals.send(9)
        assert sorted(await journal.until(2)) == [("worker1", 9), ("worker2", 9)]
        assert master.statistics().queued == 1


async def test_waiting_for_a_registered_number_returns_after_its_handler(tmp_path: Path) -> None:
    """`wait(n)` of a registered signal returns after its handler ran in this process, plain or async."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="workers")
    def plain(signum: int) -> None:
        journal.note("handler", signum)

    @signals.handler(2, target="workers")
    async def patient(signum: int) -> None:
        await trio.sleep(0.02)
        journal.note("handler", signum)

    @signals.service("worker1")
    async def follow() -> None:
        while True:
            for signum in (1, 2):
                journal.note("wait", await signals.wait(signum))

    async with trisig.open_master(signals, workers=2) as master:
        await eventually(lambda: master.statistics().waiting == 1)
        await signals.send(1)
        await eventually(lambda: ("worker1", "wait", 1) in journal.read())
        await eventually(lambda: master.statistics().waiting == 1)
        await signals.send(2)
        await eventually(lambda: ("worker1", "wait", 2) in journal.read())
    notes = journal.read()
    mine = [words for name, *words in notes if name == "worker1"]
    assert mine == [["handler", 1], ["wait", 1], ["handler", 2], ["wait", 2]]
    assert [words for name, *words in notes if name == "worker2"] == [["handler", 1], ["handler", 2]]


async def test_waiting_here_for_what_runs_elsewhere_goes_on(tmp_path: Path) -> None:
    """`wait(n)` of a registered signal that only other processes run does not return, and takes nothing from them."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "worker2", journal.note)
    signals.register(2, "worker1", journal.note)

    @signals.service("worker1")
    async def follow() -> None:
        journal.note("wrong", await signals.wait(1))

    async with trisig.open_master(signals, workers=2) as master:
        await eventually(lambda: master.statistics().waiting == 1)
        await signals.send(1)
        assert await journal.until(1) == [("worker2", 1)]
        await signals.send(2)  # what worker1 hears of signal 1 it has heard before this
        assert await journal.until(2) == [("worker2", 1), ("worker1", 2)]
        assert master.statistics().waiting == 1


async def test_a_handler_that_fails_counts_as_run_for_whoever_waits(tmp_path: Path) -> None:
    """`wait(n)` returns after a handler that raised, too: the signal has reached the process."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1)
    def fail(signum: int) -> None:
        raise LookupError

    @signals.service("worker1")
    async def follow() -> None:
        for _ in range(2):
            journal.note(await signals.wait(1))

    async with trisig.open_master(signals) as master:
        for waits in (1, 2):
            await eventually(lambda: master.statistics().waiting == 1)
            await signals.send(1)
            await journal.until(waits)


async def test_several_tasks_wait_for_one_registered_number(tmp_path: Path) -> None:
    """Every task that waits for a registered number returns when its handler has run once."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "worker", lambda signum: None)

    async def follow() -> None:
        journal.note(await signals.wait(1))

    @signals.service("worker1")
    async def five() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(follow)

    async with trisig.open_master(signals) as master:
        await eventually(lambda: master.statistics().waiting == 5)
        await signals.send(1)
        assert await journal.until(5) == [("worker1", 1)] * 5


# Nothing is lost


async def test_a_cancelled_wait_loses_nothing() -> None:
    """Waits that are cancelled at all moments, in a child, hand what they were granted to the next one, in order."""
    trail = Trail(5000)
    signals = trisig.Signals()

    @signals.service("worker1")
    async def impatient() -> None:
        for turn in count():
            with trio.move_on_after(turn % 40 * 0.0001):
                while True:
                    trail.mark(await signals.wait())
            if turn % 4 == 3:  # on a busy machine no signal may ever come in time
                trail.mark(await signals.wait())

    async with trisig.open_master(signals) as master:
        for signum in range(100):
            await signals.send(signum)
        await eventually(lambda: master.statistics().done == 100)
    assert trail.of("worker1") == bytes(range(100))


async def test_a_wait_cancelled_in_the_master_loses_nothing() -> None:
    """A wait of the master that is cancelled right when its signal comes leaves the signal to the next wait."""
    signals = trisig.Signals()
    got = []
    async with trisig.open_master(signals) as master:
        for signum in range(100):
            async with trio.open_nursery() as nursery:

                async def one() -> None:
                    got.append(await signals.wait())

                nursery.start_soon(one)
                await trio.testing.wait_all_tasks_blocked()
                signals.send_nowait(signum)
                nursery.cancel_scope.cancel()
        end = master.statistics()
        assert len(got) == end.done
        assert end.queued == 100 - end.done
        with trio.fail_after(PATIENCE):
            for _ in range(end.queued):
                got.append(await signals.wait())  # noqa: PERF401  a cancelled comprehension would keep nothing
        assert got == [*range(100)]


async def test_a_process_killed_with_a_grant_loses_nothing() -> None:
    """A signal that was granted to a process which died before it took it goes to the next one that waits."""
    signals = trisig.Signals()

    @signals.service("worker1")
    async def follow() -> None:
        await signals.wait()
        await trio.sleep_forever()

    async with trisig.open_master(signals, workers=1) as master:
        for turn in range(3):
            await eventually(lambda: master.statistics().waiting == 1)
            pid = pid_of(master.processes, "worker1")
            with ExitStack() as held:
                held.enter_context(stopped(pid))
                signals.send_nowait(turn)  # granted, and it can't take it
                assert master.statistics().in_flight == 1
                master.cheap_nowait(1)
                os.kill(pid, signal.SIGKILL)
            await master.cheap(1)
            assert master.statistics().queued == 1
            with trio.fail_after(PATIENCE):
                assert await signals.wait() == turn
            await master.wake(1)
        end = master.statistics()
        assert (end.accepted, end.done, end.dead_lettered) == (3, 3, 0)


async def test_those_behind_a_dead_process_move_up(tmp_path: Path) -> None:
    """A process that dies while it waits does not keep its place: the next one gets the signal."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    async def ask(signum: int) -> None:
        journal.note(await signals.wait())

    signals.register(1, "worker1", ask)
    signals.register(2, "worker2", ask)
    async with trisig.open_master(signals, workers=2, max_attempts=1) as master:
        for waiting, signum in enumerate((1, 2), 1):
            await signals.send(signum)
            await until_equal(lambda: master.statistics().waiting, waiting)
        os.kill(pid_of(master.processes, "worker1"), signal.SIGKILL)
        await eventually(lambda: master.statistics().waiting == 1)
        await signals.send(99)
        assert await journal.until(1) == [("worker2", 99)]
    assert master.statistics().dead_lettered == 1  # the handler of worker1


async def test_wait_in_the_master_for_a_number() -> None:
    """The master waits like any process: for a number, for any, in several tasks at once."""
    signals = trisig.Signals()
    got = []

    async def one(signum: int | None) -> None:
        got.append((signum, await signals.wait(signum)))

    async with trisig.open_master(signals) as master:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, 5)
            nursery.start_soon(one, 6)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(one, None)
            await trio.testing.wait_all_tasks_blocked()
            assert master.statistics().waiting == 3
            for signum in (6, 7, 5):
                await signals.send(signum)
    assert sorted(got, key=repr) == [(5, 5), (6, 6), (None, 7)]


async def test_what_nobody_waited_for_is_in_the_report_at_the_end() -> None:
    """Unregistered signals that nobody took are counted as queued when the master has closed, at once."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, grace=600) as master:
        for _ in range(3):
            await signals.send(9)
        leaves = trio.current_time()
    assert trio.current_time() - leaves < PATIENCE
    assert (master.statistics().queued, master.statistics().done) == (3, 0)


async def test_waiting_makes_room_in_a_full_queue() -> None:
    """A queue that is full of unregistered signals has room again when they were taken by `wait`."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, max_queued=8) as master:
        for _ in range(8):
            signals.send_nowait(9)
        with pytest.raises(trio.WouldBlock):
            signals.send_nowait(9)
        with trio.fail_after(PATIENCE):
            for _ in range(3):
                await signals.wait()
            await signals.send(9)
        assert master.statistics().queued == 6


async def test_what_a_wait_just_took_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Leaving while tasks of a child are being granted signals takes no longer than that takes."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1)
    async def ask(signum: int) -> None:
        journal.note(await signals.wait())

    async with trisig.open_master(signals, workers=2, grace=600) as master:
        for _ in range(20):
            await signals.send(1)
        await eventually(lambda: master.statistics().waiting == 20)
        for signum in range(100, 120):
            signals.send_nowait(signum)
        leaves = trio.current_time()
    assert trio.current_time() - leaves < PATIENCE
    assert sorted(signum for _, signum in journal.read()) == [*range(100, 120)]


async def test_a_process_that_leaves_gets_what_its_handlers_wait_for(tmp_path: Path) -> None:
    """Signals and locks still reach it, so none of its handlers is cut off."""
    signals, journal, go = trisig.Signals(), Journal(tmp_path), tmp_path / "go"

    @signals.handler(1, target="mule1")
    async def hold(signum: int) -> None:
        async with signals.lock("one"):
            journal.note("holds")
            await eventually(go.exists)

    @signals.handler(2, target="worker1")
    async def want_lock(signum: int) -> None:
        journal.note("begins", os.getpid())
        async with signals.lock("one"):
            journal.note("locked", os.getpid())

    @signals.handler(3, target="worker1")
    async def want_signal(signum: int) -> None:
        journal.note("begins", os.getpid())
        assert await signals.wait(200) == 200
        journal.note("woken", os.getpid())

    async with trisig.open_master(signals, workers=1, mules=1, cores=2, grace=30) as master:
        await signals.send(1)
        await journal.until(1)
        await signals.send(2)
        await signals.send(3)
        await journal.until(3)
        await eventually(lambda: master.statistics().waiting == 1)
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(master.cheap, 1)
                await trio.testing.wait_all_tasks_blocked()  # the order to leave is on its way
                go.touch()
                await signals.send(200)
    _, *notes = (note[1:] for note in journal.read())
    (worker,) = {pid for _, pid in notes}
    assert sorted(word for word, _ in notes) == ["begins", "begins", "locked", "woken"]
    assert worker != os.getpid()


async def test_registering_a_number_leaves_what_was_kept_before_to_wait() -> None:
    """Signals that were kept before their number was registered are still for `wait`, later ones for the handler."""
    signals = trisig.Signals()
    async with trisig.open_master(signals) as master:
        await signals.send(9)
        signals.register(9, "worker", lambda signum: None)
        await signals.send(9)
        await eventually(lambda: master.statistics().processes["worker1"].done == 1)
        with trio.fail_after(PATIENCE):
            assert await signals.wait() == 9


@pytest.mark.parametrize("target", ["worker1", "mule1"])
async def test_a_wait_is_over_when_its_process_leaves(target: str) -> None:
    """Tasks that wait do not hold up the shutdown, and nothing is waiting any more afterwards."""
    signals = trisig.Signals()

    @signals.service(target)
    async def follow() -> None:
        await signals.wait()

    async with trisig.open_master(signals, mules=1, grace=600) as master:
        await eventually(lambda: master.statistics().waiting == 1)
        leaves = trio.current_time()
    assert trio.current_time() - leaves < PATIENCE
    assert master.statistics().waiting == 0
