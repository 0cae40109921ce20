"""What any node of a cluster has given up, seen and mended from each of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from cluster_tools import ask
from witness import Journal, eventually, until_equal, words

import trisig
from trisig.postgres import Cluster


def application(node: str, kills: memoryview[int], journal: Journal) -> trisig.Signals:
    """What ends its process until `kills` says otherwise."""
    signals = trisig.Signals()

    @signals.task("node_a")
    def risky(text: str) -> None:
        if not kills[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        journal.note(node, text)

    @signals.handler(9, "cluster/mules")
    def handle(signum: int) -> None:
        if not kills[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        journal.note(node, signum)

    @signals.handler(1)
    async def start(signum: int) -> None:
        await risky.send("x")

    return signals


async def test_what_one_node_has_given_up_another_one_mends(conninfo: str, tmp_path: Path) -> None:
    """It is listed once, on every node; requeued it runs where it belongs, with all attempts; dropped it is gone."""
    kills, journal = words(), Journal(tmp_path)

    one, two = [application(node, kills, journal) for node in "ab"]
    async with (
        trisig.open_master(one, mules=1, max_attempts=2, cluster=Cluster(conninfo, node="a")) as a,
        trisig.open_master(two, mules=1, max_attempts=2, cluster=Cluster(conninfo, node="b")) as b,
    ):
        await two.send(1)
        await two.send(9)
        await until_equal(lambda: ask(conninfo, "SELECT count(*) FROM trisig.dead"), [(2,)])
        letters = await b.dead_letters.list()
        assert letters == await a.dead_letters.list()
        by_place = {letter.destination: letter for letter in letters}
        task, number = by_place["node_a"], by_place["cluster"]
        assert task.task is not None
        assert (task.task.split(".")[-1], task.signum, task.arguments) == ("risky", None, b"\x91\xa1x")
        assert task.reason == "it ended its process 2 times, on node a"
        assert (number.signum, number.task) == (9, None)
        assert task.id.startswith("cluster-")
        again = await b.dead_letters.requeue(task.id)
        assert again == task
        await until_equal(
            lambda: a.statistics().dead_lettered + b.statistics().dead_lettered, 3
        )  # it killed twice again
        kills[0] = 1
        await until_equal(lambda: ask(conninfo, "SELECT count(*) FROM trisig.dead"), [(2,)])
        for letter in await b.dead_letters.list():
            if letter.task:
                await b.dead_letters.requeue(letter.id)
        assert [note[1:] for note in await journal.until(1)] == [("a", "x")]
        assert await a.dead_letters.drop(number.id) == number
        assert await b.dead_letters.list() == ()
        for unknown in (number.id, "cluster-", "cluster-x", "cluster-" + "9" * 30, "7"):
            with pytest.raises(LookupError, match="there is no dead letter"):
                await a.dead_letters.requeue(unknown)
        await eventually(lambda: not ask(conninfo, "SELECT 1 FROM trisig.signal"))
    for master in (a, b):
        end = master.statistics()
        assert end.accepted == end.done + end.dead_lettered


async def test_the_dead_letters_of_a_database_that_is_away() -> None:
    """It is said that they are out of reach: a list without them would be taken for all."""
    away = Cluster("host=127.0.0.1 port=1 dbname=x", node="a")
    with pytest.raises(trisig.ClusterError, match="the dead letters of the cluster are out of reach: no connection"):
        await away.dead_letters()
