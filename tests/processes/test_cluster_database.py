"""What a cluster asks of its database: claims, repetitions, rights, poolers."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
import trio
from cluster_tools import ask
from ports import free_port
from postgres_server import NOBODY, Postgres, a_server
from witness import PATIENCE, eventually

import trisig
from trisig._cluster.engine import ClusterLostError, Outbound, Settlement
from trisig._cluster.postgres import statements
from trisig._cluster.postgres.link import PostgresLink
from trisig._model.once import Once
from trisig.postgres import Cluster

ONE = [Outbound(1, "")]


async def test_a_claim_is_no_larger_than_asked_for(link: PostgresLink, conninfo: str) -> None:
    """Also after the planner has seen the table almost empty, when it runs a subquery for each row."""
    await link.put("me", 1, ONE)
    ask(conninfo, "ANALYZE trisig.signal")
    await link.put("me", 2, ONE * 10)
    claims = [await link.claim("first", [1], [], 3) for _ in range(4)]
    assert [len(claimed) for claimed in claims] == [3, 3, 3, 2]
    ids = [one.id for claimed in claims for one in claimed]
    assert ids == sorted(ids), "in the order in which they were raised"
    assert await link.claim("first", [1], [], 3) == []


async def test_a_batch_is_stored_once(link: PostgresLink, conninfo: str) -> None:
    """Repeated after an unknown outcome it is not stored again, not even if it was handled meanwhile."""
    await link.put("me", 1, ONE * 2)
    await link.put("me", 1, ONE * 2)
    claimed = await link.claim("first", [1], [], 10)
    assert len(claimed) == 2
    await link.settle("first", Settlement(done=[one.id for one in claimed]))
    await link.put("me", 1, ONE * 2)
    assert ask(conninfo, "SELECT 1 FROM trisig.signal") == []
    await link.put("another", 1, ONE)
    assert len(await link.claim("first", [1], [], 10)) == 1


async def test_an_occurrence_passes_once(link: PostgresLink, conninfo: str) -> None:
    """Of two nodes that raise what was due at one instant, one is let through."""
    due = Outbound(1, "", Once("cron", 1_700_000_000.0))
    await link.put("me", 1, [due, Outbound(2, "")])
    await link.put("another", 1, [due, Outbound(1, "", Once("cron", 1_700_000_060.0))])
    rows = ask(conninfo, "SELECT signum, extract(epoch FROM due)::int FROM trisig.signal ORDER BY id")
    assert rows == [(1, 1_700_000_000), (2, None), (1, 1_700_000_060)]


async def test_claims_of_a_node_that_does_not_live(link: PostgresLink, conninfo: str) -> None:
    """Who was declared down claims nothing, settles nothing of others, and learns of it when it renews its lease."""
    await link.put("me", 1, ONE)
    (one,) = await link.claim("first", [1], [], 1)
    ask(conninfo, "DELETE FROM trisig.node")
    ask(conninfo, statements.FREE)
    assert await link.claim("first", [1], [], 1) == []
    assert await link.renew("first", sweep=True) is None
    await link.join("second")
    (again,) = await link.claim("second", [1], [], 1)
    assert (again.id, again.attempts) == (one.id, 2)
    await link.settle("first", Settlement(done=[one.id]))
    await link.settle("second", Settlement(returned=[one.id]))
    assert ask(conninfo, "SELECT owner, attempts FROM trisig.signal") == [(None, 1)]


async def test_what_was_claimed_by_a_lost_answer(link: PostgresLink, conninfo: str) -> None:
    """A node gives back what it does not know that it has."""
    await link.put("me", 1, ONE * 3)
    known, *_ = await link.claim("first", [1], [], 3)
    await link.keep_only("first", lambda: [known.id])
    rows = ask(conninfo, "SELECT owner, attempts FROM trisig.signal ORDER BY id")
    assert rows == [("first", 1), (None, 0), (None, 0)]


async def test_the_server_ends_a_session(link: PostgresLink, conninfo: str) -> None:
    """Whatever is asked then says that the session is lost."""
    ask(conninfo, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trisig'")
    query: LiteralString = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'trisig'"
    await eventually(lambda: not ask(conninfo, query))

    async def hear() -> None:
        while True:
            await link.wait_news()  # what came before

    with pytest.raises(ClusterLostError):
        await link.put("me", 1, ONE)
    with pytest.raises(ClusterLostError):
        await link.renew("first", sweep=True)
    with pytest.raises(ClusterLostError):
        await hear()


async def test_a_role_with_few_rights(server: Postgres, conninfo: str) -> None:
    """One that may not make tables is told what to do; with the printed grants it is a node; another may not raise."""
    ask(server.local, "CREATE ROLE few LOGIN")
    signals, few = trisig.Signals(), Cluster(conninfo.replace("user=postgres", "user=few"), node="few")
    signals.register(1, "cluster", print)
    with pytest.raises(trisig.ClusterError, match="have `trisig cluster init` run by a role that may"):
        async with trisig.open_master(signals, cluster=few):
            pass
    assert await Cluster(conninfo, node="a").init() == "made the tables of version 1"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ask(conninfo.replace("user=postgres", "user=few"), "INSERT INTO trisig.signal (signum) VALUES (1)")
    assert await Cluster(conninfo, node="a").init("few") == "the tables are of version 1 already"
    async with trisig.open_master(signals, cluster=few) as master:
        await signals.send(1)
        assert [node.name for node in master.nodes] == ["few"]


async def test_tables_of_a_later_version(conninfo: str) -> None:
    """They are not touched."""
    await Cluster(conninfo, node="a").init()
    ask(conninfo, "UPDATE trisig.version SET version = 99")
    with pytest.raises(trisig.ClusterError, match="are of version 99; this trisig knows version 1"):
        async with trisig.open_master(trisig.Signals(), cluster=Cluster(conninfo, node="a")):
            pass


async def test_a_standby_is_no_place_for_a_cluster(template: Path) -> None:
    """The master opens, and goes on trying: it may be the primary one day."""
    with a_server(template) as server:
        server.start()
        server.stop()
        server.be_standby()
        server.start()
        conninfo = f"{server.local} target_session_attrs=any"
        async with trisig.open_master(trisig.Signals(), cluster=Cluster(conninfo, node="a")) as master:
            cluster = master.statistics().cluster
            assert cluster is not None
            assert cluster.error is not None
            assert cluster.error.startswith("this server is a standby")


@contextlib.contextmanager
def a_pooler(server: Postgres, folder: Path, mode: str) -> Iterator[str]:
    """A pgbouncer in front of the server: its conninfo."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer is installed")
    port = free_port()
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={server.port} user=postgres\n"
        f"[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n"
        f"auth_type=any\npool_mode={mode}\nunix_socket_dir=\nlogfile=\nignore_startup_parameters=extra_float_digits\n"
    )
    command, user = [program, "-q", str(settings)], NOBODY if os.geteuid() == 0 else None
    settings.chmod(0o644)
    with settings.open() as _, subprocess.Popen(command, user=user, stderr=subprocess.DEVNULL, cwd="/") as pooler:
        try:
            yield f"host=127.0.0.1 port={port} user=postgres dbname=postgres"
        finally:
            pooler.terminate()


async def connected(conninfo: str) -> None:
    """Wait until a pooler answers."""
    host = dict(word.split("=") for word in conninfo.split())
    with trio.fail_after(PATIENCE):
        while True:
            try:
                stream = await trio.open_tcp_stream(host["host"], int(host["port"]))
            except OSError:
                await trio.sleep(0.01)
            else:
                await stream.aclose()
                return


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_a_pooler(server: Postgres, mode: str) -> None:
    """In session mode it works; in transaction mode, where each hears itself alone, it is refused by name."""
    folder = server.home / mode
    folder.mkdir()
    with a_pooler(server, folder, mode) as conninfo:
        await connected(conninfo)
        signals = trisig.Signals()
        signals.register(1, "cluster", lambda _: None)
        if mode == "session":
            async with trisig.open_master(signals, cluster=Cluster(conninfo, node="a")):
                await signals.send(1)
            return
        with pytest.raises(trisig.ClusterError, match="a pooler in transaction mode lies between"):
            async with trisig.open_master(signals, cluster=Cluster(conninfo, node="a")):
                pass
