"""The statistics of a master as the stats server of uWSGI has them, for `uwsgitop` and what else reads that.

uWSGI's own have nothing on mules, timers and the signal table; mules and spoolers are added here, in rows like those of
workers. A request stands for a handler that has ended. What there is of serving the web is 0.
"""

from __future__ import annotations

import json
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import trio

from trisig._linux.resident import virtual_bytes
from trisig._model.statistics import MasterStatistics, ProcessStatistics


class Reporter(Protocol):
    """A master."""

    def statistics(self) -> MasterStatistics: ...


async def send_stats(master: Reporter, stream: trio.SocketStream) -> None:
    """Write them to a client, as uWSGI does to whoever connects."""
    await stream.send_all(uwsgi_stats(master.statistics()))


def uwsgi_stats(now: MasterStatistics) -> bytes:
    """One JSON object."""
    rows = {kind: [_row(one) for one in now.processes.values() if one.kind == kind] for kind in ("worker", "mule")}
    spoolers = [one for one in now.processes.values() if one.kind == "spooler"]
    stats = {
        "version": f"trisig-{version('trisig')}",
        "listen_queue": 0,
        "listen_queue_errors": 0,
        "signal_queue": now.queued,
        "load": 0,
        "pid": os.getpid(),
        "uid": os.getuid(),
        "gid": os.getgid(),
        "cwd": str(Path.cwd()),
        "locks": [{f"user {lock.lock}": lock.holder} for lock in now.locks],
        "sockets": [],
        "workers": rows["worker"],
        "mules": rows["mule"],
        "spoolers": [{**_row(one), "dir": now.spool.path if now.spool else ""} for one in spoolers],
    }
    return json.dumps(stats, indent="\t").encode() + b"\n"


def _row(one: ProcessStatistics) -> dict[str, object]:
    microseconds = int(one.handler_time * 1e6)
    return {
        "id": one.number,
        "pid": one.pid,
        "accepting": int(one.state == "ready"),
        "requests": one.done,
        "delta_requests": one.done,
        "exceptions": one.failed,
        "harakiri_count": one.timeouts,
        "signals": one.done,
        "signal_queue": one.queued,
        "status": _status(one),
        "rss": one.rss,
        "vsz": virtual_bytes(one.pid) if one.pid else 0,
        "running_time": microseconds,
        "last_spawn": 0 if one.uptime is None else int(time.time() - one.uptime),
        "respawn_count": one.respawns,
        "tx": 0,
        "avg_rt": microseconds // one.done if one.done else 0,
        "apps": [],
        "cores": [],
    }


def _status(one: ProcessStatistics) -> str:
    """As uWSGI has it: `sigN` while the handler of signal N runs."""
    if one.running:
        return f"sig{one.running[0]}"
    if one.state != "ready":
        return "cheap" if one.state in ("cheap", "stopped") else "pause"
    return "busy" if one.in_flight else "idle"
