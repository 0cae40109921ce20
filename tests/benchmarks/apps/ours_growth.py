"""trisig alone, for the growth curves that need more than a burst: backlogs, many timers, many file monitors."""

import os
import signal
import time
from functools import partial
from pathlib import Path

import ours
import trio
import work

import trisig

JOB = work.JOB
MULE1, SIZE = JOB["watched"], JOB["size"]
SECONDS = 2.0  # of ticks

signals = ours.signals


async def backlog(slot: int) -> None:
    """Raise while the process that handles is stopped, then let it go on."""
    await ours.begin()
    master, numbers = os.getppid(), work.raises()
    memory, cpu = work.memory_of(master), work.cpu_of(master)
    os.kill(work.pid_of(MULE1), signal.SIGSTOP)
    start = time.monotonic()
    for signum in numbers:
        try:
            signals.send_nowait(signum)
        except trio.WouldBlock:
            await signals.send(signum)
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


async def main() -> None:
    """Open the master, add the sources, let the raiser begin, wait until it is done."""
    signals.on_start()(ours.claim)
    signals.register(work.PING, JOB["target"], work.handle)
    raiser = {"backlog": backlog, "ticks": ticks, "changes": changes}[JOB["kind"]]
    signals.service(f"mule{JOB['first'] - work.MULES}")(partial(raiser, JOB["first"]))
    async with trisig.open_master(signals, workers=JOB["workers"], mules=JOB["mules"]):
        work.start_clock()
        prepare()
        last = Last()
        signals.add_source(last)
        await last.runs.wait()
        work.stop_clock()
        work.set_ready()
        await signals.wait()


trio.run(main)
