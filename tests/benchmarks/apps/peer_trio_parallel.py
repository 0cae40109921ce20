"""The peers' two tasks with trio-parallel: each item is a call in one of two worker processes, and has a result."""

import time

import trio
import trio_parallel
import work

JOB = work.JOB


async def call(limiter: trio.CapacityLimiter) -> float:
    """Seconds that a call takes."""
    start = time.monotonic()
    await trio_parallel.run_sync(work.handle, work.PING, limiter=limiter)
    return time.monotonic() - start


async def main() -> None:
    """First one at a time, then two at a time."""
    two = trio.CapacityLimiter(2)
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(call, two)
    result = work.quantiles([await call(two) for _ in range(JOB["rounds"])])
    start = time.monotonic()
    async with trio.open_nursery() as nursery:
        for _ in range(JOB["items"]):
            nursery.start_soon(call, two)
    result["throughput"] = JOB["items"] / (time.monotonic() - start)
    work.report(result)


if __name__ == "__main__":
    trio.run(main)
