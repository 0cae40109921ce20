"""SQLite connections of the application that a fork would break."""

from __future__ import annotations

import gc
import sys
from typing import Any


def open_transactions() -> int:
    """How many SQLite connections of this process are in a transaction; free if it has never imported sqlite3.

    A `SELECT` that was not read to its end holds a lock too, and no attribute of Python's shows it.
    """
    module: Any = sys.modules.get("sqlite3")
    if module is None:
        return 0
    # `type`, not isinstance: a lazy proxy would be made to load what it stands for.
    return sum(issubclass(type(thing), module.Connection) and _in_transaction(thing) for thing in gc.get_objects())


def _in_transaction(connection: Any) -> bool:
    try:
        return bool(connection.in_transaction)
    except Exception:  # noqa: BLE001  closed, or a subclass of its own kind
        return False
