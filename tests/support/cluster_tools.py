"""Nodes of a cluster, and a database for each test."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import trio
from kernel_view import children
from postgres_server import Postgres
from psycopg import sql
from witness import Journal

import trisig

LEASE = 1.0
LONG = 30.0  # for what shall not depend on a lease; a fifth of it is the grace for a new session

NODE = """
import os, time, trisig
from trisig.postgres import Cluster
signals = trisig.Signals()

def hang(signum):
    with open({notes!r}, "a") as file:
        file.write(f"{{signum}}\\n")
    while not os.path.exists({go!r}):
        time.sleep(0.01)

for number in range(12):
    signals.register(number, "cluster", hang)
if __name__ == "__main__":
    cluster = Cluster({conninfo!r}, node={node!r}, lease={lease})
    trisig.run(signals, workers=3, cluster=cluster, **{options})
"""


@contextmanager
def database(server: Postgres, numbers: Iterator[int]) -> Iterator[str]:
    """The conninfo of a new database."""
    name = f"cluster{next(numbers)}"
    server.ask(sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(sql.Identifier(name)))
    yield server.local.replace("dbname=postgres", f"dbname={name}")


def counting() -> Iterator[int]:
    """Numbers for names."""
    return count(1)


def noting(journal: Journal, node: str, **targets: str) -> trisig.Signals:
    """An application whose handlers note their node, by targets of the signals `s17` and so on."""
    signals = trisig.Signals()
    for number, target in targets.items():
        signals.register(int(number[1:]), target, lambda signum: journal.note(node, signum))
    return signals


def lines(path: Path) -> list[str]:
    """What a node of its own has noted."""
    return path.read_text().splitlines() if path.exists() else []


def ask(conninfo: str, query: LiteralString) -> list[tuple[Any, ...]]:
    """The rows that a statement gives."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


async def wait_up_for(conninfo: str, lease: float) -> None:
    """Until the server has been up for a lease: before that it declares no node down."""
    up = "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())"
    await trio.sleep(max(0.0, lease - float(ask(conninfo, up)[0][0])))


@contextmanager
def a_node(
    folder: Path, conninfo: str, name: str, source: str = NODE, lease: float = LEASE, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A node in a process group of its own; the handlers of `NODE` hang until `folder / "go"` exists."""
    folder.mkdir()
    before = children()
    source = source.format(
        notes=str(folder / "notes"), go=str(folder / "go"), conninfo=conninfo, node=name, lease=lease, options=options
    )
    (folder / "node.py").write_text(source)
    with subprocess.Popen([sys.executable, folder / "node.py"], cwd=folder, start_new_session=True) as process:
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            reap({pid for pid in children() - before if os.getsid(pid) == process.pid})


def reap(pids: set[int]) -> None:
    """Wait for the children of a killed master: they are this process's, if it had an open one, and end at once."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
