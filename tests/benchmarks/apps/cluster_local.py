"""Bursts of local signals to a mule, by a master that is a node of a cluster, or by one that is none."""

import statistics
import time

import trio
import work
from in_trisig import claim, raise_many, until_ready
from servers import postgres

import trisig
from trisig.postgres import Cluster

JOB = work.JOB
DONE = 255

signals = trisig.Signals()
signals.register(work.OTHER, "mule1", work.handle)
signals.on_start()(claim)


@signals.handler(3, target="cluster")
def other(signum: int) -> None:
    """What the cluster is for."""


@signals.service("mule2")
async def raiser() -> None:
    """One burst after the other."""
    await until_ready()
    await trio.sleep(0.3)
    work.report({"rate": statistics.median([await burst() for _ in range(JOB["bursts"])])})
    await signals.send(DONE)


async def burst() -> float:
    """Raise as fast as the master takes it; how many are handled in a second."""
    before, start = work.handled(), time.monotonic()
    await raise_many(signals, JOB["items"])
    return work.throughput(start, JOB["items"], before)


async def main(conninfo: str) -> None:
    """Open the master and wait until the mule is done."""
    cluster = Cluster(conninfo, node="one") if JOB["cluster"] else None
    if cluster is None:
        signals.unregister(3)
    async with trisig.open_master(signals, workers=1, mules=2, cluster=cluster):
        work.set_ready()
        await signals.wait()


with postgres() as conninfo:
    trio.run(main, conninfo)
