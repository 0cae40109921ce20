"""What the nodes of a cluster have given up: the table `trisig.dead`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trisig._cluster.engine import LETTER_PREFIX
from trisig._model.dead_letter import DeadLetter
from trisig._model.targets import ANY_NODE
from trisig._sources.postgres.wire import Wire

from .link import losing

_COLUMNS = "id, node, signum, task, encode(arguments, 'hex'), attempts, reason, died_on, extract(epoch FROM at)"
_LIST = f"SELECT {_COLUMNS} FROM trisig.dead ORDER BY at, id"  # noqa: S608  a constant
_DROP = f"DELETE FROM trisig.dead WHERE id = $1 RETURNING {_COLUMNS}"  # noqa: S608
_REQUEUE = f"""
WITH letter AS (DELETE FROM trisig.dead WHERE id = $1 RETURNING *),
again AS (INSERT INTO trisig.signal (node, signum, task, arguments) SELECT node, signum, task, arguments FROM letter)
SELECT {_COLUMNS}, pg_notify('trisig', 'signals') FROM letter
"""  # noqa: S608


@losing
async def list_letters(wire: Wire) -> list[DeadLetter]:
    """All of them, the oldest first."""
    return [_letter_of(row) for row in await wire.query(_LIST)]


async def requeue_letter(wire: Wire, letter_id: str) -> DeadLetter | None:
    """Let one run again, with all its attempts; None if there is none with this id."""
    return await _change(wire, _REQUEUE, letter_id)


async def drop_letter(wire: Wire, letter_id: str) -> DeadLetter | None:
    """Forget one; None if there is none with this id."""
    return await _change(wire, _DROP, letter_id)


@losing
async def _change(wire: Wire, statement: str, letter_id: str) -> DeadLetter | None:
    number = letter_id.removeprefix(LETTER_PREFIX)
    if not (number.isascii() and number.isdecimal() and len(number) < 19):  # else no bigint
        return None
    rows = await wire.query(statement, number)
    return _letter_of(rows[0]) if rows else None


def _letter_of(row: Sequence[Any]) -> DeadLetter:
    row_id, node, signum, task, arguments, attempts, reason, died_on, at = row[:9]
    return DeadLetter(
        None if signum is None else int(signum),
        "cluster" if node == ANY_NODE else f"node_{node}",
        int(attempts),
        task,
        id=f"{LETTER_PREFIX}{row_id}",
        at=float(at),
        arguments=bytes.fromhex(arguments or ""),
        reason=f"{reason}, on node {died_on}",
    )
