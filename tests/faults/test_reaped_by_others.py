"""Something else in the master's process takes the status of every child."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import trio
from witness import eventually

import trisig


def reap_everything(*_: object) -> None:
    """What is often recommended for a process that is number 1 of its container."""
    while True:
        try:
            pid, _status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return


@contextmanager
def sigchld(action: Callable[..., object] | signal.Handlers) -> Iterator[None]:
    """Do this at SIGCHLD meanwhile."""
    before = signal.signal(signal.SIGCHLD, action)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize("action", [reap_everything, signal.SIG_IGN], ids=["a handler", "ignored"])
async def test_a_child_that_was_reaped_by_something_else_is_replaced(
    action: Callable[..., object] | signal.Handlers, caplog: pytest.LogCaptureFixture
) -> None:
    """The pidfd says that it has died: one line, the status is unknown, and no signal is lost."""
    signals = trisig.Signals()

    @signals.handler(1, target="worker")
    def work(_signum: int) -> None:
        pass

    async with trisig.open_master(signals, workers=2) as master:
        with sigchld(action):
            await signals.send(1)
            await eventually(lambda: master.statistics().done == 1)
            for name in ("worker1", "worker2"):
                old = next(process.pid for process in master.processes if process.name == name)
                os.kill(old, signal.SIGKILL)
                await eventually(partial(ready_again, master, name, old))
            await trio.to_thread.run_sync(reap_everything)
            for _ in range(20):
                await signals.send(1)
            await eventually(lambda: master.statistics().done == 21)
    lines = [record.getMessage() for record in caplog.records if "exited" in record.getMessage()]
    assert len(lines) == 2
    assert all("status unknown: something else in this program reaped it" in line for line in lines)


async def test_a_child_that_cannot_start_and_was_reaped_by_something_else() -> None:
    """The error says that its status is unknown, and not that it never ran."""
    signals = trisig.Signals()

    @signals.on_start("worker1")
    def leave() -> None:
        os._exit(3)

    with sigchld(reap_everything), pytest.raises(trisig.ChildFailedError) as caught:
        async with trisig.open_master(signals):
            pytest.fail("it opened")
    assert str(caught.value) in (
        "worker1 failed to start (status unknown: something else in this program reaped it)",
        "worker1 failed to start (exit status 3)",  # the handler runs between two steps, and may come late
    )


async def test_a_unix_signal_to_one_child_means_what_it_means_to_any_program() -> None:
    """SIGHUP kills it, and it is replaced; SIGINT, which Ctrl-C sends to the children too, does nothing."""
    signals = trisig.Signals()
    async with trisig.open_master(signals) as master:
        pid = master.processes[1].pid
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGHUP)
        await eventually(partial(ready_again, master, "worker1", pid))


async def test_a_child_killed_by_a_signal_without_a_name_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """The real-time signals have numbers only; what waits for other processes is not touched."""
    signals, unnamed = trisig.Signals(), signal.SIGRTMIN + 6
    signals.register(1, "worker2", lambda _signum: None)
    signals.register(2, "worker1", lambda _signum: os.kill(os.getpid(), unnamed))
    async with trisig.open_master(signals, workers=2, max_attempts=1) as master:
        pid = next(process.pid for process in master.processes if process.name == "worker1")
        await signals.send(2)
        for _ in range(10):
            await signals.send(1)
        await eventually(partial(ready_again, master, "worker1", pid))
    assert f"worker1: exited (Unix signal {unnamed}" in caplog.text
    assert (master.statistics().done, master.statistics().dead_lettered) == (10, 1)


def ready_again(master: trisig.Master, name: str, old: int) -> bool:
    """Whether another process is ready in a slot."""
    process = master.statistics().processes[name]
    return process.state == "ready" and process.pid != old


async def test_a_zygote_that_was_reaped_by_something_else_is_replaced() -> None:
    """Its death is noticed when the next child is needed, also with nothing left to reap."""
    signals = trisig.Signals()
    async with trisig.open_master(signals) as master:
        zygote, old = master._engine.zygotes.pid, master.processes[1].pid
        with sigchld(reap_everything):
            os.kill(zygote, signal.SIGKILL)
            await eventually(lambda: not os.path.exists(f"/proc/{zygote}"))  # noqa: PTH110  short
            os.kill(old, signal.SIGKILL)
            await eventually(lambda: ready_again(master, "worker1", old))
        assert master._engine.zygotes.pid != zygote


async def test_a_master_whose_children_are_all_reaped_elsewhere_ends_in_order() -> None:
    """The end waits for the pidfds, and takes no status for granted."""
    with sigchld(reap_everything):
        async with trisig.open_master(trisig.Signals(), workers=3):
            pass
