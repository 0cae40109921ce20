"""A session of one node with the database: three connections, and a fourth while it watches a neighbour.

`life` holds the session lock of the node, renews its lease and listens; `store` stores what is raised; `work` settles
and claims. So a commit that waits for a standby does not cost the lease, and `send` does not wait for a claim.
"""

from __future__ import annotations

import functools
import logging
import math
import secrets
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

import psycopg
import trio

from trisig._cluster.engine import (
    MOST_BYTES,
    Claimed,
    ClusterLink,
    ClusterLostError,
    News,
    Outbound,
    Settlement,
)
from trisig._model.errors import ClusterError
from trisig._model.node_info import NodeInfo
from trisig._model.once import Once
from trisig._model.targets import ANY_NODE, EVERY_NODE
from trisig._sources.postgres.server import Server
from trisig._sources.postgres.wire import ConnectError, QueryError, Wire, connect

from . import statements as sql
from .floors import Floors
from .words import heard, said

log = logging.getLogger("trisig")
P = ParamSpec("P")
T = TypeVar("T")

ANSWER_S = 10.0  # for one statement; then its outcome is unknown, and it is repeated on another connection
_FORGETS_APART_S = 3600.0
# A node looks once in a grace at least, and then everywhere; less often if that takes long, but once in a lease.
_SOONER, _RARER = 0.9, 50
LOCKED = "55P03"  # the SQLSTATE of a lock that was not granted in time
_LOCK_TIMEOUT_MS = 300  # a killed process keeps its lock for a few
_TRANSIENT = ("40", "53", "55", "57")  # classes of SQLSTATE: serialization, resources, locks, the server's shutdown
_SETTINGS = (
    "SET client_connection_check_interval = 1000",  # or a dead node's lock is held until its statement ends
    f"SET lock_timeout = {_LOCK_TIMEOUT_MS}",
    "RESET synchronous_commit",  # a pooler may hand us what another client has set
    "SET enable_seqscan = off",  # a plan is kept, and the table may be empty when it is made
)


