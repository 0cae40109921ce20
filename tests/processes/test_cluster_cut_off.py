"""A node whose packets are dropped: the kernel acknowledges nothing for it, as if its network were gone."""

from __future__ import annotations

import time
from pathlib import Path

import deaf
import pytest
import trio
from cluster_tools import NODE, a_node, ask, lines, noting, wait_up_for
from postgres_server import Postgres
from witness import Journal, eventually

import trisig
from trisig.postgres import Cluster

LEASE_S = 2.0  # so that a pause is not taken for the cut

DEAFENING = f"""
import sys, trio
sys.path.append({deaf.__file__.rpartition("/")[0]!r})
from deaf import Network
"""
DEAFENING += """

def note(what):
    with open({notes!r} + ".said", "a") as file:
        print(what, time.monotonic(), file=file)

@signals.service("master")
async def deafen(master):
    while not os.path.exists({notes!r} + ".deaf"):
        await trio.sleep(0.01)
    Network().cut()
    note("deaf")
    while master.statistics().cluster.state == "connected":
        await trio.sleep(0.005)
    note("away")

@signals.service("leader")
async def lead(master, token):
    note("leads")
    try:
        await trio.sleep_forever()
    finally:
        note("over")

if __name__ == "__main__":
"""
DEAF = NODE.replace('if __name__ == "__main__":\n', DEAFENING).replace("lease={lease}", f"lease={LEASE_S}")


MANY = 40  # more than the workers run at once


async def hold_many(conninfo: str, folder: Path) -> int:
    """Have the node claim more than it runs, as it does while its handlers are quick; how many it has run by then."""
    go, notes, sent = folder / "go", folder / "notes", 0
    while True:
        go.touch()
        ask(conninfo, "INSERT INTO trisig.signal (signum) SELECT 1 FROM generate_series(1, 300)")
        sent += 300
        await eventually(lambda: len(lines(notes)) == sent)  # noqa: B023  it is called at once
        go.unlink()
        ask(conninfo, "INSERT INTO trisig.signal (signum) SELECT 2 FROM generate_series(1, 40)")
        sent += MANY
        await trio.sleep(0.3)
        if ask(conninfo, "SELECT count(owner) FROM trisig.signal") == [(MANY,)]:
            return len(lines(notes))


@pytest.mark.parametrize(("target", "mules"), [("cluster", 0), ("cluster/mule1", 1), ("cluster/mule2", 2)])
async def test_what_a_node_that_is_cut_off_has_not_begun(
    server: Postgres, conninfo: str, tmp_path: Path, target: str, mules: int
) -> None:
    """Another node runs it, and this one does not, though its handlers have time for it later.

    It is so, too, with what one process was sent that could run here nowhere else.
    """
    source = DEAF.replace('"cluster", hang', f'"{target}", hang')
    journal, folder = Journal(tmp_path), tmp_path / "deaf"
    heir = noting(journal, "heir", s1="cluster", s2="cluster")
    name = conninfo.rpartition("dbname=")[2]
    await Cluster(conninfo, node="any").init()
    with a_node(folder, server.tcp(dbname=name), "deaf", source, mules=mules):
        begun = await hold_many(conninfo, folder)
        await wait_up_for(conninfo, LEASE_S)
        async with trisig.open_master(heir, cluster=Cluster(conninfo, node="heir", lease=LEASE_S)):
            assert not journal.read()
            (folder / "notes.deaf").touch()
            await eventually(lambda: "away" in said(folder))
            await journal.until(MANY)
        (folder / "go").touch()
        await trio.sleep(0.5)
        assert len(lines(folder / "notes")) == begun


def said(folder: Path) -> dict[str, float]:
    """What the node has noted, and when."""
    return {what: float(at) for what, at in map(str.split, lines(folder / "notes.said"))}


async def test_a_node_that_is_cut_off(server: Postgres, conninfo: str, tmp_path: Path) -> None:
    """It stops before another may take over; that one declares it down when its lease is over, and runs what it had."""
    journal, folder = Journal(tmp_path), tmp_path / "deaf"
    heir = noting(journal, "heir", **{f"s{number}": "cluster" for number in range(12)})
    led: list[float] = []

    @heir.service("leader")
    async def lead(master: trisig.Master, token: int) -> None:
        led.append(time.monotonic())

    name = conninfo.rpartition("dbname=")[2]
    await Cluster(conninfo, node="any").init()
    with a_node(folder, server.tcp(dbname=name), "deaf", DEAF) as node:
        ask(conninfo, "INSERT INTO trisig.signal (signum) SELECT generate_series(0, 2)")
        await eventually(lambda: len(lines(folder / "notes")) == 3 and "leads" in said(folder))
        await wait_up_for(conninfo, LEASE_S)
        async with trisig.open_master(heir, cluster=Cluster(conninfo, node="heir", lease=LEASE_S)) as master:
            assert {node.name for node in master.nodes} == {"deaf", "heir"}
            assert not journal.read()
            (folder / "notes.deaf").touch()
            await eventually(lambda: "deaf" in said(folder))
            assert not led
            assert sorted(note[2] for note in await journal.until(3)) == [0, 1, 2]
            await eventually(lambda: [node.name for node in master.nodes] == ["heir"])
            await eventually(lambda: led)
            assert node.poll() is None
            times = said(folder)
            assert times["over"] < times["away"] < led[0]
