"""Tasks with trisig: a mule sends, two workers run, and one task at a time is called in the master."""

import os
import time

import trio
import work
from in_trisig import claim

import trisig

JOB = work.JOB
SHORT, LONG = bytes(100), bytes(2**20)

signals = trisig.Signals()
signals.on_start()(claim)


@signals.task("worker")
def take(data: bytes) -> None:
    """Count."""
    work.handle(work.OTHER)


@signals.task("worker")
def echo(number: int) -> int:
    """Answer."""
    return number


async def rate(data: bytes, items: int) -> float:
    """Send as many as the master takes; how many ran in a second."""
    before, start = work.handled(), time.monotonic()
    for _ in range(items):
        try:
            take.send_nowait(data)
        except trio.WouldBlock:
            await take.send(data)
    return work.throughput(start, items, before)


@signals.task("mule1")
async def measure() -> dict[str, float]:
    """What a process of the tree sees."""
    await rate(SHORT, JOB["short"] // 10)
    return {
        "short": await rate(SHORT, JOB["short"]),
        "long": await rate(LONG, JOB["long"]),
        "child_p50": work.quantiles([await round_trip() for _ in range(JOB["rounds"])])["p50"],
    }


async def round_trip() -> float:
    """Seconds that a call takes."""
    start = time.monotonic()
    await echo.call(7)
    return time.monotonic() - start


async def main() -> None:
    """Measure in the mule, then in the master."""
    async with trisig.open_master(signals, workers=2, mules=1):
        result = await measure.call()
        result |= work.quantiles([await round_trip() for _ in range(JOB["rounds"])])
    work.report(result)
    os._exit(0)


trio.run(main)
