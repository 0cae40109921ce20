"""The tables of `trisig top`: their columns, what each shows of a row, and what it is sorted by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from trisig._cli.status_text import duration, handling, local_time, mebibytes, times_text

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        title: what stands above it.
        cell: the text for a row.
        value: what rows are sorted by.
        is_number: aligned to the right, and the largest first when it is sorted.
        spare: left out where there is no room, the highest first; 0 never.
    """

    title: str
    cell: Callable[[Row], str]
    value: Callable[[Row], Any]
    is_number: bool = True
    spare: int = 0


def _field(name: str, title: str = "", *, is_number: bool = True, spare: int = 0) -> Column:
    """A field as it is; what is missing is smaller than what there is."""
    return Column(
        title or name,
        lambda row: "" if row.get(name) is None else str(row[name]),
        lambda row: _comparable(row.get(name)),
        is_number,
        spare,
    )


def _comparable(value: Any) -> tuple[bool, Any]:
    return (value is not None, 0 if value is None else value)


def _time(place: int, title: str, field: str, quantile: str, *, spare: int = 0) -> Column:
    return Column(
        title,
        lambda row: times_text(row)[place],
        lambda row: _comparable((row.get(field) or {}).get(quantile)),
        spare=spare,
    )


def _pending(row: Row) -> int:
    return int(row["accepted"] - row["done"] - row["dead_lettered"])


def _rate(row: Row) -> str:
    rate = row.get("rate")
    return "" if rate is None else f"{rate:.{1 if 0 < rate < 10 else 0}f}"


PROCESSES = (
    _field("name", "process", is_number=False),
    _field("state", is_number=False),
    Column("pid", lambda row: str(row["pid"] or ""), lambda row: row["pid"], spare=3),
    Column(
        "up",
        lambda row: "" if row.get("uptime") is None else duration(row["uptime"]),
        lambda row: _comparable(row.get("uptime")),
    ),
    _field("respawns", "restarts", spare=2),
    Column("rss", lambda row: mebibytes(row["rss"]) if row.get("rss") else "", lambda row: row.get("rss", 0)),
    Column("done/s", _rate, lambda row: _comparable(row.get("rate"))),
    _field("done"),
    _field("failed", spare=1),
    _field("queued"),
    Column("handling", handling, lambda row: _comparable(row.get("busy_for")), is_number=False),
)
SIGNALS = (
    _field("name", "signal", is_number=False),
    Column("target", lambda row: row["target"] or "(no handler)", lambda row: row["target"] or "", is_number=False),
    Column("done/s", _rate, lambda row: _comparable(row.get("rate"))),
    _field("done"),
    _field("failed"),
    Column("pending", lambda row: str(_pending(row)), _pending),
    _time(0, "p50", "handler_time", "p50", spare=2),
    _time(1, "p99", "handler_time", "p99"),
    _time(2, "queueing", "queueing_time", "p99", spare=1),
    _field("dead_lettered", "dead-lettered"),
)
SOURCES = (
    _field("name", "source", is_number=False),
    _field("state", is_number=False),
    Column(
        "next",
        lambda row: "" if row.get("next_due") is None else local_time(row["next_due"]),
        lambda row: _comparable(row.get("next_due")),
        is_number=False,
    ),
    _field("fired"),
    _field("missed"),
)
TABLES = (PROCESSES, SIGNALS, SOURCES)


def rows_of(status: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> tuple[list[Row], ...]:
    """The rows of all tables, in the order of the master.

    Args:
        status: the answer of the master.
        before: an earlier one, for what is done in a second.
    """
    processes = {one["name"]: one for one in status["processes"].values()}
    sources: list[Row] = [{**one, "name": one["source"]} for one in status["sources"]]
    seconds = 0.0 if before is None else status["master"]["uptime"] - before["master"]["uptime"]
    earlier: Mapping[str, Any] = {} if before is None else before["processes"]
    return (
        _with_rates(processes, earlier, seconds),
        _with_rates(_signals(status), {} if before is None else _signals(before), seconds),
        sources,
    )


def _signals(status: Mapping[str, Any]) -> dict[str, Row]:
    """Signals and tasks by name."""
    signals = {str(one["signum"]): one for one in status["signals"].values()}
    return {**signals, **{one["task"]: one for one in status.get("tasks", {}).values()}}


def _with_rates(now: Mapping[str, Row], before: Mapping[str, Row], seconds: float) -> list[Row]:
    return [
        {**row, "name": name, "rate": (row["done"] - before[name]["done"]) / seconds}
        if seconds > 0 and name in before
        else {**row, "name": name}
        for name, row in now.items()
    ]


def in_order(rows: Sequence[Row], columns: Sequence[Column], by: int | None, *, inverted: bool) -> list[Row]:
    """Sort rows; those that are equal stay in the order of the master.

    Args:
        rows: of a table.
        columns: of that table.
        by: the column; None for the order of the master.
        inverted: the other way round than usual, which is the largest number or the first name first.
    """
    if by is None:
        return list(reversed(rows)) if inverted else list(rows)
    return sorted(rows, key=columns[by].value, reverse=columns[by].is_number != inverted)
