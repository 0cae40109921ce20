"""`Cluster`: the engine of a cluster in PostgreSQL."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from typing import TypeVar

import trio
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from trisig._cluster.engine import ClusterEngine, ClusterLink, ClusterLostError
from trisig._model.dead_letter import DeadLetter
from trisig._model.errors import ClusterError
from trisig._model.targets import check_node_name
from trisig._sources.postgres.server import Server, server_of
from trisig._sources.postgres.wire import QueryError, Wire

from .dead_letters import drop_letter, list_letters, requeue_letter
from .link import ANSWER_S, LOCKED, PostgresLink, Wires, hurry_commits, losing, open_wire
from .schema import VERSION, grants, script, script_alone

T = TypeVar("T")

log = logging.getLogger("trisig")

LEASE_S = 10.0
_SHORTEST_LEASE_S = 0.5
_GRACE = 5  # parts of a lease
_MISSING = ("42P01", "3F000")  # no such table, no such schema


class Cluster(ClusterEngine):
    """A cluster whose nodes meet in a PostgreSQL database.

    Args:
        conninfo: how to connect, as for `trisig.postgres.notification`. A password is better kept in `PGPASSFILE`.
        node: the name of this node, the same after a restart; None for the name of the host.
        lease: seconds without a word from a node after which the others declare it down. A node whose connection
            ends has a fifth of them to make another one.

    Attributes:
        has_password: whether the conninfo has one in it.

    Raises:
        TypeError: a value of another type.
        ValueError: a conninfo that libpq would refuse; a name that no node can have; a lease below half a second.
    """

    def __init__(self, conninfo: str, *, node: str | None = None, lease: float = LEASE_S) -> None:
        self._server = _writable(server_of(conninfo), conninfo)
        self.node = check_node_name(socket.gethostname() if node is None else node)
        if isinstance(lease, bool) or not isinstance(lease, (int, float)):
            raise TypeError(f"lease is a number of seconds, not {lease!r}")
        if not _SHORTEST_LEASE_S <= lease <= 3600:
            raise ValueError(f"lease is a number of seconds from {_SHORTEST_LEASE_S:g} to 3600, not {lease}")
        self.lease, self.grace = float(lease), lease / _GRACE
        self.has_password = bool(conninfo_to_dict(conninfo).get("password"))
        self._timeline = ""

    def __repr__(self) -> str:
        return f"<trisig.postgres.Cluster node {self.node} at {self._server}>"

    async def init(self, role: str | None = None) -> str:
        """Make the tables, or bring them to this version; returns what was done.

        A node does so itself, if its role may.

        Args:
            role: one that may be a node from now on.

        Raises:
            ClusterError: the database cannot be reached, or refuses.
        """
        try:
            async with open_wire(self._server) as wire:
                before = await ensure_schema(wire)
                if role is not None:
                    await run_script(wire, grants(quoted(role)))
        except ClusterLostError as error:
            raise ClusterError(str(error)) from None
        if before == VERSION:
            return f"the tables are of version {VERSION} already"
        return f"made the tables of version {VERSION}" if not before else f"brought the tables to version {VERSION}"

    @staticmethod
    def init_script(role: str | None = None) -> str:
        """The SQL that makes the tables, and lets a role be a node."""
        return script() + ("" if role is None else grants(quoted(role)))

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """See `Master.dead_letters`."""
        return await self._about_letters(list_letters)

    async def requeue(self, letter_id: str) -> DeadLetter | None:
        """See `Master.dead_letters`."""
        return await self._about_letters(requeue_letter, letter_id)

    async def drop(self, letter_id: str) -> DeadLetter | None:
        """See `Master.dead_letters`."""
        return await self._about_letters(drop_letter, letter_id)

    async def _about_letters(self, step: Callable[..., Awaitable[T]], *words: str) -> T:
        """Ask on a connection that ends with the answer: those of the node are busy."""
        try:
            async with open_wire(self._server) as wire:
                with trio.fail_after(ANSWER_S):
                    return await step(wire, *words)
        except (ClusterLostError, trio.TooSlowError) as error:
            raise ClusterError(f"the dead letters of the cluster are out of reach: {error}") from None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[ClusterLink]:
        """Make a session, and the tables if there are none."""
        async with AsyncExitStack() as opened:
            # With the grace that follows, a node that is cut off has its whole lease: it counts on that.
            silence = self.lease - self.grace
            wires = Wires(*[await opened.enter_async_context(open_wire(self._server, silence)) for _ in fields(Wires)])
            timeline = await self._timeline_of(wires.work)
            await ensure_schema(wires.work)
            await hurry_commits(wires.work)
            link = PostgresLink(self._server, wires, self.node, self.lease, self.grace)
            await link.open()
            link.is_successor = "" != self._timeline < timeline
            self._timeline = timeline
            yield link

    @losing
    async def _timeline_of(self, wire: Wire) -> str:
        """The timeline of the server, which rises with each failover; a primary that was replaced is refused."""
        try:
            with trio.fail_after(ANSWER_S):
                ((name, commit),) = await wire.query(
                    "SELECT pg_walfile_name(pg_current_wal_insert_lsn()), current_setting('synchronous_commit')"
                )
        except QueryError as error:
            raise ClusterLostError(f"this server is a standby: {error}", answered=True) from None
        timeline = str(name)[:8]
        if timeline < self._timeline:
            raise ClusterLostError("this server was primary before another one, and is not any more", answered=True)
        if commit == "off" and not self._timeline:
            log.warning("cluster: synchronous_commit is off: a crash of the server loses what it has acknowledged")
        return timeline


@losing
async def ensure_schema(wire: Wire) -> int:
    """Make the tables, or bring them to this version; returns of which version they were.

    Raises:
        ClusterError: this role may not, or the tables are of a newer version.
    """
    have = await schema_version(wire)
    if have > VERSION:
        raise ClusterError(f"the tables of the cluster are of version {have}; this trisig knows version {VERSION}")
    if have == VERSION:
        return have
    refused = None
    try:
        with trio.fail_after(ANSWER_S):
            await wire.script(script_alone(have))
    except QueryError as error:
        refused = error
    if refused is not None and await schema_version(wire) != VERSION:  # else another node was faster
        if refused.code == LOCKED:  # and is not done yet
            raise ClusterLostError(f"the tables of the cluster are in use, or are being made: {refused}", answered=True)
        raise ClusterError(
            f"the tables of the cluster cannot be made: {refused}; have `trisig cluster init` run by a role that may"
        )
    return have


@losing
async def run_script(wire: Wire, statements: str) -> None:
    """Run statements in one transaction."""
    with trio.fail_after(ANSWER_S):
        await wire.script(statements)


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


async def schema_version(wire: Wire) -> int:
    """The version of the tables; 0 if there are none."""
    try:
        with trio.fail_after(ANSWER_S):
            rows = await wire.query("SELECT version FROM trisig.version")
    except QueryError as error:
        if error.code in _MISSING:
            return 0
        raise ClusterError(f"the tables of the cluster cannot be read: {error}") from None
    return int(rows[0][0] or 0)


def _writable(server: Server, conninfo: str) -> Server:
    """The same server, but none that is a standby, unless the conninfo says otherwise."""
    if "target_session_attrs" in conninfo_to_dict(conninfo):
        return server
    return server_of(make_conninfo(conninfo, target_session_attrs="read-write"))
