"""`call`: the result of a task, what it raised, and what deaths and cancellations do to both."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio
from witness import PATIENCE, Journal, eventually, words

import trisig


class OutOfStockError(Exception):
    """An error of the application."""

    def __init__(self, article: str, left: int) -> None:
        super().__init__(article, left)
        self.article, self.left = article, left


class StubbornError(Exception):
    """Cannot be made of what `args` holds."""

    def __init__(self) -> None:
        super().__init__("made", "of", "nothing")


async def test_a_call_returns_the_result() -> None:
    """Of a plain function and of an async one, of any size, called in the master and in a child."""
    signals = trisig.Signals()

    @signals.task("worker")
    def repeat(word: bytes, times: int) -> bytes:
        return word * times

    @signals.task("mule")
    async def both(word: bytes) -> list[int]:
        await trio.lowlevel.checkpoint()
        return [len(await repeat.call(word, times)) for times in (1, 5000, 3_000_000)]

    async with trisig.open_master(signals, workers=2, mules=1) as master:
        with trio.fail_after(PATIENCE):
            assert await repeat.call(b"ab", times=2) == b"abab"
            assert await repeat.call(b"x" * 2_000_000, 2) == b"x" * 4_000_000
            assert await both.call(b"a") == [1, 5000, 3_000_000]
        assert await eventually(lambda: master.statistics().done == master.statistics().accepted)


async def test_a_call_of_all_returns_a_list_in_process_order() -> None:
    """Of `workers` the first element is from worker1, however long it takes; of none it is empty."""
    signals = trisig.Signals()

    @signals.task("active-workers")
    async def who() -> int:
        number = trisig.current_process().number
        await trio.sleep(0.05 / number)
        return number

    async with trisig.open_master(signals, workers=3) as master:
        with trio.fail_after(PATIENCE):
            assert await who.call() == [1, 2, 3]
            await master.cheap(2)
            assert await who.call() == [1, 3]
            await master.cheap(1)
            await master.cheap(3)
            assert await who.call() == []


async def test_a_call_raises_what_the_task_raised() -> None:
    """The same class with the same arguments, with the traceback over there as a note."""
    signals = trisig.Signals()

    @signals.task("worker")
    def buy(article: str) -> None:
        raise OutOfStockError(article, 3)

    @signals.task("worker")
    async def sleepy() -> None:
        await trio.lowlevel.checkpoint()
        raise KeyError("nobody")

    async with trisig.open_master(signals):
        with trio.fail_after(PATIENCE):
            with pytest.raises(OutOfStockError) as caught:
                await buy.call("tea")
            with pytest.raises(KeyError, match="nobody"):
                await sleepy.call()
    assert (caught.value.article, caught.value.left) == ("tea", 3)
    assert "in buy\n    raise OutOfStockError(article, 3)" in caught.value.__notes__[0]


async def test_what_cannot_be_raised_here_is_a_task_error() -> None:
    """A class that is unknown here, or that cannot be made again: TaskError with its name, its text, its traceback."""
    signals = trisig.Signals()

    @signals.task("worker")
    def stubborn() -> None:
        raise StubbornError

    @signals.task("worker")
    def unknown() -> None:
        class LocalError(Exception):
            pass

        raise LocalError("here only")

    @signals.task("worker")
    def odd() -> None:
        raise ValueError(object(), "\ud800")

    async with trisig.open_master(signals):
        with trio.fail_after(PATIENCE):
            for task, name, text in (
                (stubborn, "StubbornError", "nothing"),
                (unknown, "LocalError", "here only"),
                (odd, "ValueError", "object"),
            ):
                with pytest.raises(trisig.TaskError, match=text) as caught:
                    await task.call()
                assert caught.value.error.endswith(name)
                assert "Traceback (most recent call last)" in caught.value.traceback


async def test_a_result_that_cannot_travel_is_the_callers_error() -> None:
    """TypeError, and the task counts as failed."""
    signals = trisig.Signals()

    @signals.task("worker")
    def thing() -> object:
        return object()

    async with trisig.open_master(signals) as master:
        with pytest.raises(TypeError, match="its result cannot travel"):
            await thing.call()
        assert await eventually(lambda: master.statistics().failed) == 1


async def test_the_death_of_the_worker_repeats_the_task() -> None:
    """The caller does not notice: it gets the result of the second run, in the master and in a child."""
    signals, runs = trisig.Signals(), words()

    @signals.task("worker")
    def shaky(number: int) -> int:
        runs[number] += 1
        if runs[number] == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return runs[number]

    @signals.task("mule")
    async def there() -> int:
        return await shaky.call(2)

    async with trisig.open_master(signals, workers=2, mules=1):
        with trio.fail_after(PATIENCE):
            assert await shaky.call(1) == 2
            assert await there.call() == 2


async def test_a_call_of_what_is_given_up_fails() -> None:
    """ChildFailedError says which task it was and how often it was tried."""
    signals = trisig.Signals()

    @signals.task("mule")
    def poison() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async with trisig.open_master(signals, mules=1, max_attempts=2):
        with trio.fail_after(PATIENCE), pytest.raises(trisig.ChildFailedError, match="ended its process 2 times"):
            await poison.call()


async def test_a_cancelled_call_leaves_the_task_alone(tmp_path: Path) -> None:
    """The result is given up and the task goes on; the next call of the process gets its own result."""
    journal, signals, go = Journal(tmp_path), trisig.Signals(), words()

    @signals.task("worker")
    async def slow(number: int) -> int:
        journal.note("begin", number)
        await eventually(lambda: go[0])
        journal.note("end", number)
        return number

    async with trisig.open_master(signals) as master:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow.call, 1)
            await journal.until(1)
            nursery.cancel_scope.cancel()
        go[0] = 1
        with trio.fail_after(PATIENCE):
            assert await slow.call(2) == 2
        await eventually(lambda: master.statistics().done == 2)  # the answer comes before the mark
    assert [note[1:] for note in journal.read()] == [("begin", 1), ("end", 1), ("begin", 2), ("end", 2)]


async def test_the_death_of_the_caller_loses_only_the_answer(tmp_path: Path) -> None:
    """The task that it called runs once; the one in which it called runs again, and calls again."""
    journal, signals, died = Journal(tmp_path), trisig.Signals(), words()

    @signals.task("worker")
    def inner(number: int) -> int:
        journal.note("inner", number)
        return number

    @signals.task("mule")
    async def outer() -> int:
        if not died[0]:
            died[0] = 1
            async with trio.open_nursery() as nursery:
                nursery.start_soon(inner.call, 1)
                await journal.until(1)
                os.kill(os.getpid(), signal.SIGKILL)
        return await inner.call(2)

    async with trisig.open_master(signals, mules=1):
        with trio.fail_after(PATIENCE):
            assert await outer.call() == 2
    assert [note[1:] for note in journal.read()] == [("inner", 1), ("inner", 2)]


async def test_a_task_may_call_one_of_its_own_process() -> None:
    """A task that waits for another lends its core, so this does not lock up with one core, however deep."""
    signals = trisig.Signals()

    @signals.task("mule")
    async def factorial(number: int) -> int:
        return number * await factorial.call(number - 1) if number else 1

    async with trisig.open_master(signals, mules=1):
        with trio.fail_after(PATIENCE):
            assert await factorial.call(6) == 720


async def test_many_calls_at_a_time_get_their_own_results() -> None:
    """Also of several processes, and with results of very different sizes."""
    signals, results = trisig.Signals(), dict[int, int]()

    @signals.task("worker")
    async def make(number: int) -> bytes:
        await trio.lowlevel.checkpoint()
        return bytes(number * 1000)

    async def call(number: int) -> None:
        results[number] = len(await make.call(number))

    async with trisig.open_master(signals, workers=2, cores=4):
        with trio.fail_after(PATIENCE):
            async with trio.open_nursery() as nursery:
                for number in range(200):
                    nursery.start_soon(call, number)
    assert results == {number: number * 1000 for number in range(200)}


async def test_a_call_ends_with_its_master() -> None:
    """Whoever still waits when the master has ended gets NoMasterError."""
    signals = trisig.Signals()

    @signals.task("mule")
    async def hang() -> None:
        await trio.sleep_forever()

    async def call() -> None:
        with pytest.raises(trisig.NoMasterError):
            await hang.call()

    async with trio.open_nursery() as nursery:
        async with trisig.open_master(signals, mules=1, grace=0.1) as master:
            nursery.start_soon(call)
            await eventually(lambda: master.statistics().processes["mule1"].running_tasks)


async def test_a_late_call_returns_when_the_task_has_run() -> None:
    """`configure(delay=...).call()` waits for the time and for the result."""
    signals = trisig.Signals()

    @signals.task("workers")
    def who() -> str:
        return trisig.current_process().name

    async with trisig.open_master(signals, workers=2):
        begin = trio.current_time()
        with trio.fail_after(PATIENCE):
            assert await who.configure(delay=0.2).call() == ["worker1", "worker2"]
        assert trio.current_time() - begin >= 0.2


async def test_a_thread_calls_through_trio() -> None:
    """`trio.from_thread.run(task.call)` works in a thread; a trio.run of its own there could not be woken."""
    signals = trisig.Signals()

    @signals.task("worker")
    def double(number: int) -> int:
        return 2 * number

    async with trisig.open_master(signals):
        with trio.fail_after(PATIENCE):
            assert await trio.to_thread.run_sync(lambda: trio.from_thread.run(double.call, 4)) == 8
            with pytest.raises(RuntimeError, match="from_thread"):
                await trio.to_thread.run_sync(trio.run, double.call, 4)
