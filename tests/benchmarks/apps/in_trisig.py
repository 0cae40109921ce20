"""What trisig's programs in the benchmarks share."""

import trio
import work

import trisig


def claim(node: int = 0) -> None:
    """Take this process's slot of the counters, on its start; each node of a cluster has ten workers and mules."""
    process = trisig.current_process()
    work.claim(10 * node + process.number + (work.MULES if process.kind == "mule" else 0))


async def until_ready() -> None:
    """Wait until the raisers may begin."""
    while not work.is_ready():  # noqa: ASYNC110  a trio.Event does not reach another process
        await trio.sleep(0.002)


async def raise_many(signals: trisig.Signals, count: int) -> None:
    """Raise as fast as the master takes it."""
    for _ in range(count):
        try:
            signals.send_nowait(work.OTHER)
        except trio.WouldBlock:
            await signals.send(work.OTHER)
