"""The tables of a cluster are brought to a later version while nodes run."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from cluster_tools import ask, noting
from witness import Journal, eventually

import trisig
from trisig._cluster.postgres import cluster, schema
from trisig.postgres import Cluster

SECOND = """
ALTER TABLE trisig.signal ADD COLUMN colour text;
UPDATE trisig.version SET version = 2;
"""


def have_version_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the trisig of a later day, whose tables have another column."""
    monkeypatch.setitem(schema._SCRIPTS, 2, SECOND)
    for module in (schema, cluster):
        monkeypatch.setattr(module, "VERSION", 2)


async def test_an_upgrade_without_a_stop(conninfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new node brings the tables to its version; an old one goes on, and they exchange signals."""
    journal = Journal(tmp_path)
    old, new = (
        noting(journal, "old", s1="node_old", s2="node_new"),
        noting(journal, "new", s1="node_old", s2="node_new"),
    )
    async with trisig.open_master(old, cluster=Cluster(conninfo, node="old")) as master:
        await old.send(1)
        have_version_2(monkeypatch)
        async with trisig.open_master(new, cluster=Cluster(conninfo, node="new")):
            assert ask(conninfo, "SELECT version FROM trisig.version") == [(2,)]
            await old.send(2)
            await new.send(1)
            notes = await journal.until(3)
            await eventually(lambda: len(master.nodes) == 2)
            await eventually(lambda: not ask(conninfo, "SELECT 1 FROM trisig.signal WHERE colour IS NULL"))
    assert sorted(note[1:] for note in notes) == [("new", 2), ("old", 1), ("old", 1)]


async def test_an_upgrade_that_has_to_wait(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody holds a table, a new node tries again, and opens meanwhile."""
    await Cluster(conninfo, node="a").init()
    have_version_2(monkeypatch)
    with psycopg.connect(conninfo) as holder:
        holder.execute("LOCK TABLE trisig.signal")
        async with trisig.open_master(trisig.Signals(), cluster=Cluster(conninfo, node="new")) as master:
            seen = master.statistics().cluster
            assert seen is not None
            assert (seen.state, "are in use" in (seen.error or "")) == ("away", True)
            holder.rollback()
            await eventually(lambda: [node.name for node in master.nodes] == ["new"])
    assert ask(conninfo, "SELECT version FROM trisig.version") == [(2,)]
