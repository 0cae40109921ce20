"""`trisig run --cluster`, `trisig nodes` and `trisig cluster init`, and where the password must not be."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_view import children
from postgres_server import Postgres, a_server
from program import read_until, run, running
from witness import eventually

PASSWORD = "s3cr3t-w0rd"
APPLICATION = """
import trisig
signals = trisig.Signals()

@signals.handler(1, target="cluster/mules")
def handle(signum):
    print("handled", signum, flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A server whose role `locked` needs a password."""
    with a_server() as server:
        server.start()
        server.ask(f"CREATE ROLE locked LOGIN PASSWORD '{PASSWORD}'")
        yield server


def titles() -> list[bytes]:
    """What `ps` shows of the processes that were started here."""
    return [Path(f"/proc/{pid}/{file}").read_bytes() for pid in children() for file in ("cmdline", "comm")]


def is_settled(folder: Path) -> bool:
    """Whether the master has nothing left to do for its cluster."""
    told = run(folder, "status", "--control=control").stdout
    return "cluster: node web1 of 1, connected, 0 to store, 0 claimed" in told


async def test_a_node_from_the_command_line(server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It joins, handles, is listed and leaves; its password is in no log, title, status or error."""
    made = run(tmp_path, "cluster", "init", server.local, "--grant", "locked")
    assert (made.returncode, made.stdout) == (0, "made the tables of version 1\n")
    conninfo = f"postgresql://locked:{PASSWORD}@127.0.0.1:{server.port}/postgres"
    monkeypatch.setenv("TRISIG_CLUSTER", conninfo)
    options = ("--node", "web1", "--mules", "1", "--log-level", "debug")
    with running(tmp_path, APPLICATION, *options) as app:
        assert run(tmp_path, "send", 1, "--control=control").returncode == 0
        assert app.stdout is not None
        assert app.stdout.readline() == "handled 1\n"
        listed = run(tmp_path, "nodes", "--control=control")
        assert [line.split()[:2] for line in listed.stdout.splitlines()] == [["node", "state"], ["web1", "up"]]
        (node,) = json.loads(run(tmp_path, "nodes", "--json", "--control=control").stdout)
        assert (node["name"], node["state"]) == ("web1", "up")
        server.ask("INSERT INTO trisig.dead VALUES (7, '', 1, NULL, NULL, 3, 'it ended its process 3 times', 'web2')")
        letters = run(tmp_path, "dead-letters", "list", "--control=control").stdout
        assert letters.startswith("cluster-7  ")
        assert letters.endswith("signal 1 for cluster: it ended its process 3 times, on node web2\n")
        assert run(tmp_path, "dead-letters", "requeue", "cluster-7", "--control=control").returncode == 0
        assert app.stdout.readline() == "handled 1\n"
        shown = titles()
        status = run(tmp_path, "status", "--json", "--control=control").stdout
        await eventually(lambda: is_settled(tmp_path))  # what was handled is settled a moment later
        told = run(tmp_path, "status", "--control=control").stdout
        server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'locked'")
        log = "".join(read_until(app, "cluster: connected again"))
        assert "cluster: the connection was lost" in log
    assert PASSWORD not in log + status + told
    assert not any(PASSWORD.encode() in title for title in shown)
    assert server.ask("SELECT * FROM trisig.node") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cluster", f"host=db password={PASSWORD}"], "a command line is no place for a password"),
        (["--cluster", f"postgresql://me:{PASSWORD}/x@db"], 'invalid integer value "..." for connection option "port"'),
        (["--node", "web1"], "--node names a node of a cluster: write --cluster, too"),
        ([], "target 'cluster/mules' needs a cluster: open the master with --cluster"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    """It says what to write instead, and repeats no password."""
    (tmp_path / "app.py").write_text(APPLICATION)
    refused = run(tmp_path, "run", "app.py", "--mules", 1, *words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert PASSWORD not in refused.stderr


def test_what_init_prints(tmp_path: Path) -> None:
    """The tables and the grants, for somebody else to run; and a database that is not there is one line."""
    printed = run(tmp_path, "cluster", "init", "--print", "--grant", 'o"dd').stdout
    assert "CREATE TABLE trisig.signal" in printed
    assert 'ON SCHEMA trisig TO "o""dd";' in printed
    refused = run(tmp_path, "cluster", "init", "host=127.0.0.1 port=1", **os.environ)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (1, 1)
    assert refused.stderr.startswith("trisig: no connection: ")


def test_a_master_without_a_cluster(tmp_path: Path) -> None:
    """Its nodes are asked for in vain."""
    with running(tmp_path, "import trisig\nsignals = trisig.Signals()\n"):
        refused = run(tmp_path, "nodes", "--control=control")
    assert refused.returncode == 1
    assert refused.stderr == "trisig: this master is not a node of a cluster: start it with --cluster\n"
