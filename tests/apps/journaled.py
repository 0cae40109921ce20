"""A master with a journal, to be killed at any time and started again: `journaled.py JOURNAL TALLY COUNT`.

A mule raises signals until it has raised COUNT of them over all lives; the workers count what they handle. The
tally is a mapped file, so it outlives every process: word 0 says how many `send` calls have returned, word 1 how
many have begun, then 256 words a worker count the handler runs by signal number.
"""

import mmap
import sys
from pathlib import Path

import trio
import trio.lowlevel

import trisig

JOURNAL, TALLY, COUNT = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
WORKERS = 2
KINDS = 200

with TALLY.open("r+b") as file:
    words = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")

signals = trisig.Signals()


def count(signum: int) -> None:
    """Count one run of the handler."""
    words[256 * trisig.current_process().number + signum] += 1


async def count_slowly(signum: int) -> None:
    """The same in an async handler."""
    await trio.lowlevel.checkpoint()
    count(signum)


for number in range(KINDS):
    signals.register(number, ("worker", "worker1", "worker2")[number % 3], count_slowly if number % 10 == 9 else count)


@signals.service("mule1")
async def raise_them() -> None:
    """Go on raising where the life before this one stopped."""
    while words[0] < COUNT:
        words[1] = words[0] + 1
        await signals.send(words[0] % KINDS)
        words[0] += 1


async def main() -> None:
    """Run until everything that was raised is done."""
    async with trisig.open_master(signals, workers=WORKERS, mules=1, journal=JOURNAL) as master:
        print("ready", flush=True)
        while words[0] < COUNT or (found := master.statistics()).done < found.accepted:  # noqa: ASYNC110  a snapshot is no event
            await trio.sleep(0.02)


trio.run(main)
