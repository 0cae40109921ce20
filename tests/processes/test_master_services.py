"""Services of the master: tasks of the application that are given the `Master`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
import trio.testing
from witness import Journal, eventually

import trisig


async def test_a_service_of_the_master_is_given_the_master(tmp_path: Path) -> None:
    """It runs in the master's process, with a master that is ready, and may use every verb."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    seen: list[tuple[int, list[str]]] = []

    @signals.handler(7, target="worker1")
    def handle(signum: int) -> None:
        journal.note(signum)

    @signals.service("master")
    async def watch(master: trisig.Master) -> None:
        seen.append((os.getpid(), [process.name for process in master.processes]))
        await signals.send(7)

    async with trisig.open_master(signals, workers=2) as master:
        await journal.until(1)
        await eventually(lambda: master.statistics().done == 1)
    assert seen == [(os.getpid(), ["master", "worker1", "worker2"])]


async def test_open_master_waits_for_task_status() -> None:
    """A service that takes `task_status` has started when the body begins."""
    signals, steps = trisig.Signals(), list[str]()

    @signals.service("master")
    async def serve(_master: trisig.Master, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await trio.sleep(0.05)
        steps.append("started")
        task_status.started()
        await trio.sleep_forever()

    async with trisig.open_master(signals, workers=1):
        steps.append("body")
    assert steps == ["started", "body"]


async def test_a_service_of_the_master_ends_before_what_is_queued_is_delivered(tmp_path: Path) -> None:
    """What it raises while it ends is delivered, too."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(7)
    def handle(signum: int) -> None:
        journal.note(signum)

    @signals.service("master")
    async def last(_master: trisig.Master) -> None:
        try:
            await trio.sleep_forever()
        finally:
            signals.send_nowait(7)

    async with trisig.open_master(signals, workers=1):
        pass
    assert journal.read() == [("worker1", 7)]


async def test_an_error_of_a_service_of_the_master_ends_the_master_in_order(tmp_path: Path) -> None:
    """The body is cancelled, what is queued is delivered, and the error comes out as it is."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(7)
    def handle(signum: int) -> None:
        journal.note(signum)

    @signals.service("master")
    async def fail(_master: trisig.Master) -> None:
        await signals.send(7)
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        async with trisig.open_master(signals, workers=1):
            await trio.sleep_forever()
    assert journal.read() == [("worker1", 7)]


async def test_a_service_of_the_master_that_cannot_start_is_an_error_of_open_master() -> None:
    """The body never runs."""
    signals = trisig.Signals()

    @signals.service("master")
    async def fail(_master: trisig.Master, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing"):
        async with trisig.open_master(signals, workers=1):
            pytest.fail("it opened")


async def test_a_service_of_the_master_that_ends_by_itself_ends_nothing_else() -> None:
    """It may have had something to do only once."""
    signals = trisig.Signals()

    @signals.service("master")
    async def once(_master: trisig.Master) -> None:
        await trio.lowlevel.checkpoint()

    async with trisig.open_master(signals, workers=1) as master:
        await trio.testing.wait_all_tasks_blocked()
        assert [process.name for process in master.processes] == ["master", "worker1"]


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (lambda _master: None, "async def"),
        (7, "a service is a function"),
    ],
)
def test_what_cannot_be_a_service_of_the_master_is_refused(service: object, words: str) -> None:
    """The error is raised where the service is declared."""
    with pytest.raises(TypeError, match=words):
        trisig.Signals().service("master")(service)  # type: ignore[type-var]  # the mistake


def test_a_service_of_the_master_takes_the_master() -> None:
    """One without a parameter is told what to write."""
    signals = trisig.Signals()

    async def serve() -> None: ...

    with pytest.raises(TypeError, match=r"write async def serve\(master\)"):
        signals.service("master")(serve)
