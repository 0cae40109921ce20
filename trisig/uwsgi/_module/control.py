"""What changes the processes: reload, stop, harakiri, and who there is."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Literal

from trisig.uwsgi._runtime.harakiri import Harakiri
from trisig.uwsgi._runtime.master import RELOAD
from trisig.uwsgi._runtime.processes import Processes
from trisig.uwsgi._runtime.store import Store


class ControlFunctions:
    """The functions about processes.

    Args:
        processes: who this is.
        harakiri: of this process.
        store: what the processes share.
    """

    def __init__(self, processes: Processes, harakiri: Harakiri, store: Store) -> None:
        self._processes = processes
        self._harakiri = harakiri
        self._store = store

    def set_user_harakiri(self, seconds: int, /) -> None:
        """End this process if it does not call this again within so many seconds; 0 takes it back."""
        self._harakiri.set(seconds)

    def reload(self, *_: object) -> Literal[True]:
        """End in order, what runs and what is queued first, and begin anew. May be a handler."""
        if self._store.wish(RELOAD):  # a second SIGTERM would be an order to hurry
            os.kill(self._processes.master, signal.SIGTERM)
        return True

    def stop(self, *_: object) -> None:
        """End in order. May be a handler."""
        os.kill(self._processes.master, signal.SIGTERM)

    def workers(self) -> tuple[dict[str, Any], ...]:
        """The workers: their pids, ages and sizes. What uWSGI counts of requests is 0."""
        return tuple(self._worker(number) for number in range(1, self._processes.topology.workers + 1))

    def _worker(self, number: int) -> dict[str, Any]:
        rows = self._store.ask("select pid, since, spawned from process where name = ?", (f"worker {number}",))
        pid, since, spawned = (int(str(value)) for value in rows[0]) if rows else (0, 0, 0)
        resident, size = _memory(pid)
        counted = dict.fromkeys(
            ("requests", "delta_requests", "signals", "exceptions", "running_time", "tx", "avg_rt"), 0
        )
        return {
            "id": number,
            "pid": pid,
            **counted,
            "status": b"idle" if size else b"cheap",
            "rss": resident,
            "vsz": size,
            "last_spawn": since,
            "respawn_count": max(spawned - 1, 0),
            "apps": (),
        }


def _memory(pid: int) -> tuple[int, int]:
    """Resident and virtual size of a process, in bytes; zeros if it has ended."""
    try:
        size, resident, *_ = Path(f"/proc/{pid}/statm").read_text("ascii").split()
    except OSError:
        return 0, 0
    page = os.sysconf("SC_PAGE_SIZE")
    return int(resident) * page, int(size) * page
