"""trisig alone, for the growth curves that need more than a burst: backlogs, many timers, many file monitors."""

import os
import signal
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import ours
import trio
import work

import trisig

JOB = work.JOB
MULE1, SIZE = JOB["watched"], JOB["size"]
SECONDS = 2.0  # of ticks
SENDERS = 64  # of jobs, each of which waits until its job is on the disk
ARGUMENT = bytes(100)

signals = ours.signals


def run_one(_argument: bytes) -> None:
    """The work of a task."""
    work.handle(work.PING)


async def raise_all() -> None:
    """All signals."""
    for signum in work.raises():
        try:
            signals.send_nowait(signum)
        except trio.WouldBlock:
            await signals.send(signum)


async def send_all(task: Any) -> None:
    """All tasks."""
    for _ in range(SIZE):
        try:
            task.send_nowait(ARGUMENT)
        except trio.WouldBlock:
            await task.send(ARGUMENT)


async def store_all(job: Any) -> None:
    """All jobs, many at a time."""

    async def store(count: int) -> None:
        for _ in range(count):
            await job.send(ARGUMENT)

    async with trio.open_nursery() as nursery:
        for number in range(SENDERS):
            nursery.start_soon(store, len(range(number, SIZE, SENDERS)))


async def backlog(send: Callable[[], Awaitable[object]], slot: int) -> None:
    """Raise or send while the process that handles is stopped, then let it go on."""
    await ours.begin()
    master = os.getppid()
    memory, cpu = work.memory_of(master), work.cpu_of(master)
    os.kill(work.pid_of(MULE1), signal.SIGSTOP)
    start = time.monotonic()
    await send()
    raising = time.monotonic() - start
    await _until_taken(master)
    memory = work.memory_of(master) - memory
    start = time.monotonic()
    os.kill(work.pid_of(MULE1), signal.SIGCONT)
    rate = work.throughput(start, SIZE, 0)
    await trio.sleep(0.05)
    spent = work.cpu_of(master) - cpu
    await ours.finish(
        {
            "raise": raising / SIZE * 1e6,
            "drain": 1e6 / rate,
            "master": spent / SIZE * 1e6,
            "bytes": memory / SIZE,
        }
    )


async def _until_taken(master: int) -> None:
    """Until the master has come to rest, so until it has read all that was raised."""
    before = -1.0
    while (now := work.cpu_of(master)) != before:
        before = now
        await trio.sleep(0.02)


async def ticks(slot: int) -> None:
    """What the master spends on its ticks."""
    await ours.begin()
    await trio.sleep(1.0)
    master = os.getppid()
    cpu, before = work.cpu_of(master), work.handled()
    await trio.sleep(SECONDS)
    spent, ran = work.cpu_of(master) - cpu, work.handled() - before
    await ours.finish(
        {"start": work.elapsed() / SIZE * 1e6, "tick": spent / ran * 1e6, "share": ran / (SIZE * SECONDS)}
    )


async def changes(slot: int) -> None:
    """What a change of one of many files costs, and how fast it is told."""
    await ours.begin()
    master = os.getppid()
    cpu = work.cpu_of(master)
    delays = work.touch_files(MULE1, paths(), JOB["signals"])
    await trio.sleep(0.05)
    spent = work.cpu_of(master) - cpu
    await ours.finish(
        {
            "start": work.elapsed() / SIZE * 1e6,
            "change": spent / JOB["signals"] * 1e6,
            "p50": delays["p50"],
            "lost": delays["lost"],
        }
    )


def paths() -> list[str]:
    """The files of the job."""
    return [str(Path(JOB["path"]).with_name(f"file{number}")) for number in range(SIZE)]


def prepare() -> None:
    """Add the job's event sources, in the master."""
    if JOB["kind"] == "ticks":
        for _ in range(SIZE):
            signals.add_timer(work.PING, 1)
    if JOB["kind"] == "changes":
        for path in paths():
            Path(path).touch()
            signals.add_file_monitor(work.PING, path)


class Last(trisig.EventSource):
    """A source that tells when it runs: so do those that were added before it."""

    def __init__(self) -> None:
        self.runs = trio.Event()

    async def run(self, _send: object) -> None:
        """Tell, and raise nothing."""
        self.runs.set()
        await trio.sleep_forever()


def raiser() -> Callable[[int], Awaitable[object]]:
    """What the mule that raises does; declares the task, if it needs one."""
    match JOB["kind"]:
        case "ticks":
            return ticks
        case "changes":
            return changes
        case "backlog":
            return partial(backlog, raise_all)
        case "tasks":
            return partial(backlog, partial(send_all, signals.task(JOB["target"])(run_one)))
        case _:
            return partial(backlog, partial(store_all, signals.task(JOB["target"], durable=True)(run_one)))


async def main() -> None:
    """Open the master, add the sources, let the raiser begin, wait until it is done."""
    signals.on_start()(ours.claim)
    signals.register(work.PING, JOB["target"], work.handle)
    signals.service(f"mule{JOB['first'] - work.MULES}")(partial(raiser(), JOB["first"]))
    spool = Path(JOB["path"]).with_name("spool") if JOB["kind"] == "jobs" else None
    async with trisig.open_master(signals, workers=JOB["workers"], mules=JOB["mules"], spool=spool):
        work.start_clock()
        prepare()
        last = Last()
        signals.add_source(last)
        await last.runs.wait()
        work.stop_clock()
        work.set_ready()
        await signals.wait()


trio.run(main)
