"""trisig's side of a benchmark: started by the harness with a job, prints one line of JSON.

The mules after the first ones are the raisers; the job says which kind of raiser they are.
"""

import os
import time
from functools import partial

import trio
import work
from in_trisig import claim, until_ready

import trisig

JOB = work.JOB
FIRST = JOB["first"]  # slot of the first raiser
DONE = 255

signals = trisig.Signals()


def declare() -> None:
    """What the job needs."""
    handlers = {"sync": work.handle, "async": handle_async, "note": work.note}
    for signum in work.numbers():
        signals.register(signum, JOB["target"], handlers[JOB["handler"]])
    signals.on_start()(claim)
    for raiser in range(JOB["raisers"]):
        slot = FIRST + raiser
        signals.service(f"mule{slot - work.MULES}")(partial(raiser_of[JOB["kind"]], slot))


async def handle_async(signum: int) -> None:
    """The same work in an async handler."""
    work.handle(signum)
    await trio.lowlevel.checkpoint()


async def begin() -> None:
    """Wait until every process is up and has come to rest."""
    await until_ready()
    await trio.sleep(0.3)


async def finish(result: dict[str, float]) -> None:
    """Hand over the figures, then let the master end, if there is a number left to tell it with."""
    work.report(result)
    if JOB["ends"]:
        await signals.send(DONE)
    await trio.sleep_forever()


async def burst(slot: int) -> None:
    """Raise signals as fast as the master takes them."""
    await begin()
    numbers = work.raises()
    send_nowait = signals.send_nowait
    work.line_up(slot, JOB["raisers"])
    for signum in numbers:
        try:
            send_nowait(signum)
        except trio.WouldBlock:
            await signals.send(signum)
    work.raised(slot, JOB["signals"])
    if slot == FIRST:
        await finish(work.settle(slot, JOB["raisers"], JOB["expected"]))


async def latency(slot: int) -> None:
    """Raise one at a time."""
    await begin()
    work.ping(signals.send_nowait, JOB["watched"], 200)
    await finish(work.ping(signals.send_nowait, JOB["watched"], JOB["signals"]))


async def timers(slot: int) -> None:
    """Add timers, evenly spread over a second, and watch their ticks."""
    await begin()
    start = time.monotonic()
    for number in range(JOB["timers"]):
        signals.add_timer(work.PING, 1)
        await trio.sleep(work.spread(number + 1, start))
    await finish(work.watch_timers(os.getppid(), JOB["watched"], JOB["seconds"]))


async def files(slot: int) -> None:
    """Change a watched file, one change at a time."""
    await begin()
    signals.add_file_monitor(work.PING, JOB["path"])
    await trio.sleep(0.2)
    await finish(work.touch_files(JOB["watched"], [JOB["path"]], JOB["signals"]))


async def kills(slot: int) -> None:
    """Kill a worker and wait for its successor."""
    await begin()
    await finish(work.kill_worker(signals.send_nowait, JOB["signals"]))


async def stay(slot: int) -> None:
    """Let the workers work a little, then be still."""
    await begin()
    work.report(work.exercise(signals.send_nowait, JOB["workers"], JOB["signals"]))
    await trio.sleep_forever()


raiser_of = {"burst": burst, "latency": latency, "timers": timers, "files": files, "kills": kills, "stay": stay}


async def main() -> None:
    """Open the master, let the raisers begin, wait until one is done."""
    declare()
    async with trisig.open_master(signals, workers=JOB["workers"], mules=JOB["mules"]):
        ready = time.monotonic()
        if JOB["kind"] == "up":
            work.report({"start": ready - JOB["started"]})
            await trio.sleep_forever()
        work.set_ready()
        await signals.wait()
    if JOB["kind"] == "burst":
        # All is delivered when the master has closed: what is missing now was lost, whatever a raiser saw.
        work.report({"lost": JOB["expected"] - work.handled()})


if __name__ == "__main__":
    trio.run(main)
