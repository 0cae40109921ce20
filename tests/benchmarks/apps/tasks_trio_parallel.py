"""The same with trio-parallel: one call at a time, in one of two worker processes."""

import time

import trio
import trio_parallel
import work

JOB = work.JOB


def echo(number: int) -> int:
    """Answer."""
    return number


async def round_trip(limiter: trio.CapacityLimiter) -> float:
    """Seconds that a call takes."""
    start = time.monotonic()
    await trio_parallel.run_sync(echo, 7, limiter=limiter)
    return time.monotonic() - start


async def main() -> None:
    """Start the processes, then call."""
    two = trio.CapacityLimiter(2)
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(round_trip, two)
    work.report(work.quantiles([await round_trip(two) for _ in range(JOB["rounds"])]))


if __name__ == "__main__":
    trio.run(main)
