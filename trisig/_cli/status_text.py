"""The status of a master as text for people: what is wrong, totals, then tables of processes, signals and sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import click

_TOTALS = ("accepted", "done", "failed", "queued", "in_flight", "dead_lettered")
_PROCESSES = ("process", "state", "pid", "up", "restarts", "rss", "done", "failed", "queued", "handling")
_SIGNALS = ("signal", "target", "accepted", "done", "failed", "pending", "p50", "p99", "queueing", "dead-lettered")
_SOURCES = ("source", "state", "next", "fired", "missed")
_NAME = 34  # characters of a name, on a terminal of 80 columns

Row = Sequence[str]


def status_text(status: dict[str, Any], columns: int | None = None) -> str:
    """Lay out `MasterStatistics`, as a control socket sends it.

    Args:
        status: the answer of the master.
        columns: of the terminal, for which long names are shortened and lines cut off; None for neither.
    """
    parts = [
        [click.style(line, fg="red", bold=True) for line in trouble(status)],
        [headline(status), *elsewhere(status)],
        table(_PROCESSES, (_process_row(one) for one in status["processes"].values()), columns, numbers=range(2, 9)),
        signals_text(status, columns),
        sources_text(status, columns),
        [_lock_text(lock) for lock in status["locks"]],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def trouble(status: dict[str, Any]) -> Iterator[str]:
    """What somebody should look at, a line each."""
    master = status.get("master", {})
    if master.get("state") in ("stopping", "reloading"):
        yield f"the master is {master['state']}"
    if (last := master.get("last_reload")) is not None and last["error"]:
        yield f"not reloaded, the version of before runs: {last['error']}"
    for process in status["processes"].values():
        if process["state"] in ("starting", "waiting"):
            yield f"{process['name']} is {process['state']}{_restarted(process['respawns'])}"
    for source in status["sources"]:
        if source["error"]:
            yield f"{source['source']} is {source['state']}; last error: {source['error']}"
    cluster = status.get("cluster")
    if cluster is not None and cluster["state"] == "away":
        yield f"the database of the cluster is away: {cluster['error']}"
    if status["unjournaled"]:
        yield f"the journal has had no room for {status['unjournaled']} signals"


def signals_text(status: dict[str, Any], columns: int | None = None) -> list[str]:
    """A line for each signal and each task."""
    rows = [_signal_row(str(one["signum"]), one) for one in status["signals"].values()]
    rows += [_signal_row(fitted(one["task"], columns), one) for one in status.get("tasks", {}).values()]
    return table(_SIGNALS, rows, columns, numbers=range(2, 10))


def sources_text(status: dict[str, Any], columns: int | None = None) -> list[str]:
    """A line for each source."""
    rows = [(fitted(one["source"], columns), *_source_cells(one)) for one in status["sources"]]
    return table(_SOURCES, rows, columns, numbers=range(3, 5))


def table(head: Row, rows: Iterable[Row], columns: int | None, *, numbers: range) -> list[str]:
    """Lay out a table; nothing if there are no rows.

    Args:
        head: the names of the columns.
        rows: their cells.
        columns: of the terminal, at which lines are cut off; None for nowhere.
        numbers: the columns that are aligned to the right.
    """
    rows = list(rows)
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = (
            cell.rjust(width) if place in numbers else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip()[:columns])
    return lines


def headline(status: dict[str, Any]) -> str:
    """The totals, and the master in a second line."""
    names = (*_TOTALS, *(name for name in ("retried", "skipped", "unjournaled") if status.get(name)))
    totals = "  ".join(f"{_word(name)} {status[name]}" for name in names)
    master = status.get("master")  # a master of an earlier version has none
    if master is None:
        return totals
    up, rss = duration(master["uptime"]), mebibytes(master["rss"])
    return f"{totals}\nmaster {master['pid']}, {master['state']}, up {up}, {rss}"


def _process_row(process: dict[str, Any]) -> Row:
    up, rss = process.get("uptime"), process.get("rss")
    return (
        process["name"],
        process["state"],
        str(process["pid"] or ""),
        "" if up is None else duration(up),
        str(process["respawns"]),
        mebibytes(rss) if rss else "",
        *(str(process[name]) for name in ("done", "failed", "queued")),
        handling(process),
    )


def handling(process: dict[str, Any]) -> str:
    """What runs in a process, and for how long it has finished nothing."""
    running = [*map(str, process["running"]), *process["running_tasks"]]
    if not running:
        return f"holds {process['in_flight']}" if process["in_flight"] else ""
    since = process.get("busy_for")
    return ", ".join(running) + (f", {duration(since)}" if since is not None else "")


def _signal_row(name: str, one: dict[str, Any]) -> Row:
    pending = one["accepted"] - one["done"] - one["dead_lettered"]
    target = one["target"] if one["target"] is not None else "(no handler)"
    counts = map(str, (one["accepted"], one["done"], one["failed"], pending))
    return (name, target, *counts, *times_text(one), str(one["dead_lettered"]))


def times_text(one: dict[str, Any]) -> Row:
    """Of the handlers, and of the signals that waited for them."""
    handlers, queueing = one.get("handler_time") or {}, one.get("queueing_time") or {}  # an earlier master has none
    return [_brief(seconds) for seconds in (handlers.get("p50"), handlers.get("p99"), queueing.get("p99"))]


def _brief(seconds: float | None) -> str:
    """A short time, in two digits or more; `-` for none."""
    if seconds is None:
        return "-"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.{1 if seconds < 10 * size else 0}f} {unit}"
    return f"{seconds / 1e-6:.{1 if seconds < 1e-5 else 0}f} us"


def _source_cells(source: dict[str, Any]) -> Row:
    state = source.get("state") or ""  # a master of an earlier version has none
    due = "" if source.get("next_due") is None else local_time(source["next_due"])
    return (state, due, str(source["fired"]), str(source["missed"]))


def _restarted(count: int) -> str:
    return f" ({count} restart{'s' if count > 1 else ''})" if count else ""


def _word(name: str) -> str:
    return {"in_flight": "in flight", "dead_lettered": "dead-lettered"}.get(name, name)


def fitted(name: str, columns: int | None) -> str:
    """A name that may take what a terminal of so many columns leaves for it."""
    return name if columns is None else shortened(name, max(_NAME, columns - 80 + _NAME))


def shortened(name: str, most: int) -> str:
    """A name, with its middle left out if it has more characters: both ends tell it from others."""
    if len(name) <= most:
        return name
    half = (most - 3) // 2
    return f"{name[:half]}...{name[-half:]}"


def duration(seconds: float) -> str:
    """A time in its largest unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def mebibytes(size: int) -> str:
    """An amount of memory."""
    return f"{size / 2**20:.0f} MiB"