def losing(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Raise `ClusterLostError` for whatever ends a connection, or leaves it in the middle of a statement."""

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await function(*args, **kwargs)
        except psycopg.OperationalError as error:
            raise ClusterLostError(f"the connection was lost: {' '.join(str(error).split())}") from None
        except trio.TooSlowError:
            raise ClusterLostError("the server does not answer") from None
        except QueryError as error:
            if error.code.startswith(_TRANSIENT):
                raise ClusterLostError(str(error), answered=True) from None
            raise ClusterError(str(error)) from error

    return wrapper


@asynccontextmanager
async def open_wire(server: Server, silence: float = ANSWER_S) -> AsyncIterator[Wire]:
    """A connection with the settings that a cluster needs.

    Args:
        server: where.
        silence: seconds after which the server ends the session of a client that acknowledges nothing.

    Raises:
        ClusterLostError: there is none.
    """
    try:
        wire = await connect(server)
    except ConnectError as error:
        raise ClusterLostError(f"no connection: {error}", answered=error.answered) from None
    try:
        for setting in (*_SETTINGS, *_silence(silence)):
            await _ask(wire, setting)
        yield wire
    finally:
        wire.close()


def _silence(seconds: float) -> Iterator[str]:
    """How the server learns that nobody is there any more: what it sends is not acknowledged, or a probe is not."""
    yield f"SET tcp_user_timeout = {round(seconds * 1000)}"
    yield f"SET tcp_keepalives_idle = {math.ceil(seconds / 2)}"
    yield f"SET tcp_keepalives_interval = {math.ceil(seconds / 4)}"


@losing
async def _ask(wire: Wire, statement: str, *values: object) -> list[tuple[str | None, ...]]:
    with trio.fail_after(ANSWER_S):
        return await wire.query(statement, *values)


@losing
async def _ask_again(wire: Wire, statement: str, *values: object) -> list[tuple[str | None, ...]]:
    """Ask what is asked often: planning it each time would take the server longer than doing it."""
    with trio.CancelScope(deadline=trio.current_time() + ANSWER_S):  # `fail_after` takes twice the time
        return await wire.query_prepared(statement, *values)
    raise trio.TooSlowError


async def hurry_commits(wire: Wire) -> None:
    """Do not wait for the disk on a connection that claims and settles.

    When the server crashes, what it forgets of that is a claim or an end: the signal runs once more. What is stored
    waits for the disk less long without all these commits.
    """
    await _ask(wire, "SET synchronous_commit = off")


def lock_of(name: str) -> int:
    """The second key of the session lock of a node."""
    return zlib.crc32(name.encode()) - 2**31


@dataclass(frozen=True)
class Wires:
    """The connections of a node: see above."""

    life: Wire
    work: Wire
    store: Wire


class PostgresLink(ClusterLink):
    """A session.

    Args:
        server: where it is.
        wires: its connections.
        name: of the node.
        lease: seconds.
        grace: seconds for a new session.
    """

    def __init__(self, server: Server, wires: Wires, name: str, lease: float, grace: float) -> None:
        self._server = server
        self._life, self._work, self._store = wires.life, wires.work, wires.store
        self._name, self._lease, self._grace = name, lease, grace
        self._has_lock = self._has_leader_row = False
        self._forgets_at = self._looks_everywhere_at = -math.inf
        self._floors = Floors(name, ANY_NODE)
        self._known: Sequence[str] = ()  # what was claimed by the last look
        self._stored: int | None = None  # the lowest id that is not announced

    async def open(self) -> None:
        """Listen, and take the lock of the node.

        Raises:
            ClusterError: there is a pooler in between that gives each transaction another session.
        """
        await self._listen()
        await self._check_road()
        self._has_lock = await self._locked(self._life)

    @losing
    async def _listen(self) -> None:
        with trio.fail_after(ANSWER_S):
            await self._life.query(f"LISTEN {sql.CHANNEL}")

    async def _check_road(self) -> None:
        """Refuse a pooler that gives each transaction another session.

        Connections that share a session are a pooler's. So are those of which one does not hear the other. The one that
        listens asks nothing meanwhile: a pooler would lend it a session, and let it hear itself.
        """
        pids = [await _ask(wire, "SELECT pg_backend_pid()") for wire in (self._life, self._work, self._store)]
        if len(set(map(tuple, pids))) == len(pids) and await self._hears():
            return
        raise ClusterError(
            f"postgres at {self._server}: a pooler in transaction mode lies between; "
            "connect to the server itself, or through a pooler in session mode"
        )

    async def _hears(self) -> bool:
        word = secrets.token_hex(8)
        await _ask(self._work, "SELECT pg_notify($1, $2)", sql.CHANNEL, word)
        with trio.move_on_after(ANSWER_S):
            while not any(payload.decode() == word for _, payload in self._life.notified()):
                await self._arrival()
            return True
        return False

    @losing
    async def _locked(self, wire: Wire) -> bool:
        try:
            with trio.fail_after(ANSWER_S):
                await wire.query("SELECT pg_advisory_lock($1, $2)", sql.LOCKS, lock_of(self._name))
        except QueryError as error:
            if error.code != LOCKED:
                raise
            return False
        return True

    @losing
    async def _arrival(self) -> None:
        await self._life.wait_arrival()

    # Its lease

    async def join(self, incarnation: str) -> None:
        self._looks_everywhere_at = -math.inf
        while not await self._joined(incarnation):
            if not self._has_lock:
                raise trio.BusyResourceError(
                    f"there is a node {self._name} already at {self._server}: give this one another name with node="
                )
            # Whoever had the name has no session any more: it gets the grace to come back.
            await _ask(self._life, sql.SHORTEN_NAME, self._name, self._grace)
            ((left,),) = await _ask(self._life, sql.LEASE_LEFT, self._name) or [(None,)]
            await trio.sleep(max(0.0, float(left or 0)) + 0.01)
        await _ask(self._life, sql.FREE)
        await _ask(self._life, "SELECT pg_notify($1, 'nodes')", sql.CHANNEL)

    async def _joined(self, incarnation: str) -> bool:
        await _ask(self._life, sql.JOIN_OVER, self._name)
        return bool(await _ask(self._life, sql.JOIN, incarnation, self._name, self._lease, _bool(self._has_lock)))

    async def renew(self, incarnation: str, *, sweep: bool) -> tuple[NodeInfo, ...] | None:
        if not await _ask(self._life, sql.RENEW, incarnation, self._lease, _bool(self._has_lock)):
            return None
        if sweep:
            await _ask(self._life, sql.SWEEP, incarnation, self._lease)
            await _ask(self._life, sql.FREE)
            await self._forget()
        return tuple(map(_node_of, await _ask(self._life, sql.NODES)))

    async def _forget(self) -> None:
        """Delete what is old, now and then."""
        if trio.current_time() >= self._forgets_at:
            self._forgets_at = trio.current_time() + _FORGETS_APART_S
            for statement in sql.FORGET:
                await _ask(self._life, statement)

    async def lead(self, incarnation: str) -> int | None:
        if not self._has_leader_row:
            await _ask(self._life, sql.LEADER)
            self._has_leader_row = True
        rows = await _ask(self._life, sql.LEAD, incarnation)
        return int(rows[0][0] or 0) if rows else None

    async def resign(self, incarnation: str) -> None:
        await _ask(self._life, sql.RESIGN, incarnation)

    async def leave(self, incarnation: str) -> None:
        await _ask(self._work, sql.LEAVE, incarnation)

    async def wait_news(self) -> Collection[News]:
        while True:
            news: set[News] = set()
            for _, payload in self._life.notified():
                if (found := heard(payload, self._name)) is not None:
                    news.add(found[0])
                    self._floors.say(found[1])
            if news:
                return news
            await self._arrival()

    async def wait_silent(self, incarnation: str) -> None:
        async with open_wire(self._server, self._lease - self._grace) as wire:
            found = await _ask(wire, "SELECT name, watched FROM trisig.node WHERE incarnation = $1", incarnation)
            if not found or found[0][1] != "t":
                await trio.sleep_forever()
            await self._wait_unlocked(wire, lock_of(str(found[0][0])))
            await _ask(wire, sql.SHORTEN, incarnation, self._grace)

    @losing
    async def _wait_unlocked(self, wire: Wire, key: int) -> None:
        await wire.query("SET lock_timeout = 0")
        await wire.query("SELECT pg_advisory_lock_shared($1, $2)", sql.LOCKS, key)
        await wire.query("SELECT pg_advisory_unlock_shared($1, $2)", sql.LOCKS, key)

    # Its work

    async def put(self, sender: str, number: int, batch: Sequence[Outbound]) -> bool:
        if all(one.once is None and not one.due and one.node != EVERY_NODE for one in batch):
            ((first,),) = await _ask_again(self._store, sql.PUT_PLAIN, sender, number, *_columns(batch))
            if first is not None:
                self._has_stored(int(first))
                return True
        now, once = time.time(), [one.once for one in batch]
        ((fresh, first),) = await _ask_again(
            self._store,
            sql.PUT,
            sender,
            number,
            *_columns(batch),
            sql.array([None if one is None else one.source for one in once]),
            sql.array([None if one is None else _timestamp(one.due) for one in once]),
            sql.array([one.due - now if one.due > now else None for one in batch]),
        )
        if fresh != "0" and first is None:
            return False
        self._has_stored(int(first or 0))
        return True

    def _has_stored(self, first: int) -> None:
        """Look from there on, and have others do so, too."""
        self._floors.say(first)
        self._stored = first if self._stored is None else min(first, self._stored)

    async def keep(
        self, sender: str, number: int, batch: Sequence[Outbound], incarnation: str
    ) -> Sequence[Claimed] | None:
        rows = await _ask_again(self._store, sql.PUT_KEPT, sender, number, *_columns(batch), incarnation)
        ids = sorted(int(row_id or 0) for (row_id,) in rows)
        return [_kept(*pair) for pair in zip(ids, batch, strict=True)] if ids else None

    async def announce(self, words: Collection[str]) -> None:
        first, self._stored = self._stored, None
        await _ask(self._work, sql.ANNOUNCE, sql.array([said(word, first) for word in words]))

    async def ripen(self) -> float | None:
        ((_, left),) = await _ask(self._life, sql.RIPEN)
        return None if left is None else max(0.0, float(left))

    async def last_due(self, source: str) -> float | None:
        ((due,),) = await _ask(
            self._work, "SELECT extract(epoch FROM max(due)) FROM trisig.fired WHERE source = $1", source
        )
        return None if due is None else float(due)

    async def claim(
        self, incarnation: str, signums: Collection[int], tasks: Collection[str], limit: int
    ) -> Sequence[Claimed]:
        known = sql.array(list(signums)), sql.array(list(tasks))
        began = trio.current_time()
        if everywhere := known != self._known or began >= self._looks_everywhere_at:
            await self._look_everywhere()
            self._known = known
        nodes, *starts = zip(*self._floors.starts(), strict=True)
        rows = await _ask_again(
            self._work,
            sql.CLAIM,
            incarnation,
            sql.array(nodes),
            known[0],
            limit,
            known[1],
            MOST_BYTES,
            *map(sql.array, starts),
        )
        # RETURNING has no order.
        found = sorted(((_claimed_of(row), str(row[-1])) for row in rows), key=lambda pair: _rank(pair[0]))
        if everywhere:
            took = trio.current_time() - began
            self._looks_everywhere_at = began + min(max(self._grace * _SOONER, took * _RARER), self._lease)
        # Of tasks there may be more, which were too large.
        self._floors.looked(found, ended=len(found) < limit and all(one.task is None for one, _ in found))
        return [one for one, _ in found]

    async def _look_everywhere(self) -> None:
        """Have the next look find what nobody has said, because its node died, say."""
        ((top,),) = await _ask(self._work, sql.TOP) or [(None,)]
        self._floors.say(0)
        self._floors.top = int(top or 0)

    async def keep_only(self, incarnation: str, known: Callable[[], Collection[int]]) -> None:
        ((newest,),) = await _ask(self._work, sql.NEWEST)
        await _ask(self._work, sql.KEEP_ONLY, incarnation, sql.array(list(known())), newest)

    async def settle(self, incarnation: str, settlement: Settlement) -> None:
        dead_ids, reasons = [row_id for row_id, _ in settlement.dead], [reason for _, reason in settlement.dead]
        await _ask_again(
            self._work,
            sql.SETTLE,
            incarnation,
            sql.array(settlement.done),
            sql.array(settlement.returned),
            sql.array(dead_ids),
            sql.array(reasons),
            self._name,
        )
        if settlement.returned:
            await _ask(self._work, sql.ANNOUNCE, sql.array([said("signals", min(settlement.returned))]))


def _bool(value: bool) -> str:  # noqa: FBT001  a value like the others
    return "true" if value else "false"


def _columns(batch: Sequence[Outbound]) -> list[str | None]:
    """What every statement stores, by columns."""
    columns: list[str | None] = [sql.array([one.node for one in batch]), sql.array([one.signum for one in batch])]
    if all(one.task is None for one in batch):
        return [*columns, None, None, None]
    return [
        *columns,
        sql.array([one.task for one in batch]),
        sql.array([None if one.task is None else f"\\x{one.arguments.hex()}" for one in batch]),
        sql.array([one.priority for one in batch]),
    ]


def _kept(row_id: int, one: Outbound) -> Claimed:
    return Claimed(row_id, one.signum, 1, None, one.task, bytes(one.arguments), one.priority)


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _node_of(row: Sequence[Any]) -> NodeInfo:
    name, incarnation, since, up, leads = row
    return NodeInfo(name, incarnation, float(since), "up" if up == "t" else "silent", leads == "t")


def _claimed_of(row: Sequence[Any]) -> Claimed:
    row_id, signum, attempts, source, due, task, arguments, priority, _ = row
    once = None if source is None else Once(source, float(due or 0))
    number = None if signum is None else int(signum)
    return Claimed(int(row_id), number, int(attempts), once, task, bytes.fromhex(arguments or ""), int(priority))


def _rank(claimed: Claimed) -> tuple[int, int]:
    return claimed.priority, claimed.id
