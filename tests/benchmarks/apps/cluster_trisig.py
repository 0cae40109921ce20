"""Three nodes of a cluster on one PostgreSQL: one raises, all handle; in the end one dies and one stops."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psycopg
import trio
import work
from in_trisig import claim, raise_many, until_ready
from servers import postgres

import trisig
from trisig.postgres import Cluster

JOB = work.JOB
OTHERS = ("two", "three")
LEASE = 10.0
DONE = 255
BLOCK = 50  # raises, then as many bare inserts

signals = trisig.Signals()
signals.register(work.OTHER, "cluster", work.handle)
signals.on_start()(partial(claim, int(os.environ.get("BENCHMARK_NODE", "0"))))


def bare(connection: psycopg.Connection) -> list[float]:
    """How long inserts take that are committed at once, in seconds."""
    return [timed(lambda: connection.execute("INSERT INTO bare (signum) VALUES (%s)", (17,))) for _ in range(BLOCK)]


def timed(step: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


async def acknowledged(insert: Callable[[], Awaitable[list[float]]]) -> dict[str, float]:
    """Raise one signal after the other, each stored when `send` returns; in turn with bare inserts."""
    raised: list[float] = []
    inserted: list[float] = []
    for _ in range(JOB["rounds"] // BLOCK):
        for _ in range(BLOCK):
            start = time.perf_counter()
            await signals.send(work.OTHER)
            raised.append(time.perf_counter() - start)
        await trio.sleep(0.05)
        inserted += await insert()
    return {"p50": work.quantiles(raised[BLOCK:])["p50"], "bare": work.quantiles(inserted[BLOCK:])["p50"]}


async def bulk() -> dict[str, float]:
    """Raise as fast as the master takes it; how many a second are stored, and handled."""
    before, start = work.handled(), time.monotonic()
    await raise_many(signals, JOB["items"] - 1)
    await signals.send(work.OTHER)
    stored = JOB["items"] / (time.monotonic() - start)
    return {"stored": stored, "handled": work.throughput(start, JOB["items"], before)}


@signals.service("mule1")
async def raiser() -> None:
    """What a process of the tree sees."""
    if "BENCHMARK_NODE" in os.environ:
        return
    await until_ready()
    with psycopg.connect(os.environ["BENCHMARK_CONNINFO"], autocommit=True) as connection:
        connection.execute("CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, signum smallint)")

        async def insert() -> list[float]:
            return bare(connection)

        result = await acknowledged(insert)
        await trio.sleep(0.3)
        result |= await bulk()
        work.report({f"mule_{key}": figure for key, figure in result.items()})
        await signals.send(DONE)
    await trio.sleep_forever()


def start_node(number: int, name: str, conninfo: str) -> "subprocess.Popen[bytes]":
    """Another node, a program of its own."""
    environment = {**os.environ, "BENCHMARK_NODE": str(number), "BENCHMARK_CONNINFO": conninfo}
    return subprocess.Popen([sys.executable, str(Path(__file__)), name], env=environment)


async def gone(master: trisig.Master, node: str, start: float) -> float:
    """Wait until a node is known to be down; seconds since the start."""
    while any(one.name == node for one in master.nodes):  # noqa: ASYNC110  a signal would be later than what it tells
        await trio.sleep(0.001)
    return time.monotonic() - start


async def lead(conninfo: str, others: "dict[str, subprocess.Popen[bytes]]") -> None:
    """The first node."""
    begun = time.monotonic()
    os.environ["BENCHMARK_CONNINFO"] = conninfo
    async with trisig.open_master(signals, workers=2, mules=1, cluster=Cluster(conninfo, node="one")) as master:
        while len(master.nodes) < 1 + len(OTHERS):  # noqa: ASYNC110  as above
            await trio.sleep(0.01)
        work.set_ready()
        await signals.wait()  # for the mule
        with psycopg.connect(conninfo, autocommit=True) as connection:

            async def insert() -> list[float]:
                return await trio.to_thread.run_sync(bare, connection)

            result = await acknowledged(insert)
        # A server that has just started lets nobody be declared down.
        await trio.sleep(max(0.0, begun + 1.2 * LEASE - time.monotonic()))
        start = time.monotonic()
        others["two"].send_signal(signal.SIGKILL)
        result["death"] = await gone(master, "two", start)
        start = time.monotonic()
        others["three"].send_signal(signal.SIGTERM)
        result["stop"] = await gone(master, "three", start)
    work.report(result)


def main() -> None:
    """Be the node that is named, or all that belongs to the first one."""
    if len(sys.argv) > 1:
        trisig.run(signals, workers=2, mules=1, cluster=Cluster(os.environ["BENCHMARK_CONNINFO"], node=sys.argv[1]))
        return
    with postgres() as conninfo, ExitStack() as stack:
        others = {name: start_node(number, name, conninfo) for number, name in enumerate(OTHERS, 1)}
        for process in others.values():
            stack.callback(process.wait)
            stack.callback(process.kill)
        trio.run(lead, conninfo, others)


if __name__ == "__main__":
    main()
