"""Metrics: numbers by name that all processes share. As in uWSGI one must be declared, by the option `metric`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from trisig.uwsgi._runtime.store import Store

_Truth = Literal[True] | None


class MetricFunctions:
    """The functions about metrics.

    Args:
        store: what the processes share.
        names: the metrics that there are.
    """

    def __init__(self, store: Store, names: Sequence[str]) -> None:
        self._store = store
        self._names = frozenset(names)
        with store.changing() as db:
            db.executemany("insert or ignore into metric values (?, 0)", [(name,) for name in names])

    def metric_get(self, name: str, /) -> int:
        """The value; 0 for one that does not exist."""
        rows = self._store.ask("select value from metric where name = ?", (name,))
        return int(str(rows[0][0])) if rows else 0

    def metric_set(self, name: str, value: int = 1, /) -> _Truth:
        """Set it."""
        return self._change(name, "?", value)

    def metric_inc(self, name: str, by: int = 1, /) -> _Truth:
        """Add to it."""
        return self._change(name, "value + ?", by)

    def metric_dec(self, name: str, by: int = 1, /) -> _Truth:
        """Subtract from it."""
        return self._change(name, "value - ?", by)

    def metric_mul(self, name: str, by: int = 1, /) -> _Truth:
        """Multiply it."""
        return self._change(name, "value * ?", by)

    def metric_div(self, name: str, by: int = 1, /) -> _Truth:
        """Divide it."""
        return self._change(name, "value / ?", by) if by else None

    def metric_set_max(self, name: str, value: int = 1, /) -> _Truth:
        """Set it if that is more."""
        return self._change(name, "max(value, ?)", value)

    def metric_set_min(self, name: str, value: int = 1, /) -> _Truth:
        """Set it if that is less."""
        return self._change(name, "min(value, ?)", value)

    def _change(self, name: str, expression: str, value: int) -> _Truth:
        if name not in self._names:
            return None
        with self._store.changing() as db:
            db.execute(f"update metric set value = {expression} where name = ?", (int(value), name))  # noqa: S608  ours
        return True