def elsewhere(status: dict[str, Any]) -> list[str]:
    """A line for each kind of signals that are in no row of a process, if there are any."""
    own = sum(process["queued"] for process in status["processes"].values())
    signals = status["signals"].values()
    tasks = status.get("tasks", {}).values()  # a master of an earlier version has none
    unhandled = {
        one["signum"]: one["accepted"] - one["done"] - one["dead_lettered"] for one in signals if one["target"] is None
    }
    lines = {
        "queued for the first available, or for wait()": str(status["queued"] - own or ""),
        "without a handler, for wait()": _counts(unhandled),
        "dead-lettered": _counts({one["signum"]: one["dead_lettered"] for one in signals}),
        "dead-lettered tasks": _counts({one["task"]: one["dead_lettered"] for one in tasks}),
        "jobs": _spool_text(status.get("spool")),
        "cluster": _cluster_text(status.get("cluster")),
    }
    return [f"{what}: {how_many}" for what, how_many in lines.items() if how_many]


def _spool_text(spool: dict[str, Any] | None) -> str:
    if spool is None:
        return ""
    counts = f"{spool['waiting']} waiting, {spool['running']} running, {spool['dead_lettered']} dead-lettered"
    return f"{counts} (in {spool['path']})"


def _cluster_text(cluster: dict[str, Any] | None) -> str:
    if cluster is None:
        return ""
    nodes = len(cluster["nodes"])
    counts = f"{cluster['waiting']} to store, {cluster['claimed']} claimed"
    return f"node {cluster['node']} of {nodes}, {cluster['state']}, {counts}"


def nodes_text(cluster: dict[str, Any], now: float) -> list[str]:
    """A line for each node.

    Args:
        cluster: as the status has it.
        now: the time, in seconds since the epoch.
    """
    rows = [
        (node["name"], _state(node), duration(max(0.0, now - node["since"])), node["incarnation"])
        for node in cluster["nodes"]
    ]
    return table(("node", "state", "for", "incarnation"), rows, None, numbers=range(0))


def _state(node: dict[str, Any]) -> str:
    return f"{node['state']}, leads" if node["leads"] else str(node["state"])


def _counts(by_signum: dict[int | str, int]) -> str:
    return ", ".join(f"{signum} ({count})" for signum, count in by_signum.items() if count)


def local_time(timestamp: float) -> str:
    """A moment in the time zone of the reader; the day only if it is not today."""
    moment, now = datetime.fromtimestamp(timestamp).astimezone(), datetime.now().astimezone()
    return f"{moment:%H:%M:%S}" if moment.date() == now.date() else f"{moment:%Y-%m-%d %H:%M:%S}"


def _lock_text(lock: dict[str, Any]) -> str:
    waiting = f", waiting: {', '.join(lock['waiting'])}" if lock["waiting"] else ""
    return f"lock {lock['lock']!r}: held by {lock['holder']}{waiting}"
