"""What a signal costs when many have been raised for the cluster, handled and deleted before it."""

import os
import time
from contextlib import AbstractContextManager, nullcontext

import psycopg
import trio
import work
from in_trisig import claim, raise_many, until_ready
from servers import postgres

import trisig
from trisig.postgres import Cluster

JOB = work.JOB
DONE = 255
TABLE = "SELECT pg_total_relation_size('trisig.signal')"

signals = trisig.Signals()
signals.register(work.OTHER, "cluster", work.handle)
signals.on_start()(claim)


@signals.service("mule1")
async def raiser() -> None:
    """Raise what is to be settled, then what is measured."""
    await until_ready()
    await burst(JOB["settled"])
    await trio.sleep(0.5)
    before = spent()
    rate = await burst(JOB["signals"])
    await trio.sleep(0.1)  # until the last ones are settled
    cpu = {who: (spent()[who] - before[who]) / JOB["signals"] * 1e6 for who in before}
    work.report({"each": 1e6 / rate, **cpu})
    await signals.send(DONE)


def spent() -> dict[str, float]:
    """CPU seconds of the server, as far as this node has it work, and of the master."""
    with psycopg.connect(os.environ["BENCHMARK_CONNINFO"]) as connection:
        found = connection.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'trisig'").fetchall()
    return {"server": sum(work.cpu_of(pid) for (pid,) in found), "master": work.cpu_of(os.getppid())}


async def burst(count: int) -> float:
    """Raise signals as fast as the master takes them; how many are handled in a second."""
    before, start = work.handled(), time.monotonic()
    await raise_many(signals, count)
    while work.handled() - before < count:  # noqa: ASYNC110  other processes count
        await trio.sleep(0.002)
    return count / (work.last_handled() - start)


def looking(conninfo: str) -> AbstractContextManager[object]:
    """A transaction that keeps a snapshot, as a long report or a dump does."""
    if not JOB["snapshot"]:
        return nullcontext()
    connection = psycopg.connect(conninfo)
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.execute("SELECT 1")
    return connection


async def main(conninfo: str) -> None:
    """Open the master and wait until the mule is done."""
    os.environ["BENCHMARK_CONNINFO"] = conninfo
    async with trisig.open_master(signals, workers=2, mules=1, cluster=Cluster(conninfo, node="one")):
        with looking(conninfo):
            work.set_ready()
            await signals.wait()
        with psycopg.connect(conninfo, autocommit=True) as connection:
            row = connection.execute(TABLE).fetchone()
        work.report({"bytes": 0.0 if row is None else row[0] / 1e6})


with postgres() as conninfo:
    trio.run(main, conninfo)
