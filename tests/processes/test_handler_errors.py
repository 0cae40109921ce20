"""What a handler raises: its own failure, unless it means to end its process."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from witness import Journal, Trail, eventually, logging_to, words

import trisig


class Odd(BaseException):
    """What a library may raise past every `except Exception`."""


NO_EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "asyncio.CancelledError": asyncio.CancelledError,
    "GeneratorExit": GeneratorExit,
    "of a library": Odd,
    "in a group": lambda: BaseExceptionGroup("several", [asyncio.CancelledError(), ValueError()]),
}


@pytest.mark.parametrize("kind", ["plain", "async"])
@pytest.mark.parametrize("make", NO_EXCEPTIONS.values(), ids=NO_EXCEPTIONS)
async def test_whatever_a_handler_raises_is_its_own_failure(
    make: Callable[[], BaseException], kind: str, tmp_path: Path
) -> None:
    """It is logged with its traceback and counted once as failed; the process goes on, and so does its neighbour."""
    signals, journal, trail = trisig.Signals(), Journal(tmp_path), Trail(10)

    def fail(_signum: int) -> None:
        raise make()

    async def fail_later(_signum: int) -> None:
        await trio.lowlevel.checkpoint()
        raise make()

    @signals.handler(2, target="worker1")
    async def neighbour(signum: int) -> None:
        trail.mark(signum)
        while trail.total() < 2:  # noqa: ASYNC110  until the handler of signal 3 has run in this process
            await trio.sleep(0.001)

    signals.register(1, "worker1", fail if kind == "plain" else fail_later)
    signals.register(3, "worker1", trail.mark)
    with logging_to(journal):
        async with trisig.open_master(signals, cores=2) as master:
            await signals.send(2)
            await eventually(lambda: trail.total() == 1)
            await signals.send(1)
            await signals.send(3)
    end = master.statistics()
    assert (end.done, end.failed, end.dead_lettered, end.processes["worker1"].respawns) == (3, 1, 0, 0)
    assert trail.of("worker1") == b"\2\3"
    (line,) = [note for note in journal.read() if note[1] == "ERROR"]
    assert line[:3] == ("worker1", "ERROR", "worker1: the handler of signal 1 failed")
    assert type(make()).__name__ in line[3]
    assert f"in {fail.__name__ if kind == 'plain' else fail_later.__name__}" in line[3]


async def test_a_cancellation_that_was_kept_and_raised_later_is_a_failure(tmp_path: Path) -> None:
    """`trio.Cancelled` outside of the scope that it belongs to ends no process."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    kept: list[trio.Cancelled] = []

    @signals.handler(1)
    async def stray(_signum: int) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as cancelled:
                kept.append(cancelled)
                raise
        raise kept.pop()

    with logging_to(journal):
        async with trisig.open_master(signals) as master:
            await signals.send(1)
    end = master.statistics()
    assert (end.done, end.failed, end.processes["worker1"].respawns) == (1, 1, 0)
    assert any("the handler of signal 1 failed" in note[2] for note in journal.read() if note[1] == "ERROR")


@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in a group"])
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_only_the_handler_that_ends_its_process_is_blamed(
    kind: str, error: BaseException, tmp_path: Path, *, grouped: bool
) -> None:
    """SystemExit and KeyboardInterrupt end the process; the log names the signal, and what ran beside it runs again."""
    signals, journal, trail = trisig.Signals(), Journal(tmp_path), Trail(20)
    pid = os.getpid()

    def end(_signum: int) -> None:
        assert os.getpid() != pid
        raise BaseExceptionGroup("of a nursery", [error]) if grouped else error

    async def end_later(signum: int) -> None:
        while trail.total() < 2:  # noqa: ASYNC110  until both neighbours run
            await trio.sleep(0.001)
        end(signum)

    @signals.handler(1, target="worker1")
    async def neighbour(signum: int) -> None:
        trail.mark(signum)
        if trail.total() <= 2:
            await trio.sleep_forever()

    signals.register(66, "worker1", end if kind == "plain" else end_later)
    with logging_to(journal):
        async with trisig.open_master(signals, cores=3, max_attempts=1) as master:
            await signals.send(1)
            await signals.send(1)
            await eventually(lambda: trail.total() == 2)
            await signals.send(66)
            await eventually(lambda: master.statistics().done == 2)
    ended = master.statistics()
    assert (ended.dead_lettered, ended.signals[66].dead_lettered) == (1, 1)
    assert (ended.signals[1].done, ended.failed, trail.total()) == (2, 0, 4)
    assert ended.accepted == ended.done + ended.dead_lettered
    named = [note[2] for note in journal.read() if note[:2] == ("worker1", "ERROR")]
    assert named[0].startswith("worker1: the handler of signal 66 ends the process: ")


async def test_a_handler_that_kills_its_process_is_blamed_together_with_its_neighbours() -> None:
    """The control: where the process cannot say who it was, each handler that ran counts an attempt."""
    signals, trail = trisig.Signals(), Trail(20)

    @signals.handler(1, target="worker1")
    async def neighbour(signum: int) -> None:
        trail.mark(signum)
        await trio.sleep_forever()

    @signals.handler(66, target="worker1")
    def end(_signum: int) -> None:
        os._exit(3)

    async with trisig.open_master(signals, cores=3, max_attempts=1) as master:
        await signals.send(1)
        await eventually(lambda: trail.total() == 1)
        await signals.send(66)
        await eventually(lambda: master.statistics().dead_lettered == 2)
    assert master.statistics().signals[1].dead_lettered == 1


async def test_a_service_that_fails_blames_no_handler() -> None:
    """A handler that is cut off because a service ends the process runs again, and counts no attempt."""
    signals, trail, has_failed = trisig.Signals(), Trail(20), words()

    @signals.handler(1, target="worker1")
    async def patient(signum: int) -> None:
        trail.mark(signum)
        if trail.total() == 1:
            await trio.sleep_forever()

    @signals.service("worker1")
    async def fail() -> None:
        while trail.total() != 1 or has_failed[0]:  # noqa: ASYNC110  until the handler runs for the first time
            await trio.sleep(0.001)
        has_failed[0] = 1
        raise OSError("as it shall")

    async with trisig.open_master(signals, max_attempts=1) as master:
        await signals.send(1)
        await eventually(lambda: master.statistics().done == 1)
    end = master.statistics()
    assert (end.dead_lettered, end.failed, trail.total()) == (0, 0, 2)
