"""A server that fails, and a standby that takes its place without what was stored last."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cluster_tools
import psycopg
from cluster_tools import a_node, lines, noting
from postgres_server import NOBODY, Postgres, a_server, binaries
from psycopg.conninfo import make_conninfo
from witness import Journal, eventually, wait_in_vain

import trisig
from trisig.postgres import Cluster

# Each handler hangs until there is a file for its signal.
NODE = cluster_tools.NODE.replace("exists({go!r})", 'exists(f"{go}{{signum}}")')


@contextlib.contextmanager
def no_server() -> Iterator[Postgres]:
    """A place for a server, without data."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        home = Path(folder)
        if os.geteuid() == 0:
            os.chown(home, NOBODY, NOBODY)
        server = Postgres(home)
        try:
            yield server
        finally:
            server.stop()


def start_copy(primary: Postgres, standby: Postgres) -> None:
    """Start a standby that has what the primary has now, and does not follow."""
    data = ["-D", str(standby.home / "data"), "-c", "fast"]
    address = ["-U", "postgres", "-h", str(primary.home), "-p", str(primary.port)]
    subprocess.run(
        [str(binaries() / "pg_basebackup"), *data, *address], check=True, capture_output=True, user=standby.user
    )
    standby.be_standby()
    standby.start()


async def test_a_standby_that_lacks_the_last_signals_takes_over(template: Path, tmp_path: Path) -> None:
    """What it numbers like a signal that it lacks is not lost when that one ends, nor when the node dies then."""
    journal, notes, held = Journal(tmp_path), tmp_path / "first/notes", "SELECT 1 FROM trisig.signal"
    insert = "INSERT INTO trisig.signal (signum) VALUES (%s) RETURNING id"
    with a_server(template) as primary, no_server() as standby:
        primary.start()
        homes, ports = f"{primary.home},{standby.home}", f"{primary.port},{standby.port}"
        conninfo = make_conninfo(host=homes, port=ports, user="postgres", dbname="postgres")
        with a_node(tmp_path / "first", conninfo, "first", NODE) as first:
            await eventually(lambda: has_joined(primary))
            start_copy(primary, standby)
            lost = primary.ask(insert, 0)
            await eventually(lambda: lines(notes) == ["0"])
            primary.stop()
            standby.ask("SELECT pg_promote()")
            assert standby.ask(insert, 5) == lost
            await eventually(lambda: lines(notes) == ["0", "5"])
            (tmp_path / "first/go0").touch()
            await wait_in_vain(0.5)  # what has ended is settled
            first.kill()
        heir = noting(journal, "heir", s5="cluster")
        async with trisig.open_master(heir, cluster=Cluster(conninfo, node="heir", lease=1)):
            assert await journal.until(1) == [("worker1", "heir", 5)]
            await eventually(lambda: not standby.ask(held))


def has_joined(server: Postgres) -> bool:
    """Whether there is a node."""
    with contextlib.suppress(psycopg.Error):  # there may be no tables yet
        return bool(server.ask("SELECT 1 FROM trisig.node"))
    return False
