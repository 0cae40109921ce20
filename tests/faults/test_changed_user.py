"""Children that change their user or group, and a master that is killed."""

import os
import signal
import subprocess
import sys

import pytest
import trio
from witness import gone

BODY = """
import os, threading, time, trio, trisig

signals = trisig.Signals()

@signals.on_start("worker1")
def drop():
    {hook}

@signals.handler(1, target="worker1")
{handler}

async def main():
    async with trisig.open_master(signals, workers=1) as master:
        await signals.send(1)
        await trio.sleep_forever()

trio.run(main)
"""
PLAIN = """def work(signum):
    {change}
    print(os.getpid(), flush=True)
    time.sleep(600)"""
ASYNC = """async def work(signum):
    {change}
    print(os.getpid(), flush=True)
    await trio.sleep(600)"""
THREAD = """async def work(signum):
    {change}
    print(os.getpid(), flush=True)
    await trio.to_thread.run_sync(time.sleep, 600)"""
ALL = "os.setgid(65534); os.setuid(65534)"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")


@as_root
@pytest.mark.parametrize("handler", [PLAIN, ASYNC, THREAD], ids=["plain", "async", "thread"])
@pytest.mark.parametrize(
    ("hook", "change"),
    [
        pytest.param(ALL, "pass", id="in a hook"),
        pytest.param("os.setegid(65534)", "pass", id="the group alone"),
        pytest.param("os.seteuid(65534)", "pass", id="the effective user alone"),
        pytest.param("pass", ALL, id="in the handler"),
    ],
)
async def test_a_child_with_another_user_ends_with_its_master(handler: str, hook: str, change: str) -> None:
    """Whenever it changed its user and whatever it runs, it is gone within a second of a killed master."""
    assert not await outlives_its_master(BODY.format(hook=hook, handler=handler.format(change=change)))


@as_root
async def test_a_stopped_child_with_another_user_ends_with_its_master() -> None:
    """The kernel ends it, not the child itself."""
    text = BODY.format(hook=ALL, handler=PLAIN.format(change="pass"))
    assert not await outlives_its_master(text, stop=True)


@as_root
async def test_without_the_pipe_it_would_live_on() -> None:
    """The control: the parent death signal alone does not survive a change of user in a handler."""
    unwatched = "import trisig._child.child as child; child.end_with_master = lambda alive: None\n"
    text = unwatched + BODY.format(hook="pass", handler=PLAIN.format(change=ALL))
    assert await outlives_its_master(text)


async def outlives_its_master(text: str, *, stop: bool = False) -> bool:
    """Whether a busy child is still there a second after its master was killed; it is killed then."""
    command = [sys.executable, "-c", text]
    master = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: ASYNC220  it is killed, not run to its end
    assert master.stdout is not None
    child = int(await trio.to_thread.run_sync(master.stdout.readline))
    if stop:
        os.kill(child, signal.SIGSTOP)
    master.kill()
    master.wait()
    master.stdout.close()
    outlives = bool(await gone([child], 1.0))
    if outlives:
        os.kill(child, signal.SIGKILL)
    return outlives
