"""The peers' two tasks in trisig: a mule raises, two workers handle, and raise another signal back."""

import time

import trio
import work
from in_trisig import claim, raise_many, until_ready

import trisig

JOB = work.JOB
DONE = 255

signals = trisig.Signals()
signals.on_start()(claim)
answered = trio.Event()


@signals.handler(work.PING, target="worker")
async def ping(signum: int) -> None:
    """Answer."""
    await signals.send(ANSWER)


ANSWER = 3


@signals.handler(ANSWER, target="mule1")
def answer(signum: int) -> None:
    """Let the raiser go on."""
    answered.set()


signals.register(work.OTHER, "worker", work.handle)


@signals.service("mule1")
async def raiser() -> None:
    """First one at a time, then as many as the master takes."""
    await until_ready()
    await trio.sleep(0.3)
    result = work.quantiles([await round_trip() for _ in range(JOB["rounds"])])
    before, start = work.handled(), time.monotonic()
    await raise_many(signals, JOB["items"])
    result["throughput"] = work.throughput(start, JOB["items"], before)
    work.report(result)
    await signals.send(DONE)


async def round_trip() -> float:
    """Seconds from a signal to its answer."""
    global answered  # noqa: PLW0603  an event is good for one time
    answered = trio.Event()
    start = time.monotonic()
    await signals.send(work.PING)
    await answered.wait()
    return time.monotonic() - start


async def main() -> None:
    """Open the master and wait until the mule is done."""
    async with trisig.open_master(signals, workers=2, mules=1):
        work.set_ready()
        await signals.wait()


trio.run(main)
