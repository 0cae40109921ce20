"""The status of a master as text for people: a line of totals, what waits elsewhere, then a line a process."""

from __future__ import annotations

from typing import Any

_TOTALS = ("accepted", "done", "failed", "queued", "in_flight", "dead_lettered")
_COLUMNS = ("name", "state", "pid", "respawns", "done", "failed", "queued", "in_flight")


def status_text(status: dict[str, Any]) -> str:
    """Lay out what `MasterStatistics` says, as a control socket tells it."""
    names = (*_TOTALS, "unjournaled") if status["unjournaled"] else _TOTALS
    totals = "  ".join(f"{name.replace('_', ' ')} {status[name]}" for name in names)
    elsewhere = _elsewhere(status)
    rows = [_COLUMNS, *(tuple(str(process[name]) for name in _COLUMNS) for process in status["processes"].values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    sources = [_source_text(source) for source in status["sources"]]
    return "\n".join([totals, *elsewhere, "", *table, *([""] if sources else []), *sources])


def _elsewhere(status: dict[str, Any]) -> list[str]:
    """What is in no row of a process: a line each, if there is any."""
    own = sum(process["queued"] for process in status["processes"].values())
    signals = status["signals"].values()
    unhandled = {
        one["signum"]: one["accepted"] - one["done"] - one["dead_lettered"] for one in signals if one["target"] is None
    }
    told = {
        "queued for the first available, or for wait()": str(status["queued"] - own or ""),
        "without a handler, for wait()": _counts(unhandled),
        "dead-lettered": _counts({one["signum"]: one["dead_lettered"] for one in signals}),
    }
    return [f"{what}: {how_many}" for what, how_many in told.items() if how_many]


def _counts(by_signum: dict[int, int]) -> str:
    return ", ".join(f"{signum} ({count})" for signum, count in by_signum.items() if count)


def _source_text(source: dict[str, Any]) -> str:
    text = f"{source['source']}: fired {source['fired']}, missed {source['missed']}"
    return f"{text}, restarts {source['restarts']}, last error {source['error']}" if source["error"] else text
