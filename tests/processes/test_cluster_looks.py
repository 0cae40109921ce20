"""Looks at the table pass over what is settled, and find what came to be free behind that."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import psycopg
import pytest
import trio
from cluster_tools import ask
from witness import PATIENCE

from trisig._cluster.engine import MOST_BYTES, Outbound, Settlement
from trisig._cluster.postgres import statements as sql
from trisig._cluster.postgres.link import PostgresLink, open_wire
from trisig._cluster.postgres.words import heard
from trisig._sources.postgres.server import server_of
from trisig._sources.postgres.wire import Wire

ONE = [Outbound(1, "")]
SETTLED = 200  # batches of 100
RAISE = "INSERT INTO trisig.signal (signum) VALUES (1)"


@pytest.fixture
async def wire(conninfo: str) -> AsyncIterator[Wire]:
    """A connection of nobody."""
    async with open_wire(server_of(conninfo)) as wire:
        yield wire


async def test_no_statement_passes_over_dead_rows(link: PostgresLink, conninfo: str, wire: Wire) -> None:
    """Even if none may be removed, because somebody looks at an old snapshot."""
    statements = {
        sql.CLAIM: ("first", "{}", "{1}", 9, "{}", 2**24, "{}", "{}", "{}"),
        sql.SETTLE: ("first", sql.array(list(range(100))), "{}", "{}", "{}", "a"),
        sql.FREE: (),
        sql.PUT_PLAIN: ("you", 2, '{""}', "{1}", None, None, None),
        sql.PUT_KEPT: ("you", 3, '{""}', "{1}", None, None, None, "first"),
    }
    await link.put("you", 1, ONE)
    for statement, values in statements.items():
        await wire.query_prepared(statement, *values)  # planned for a table that is nearly empty
    with psycopg.connect(conninfo) as looking:
        looking.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        looking.execute("SELECT 1")
        for number in range(SETTLED):
            await link.put("me", number + 1, ONE * 100)
            claimed = await link.claim("first", [1], [], 200)
            assert len(claimed) >= 100
            await link.settle("first", Settlement(done=[one.id for one in claimed]))
        await link.put("me", SETTLED + 1, ONE)
        nodes, *starts = zip(*link._floors.starts(), strict=True)
        statements[sql.CLAIM] = "first", sql.array(nodes), "{1}", 9, "{}", 2**24, *map(sql.array, starts)
        for mode in ("generic", "custom"):
            await wire.query(f"SET plan_cache_mode = force_{mode}_plan")
            for statement, values in statements.items():
                assert await buffers(wire, statement, *values) < 100, (statement, mode)


async def buffers(wire: Wire, statement: str, *values: object) -> int:
    """How many pages a step of a prepared statement looks at, at most."""
    words = ",".join("NULL" if value is None else f"'{value}'" for value in values)
    execute = wire._prepared[statement].decode() + (f"({words})" if values else "")
    ((plan,),) = await wire.query(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {execute}")
    assert (statement is sql.FREE) == ("signal_owned" in str(plan)), "only there they are looked for by owner"
    return max(map(int, re.findall(r'"Shared Hit Blocks": (\d+)', plan or "")))


async def until_told(link: PostgresLink) -> None:
    """Wait until somebody has announced signals."""
    with trio.fail_after(PATIENCE):
        while "signals" not in await link.wait_news():
            pass


async def test_a_transaction_that_ends_late(link: PostgresLink, conninfo: str) -> None:
    """Its row is found when it is announced, though later ones were claimed before."""
    with psycopg.connect(conninfo) as late:
        late.execute(RAISE)
        late.execute("NOTIFY trisig")
        await link.put("me", 1, ONE)
        assert [one.id for one in await link.claim("first", [1], [], 9)] == [2]
        late.commit()
        await until_told(link)
    assert [one.id for one in await link.claim("first", [1], [], 9)] == [1]


async def test_what_is_given_back(link: PostgresLink, conninfo: str) -> None:
    """It is announced, and found."""
    await link.put("me", 1, ONE * 3)
    first, second, third = await link.claim("first", [1], [], 9)
    await link.settle("first", Settlement(done=[first.id, third.id], returned=[second.id]))
    await until_told(link)
    assert [one.id for one in await link.claim("first", [1], [], 9)] == [second.id]


async def test_what_nobody_announces(link: PostgresLink, conninfo: str) -> None:
    """It is found by a look that begins at the first row."""
    await link.put("me", 1, ONE * 2)
    assert len(await link.claim("first", [1], [], 9)) == 2
    ask(conninfo, "UPDATE trisig.signal SET owner = NULL WHERE id = 1")
    assert await link.claim("first", [1], [], 9) == []
    link._looks_everywhere_at = 0.0
    assert [one.id for one in await link.claim("first", [1], [], 9)] == [1]


async def test_a_number_that_comes_to_be_known(link: PostgresLink, conninfo: str) -> None:
    """A node that registers it finds what waits for it behind other signals."""
    await link.put("me", 1, [Outbound(2, ""), *ONE])
    assert [one.id for one in await link.claim("first", [1], [], 9)] == [2]
    assert [one.id for one in await link.claim("first", [1, 2], [], 9)] == [1]


async def test_tasks_that_are_too_large_for_one_claim(link: PostgresLink) -> None:
    """They come with the next ones, before the signals that were raised later, and nothing is left behind."""
    for number in range(4):
        await link.put("me", number + 1, [Outbound(None, "", task="t", arguments=bytes(MOST_BYTES * 5 // 8))])
    await link.put("me", 5, ONE)
    claims = [[one.id for one in await link.claim("first", [1], ["t"], 9)] for _ in range(4)]
    assert claims == [[1, 2], [3, 4], [5], []]


async def test_claims_of_nodes_that_are_gone(link: PostgresLink, conninfo: str, wire: Wire) -> None:
    """They are free again, whatever the order of the names of these nodes and of one that is up."""
    await link.put("me", 1, ONE * 4)
    ask(conninfo, "UPDATE trisig.signal SET owner = (ARRAY['aa', 'first', 'z', 'zz'])[id]")
    await wire.query(sql.FREE)
    assert ask(conninfo, "SELECT id, owner FROM trisig.signal ORDER BY id") == [
        (1, None),
        (2, "first"),
        (3, None),
        (4, None),
    ]


@pytest.mark.parametrize(
    ("payload", "news"),
    [
        (b"", ("signals", 0)),
        (b"signals", ("signals", 0)),
        (b"signals a", ("signals", 0)),
        (b"signals b", None),
        (b"signals a 17", ("signals", 17)),
        (b"signals * 17", ("signals", 17)),
        (b"signals b 17", None),
        (b"signals * 99999999999999999999999", ("signals", 0)),
        (b"signals * -1", ("signals", 0)),
        (b"\xff x y z", ("signals", 0)),
    ],
)
def test_whatever_is_announced(payload: bytes, news: object) -> None:
    """Is a reason to look, and never one to look at less; but for what is another node's."""
    assert heard(payload, "a") == news
