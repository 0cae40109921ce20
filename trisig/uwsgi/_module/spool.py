"""Jobs for the spooler: files in uWSGI's format."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trisig._spool.committer import Committer
from trisig._spool.directory import SpoolDirectory
from trisig._spool.job import Job
from trisig._spool.packet import decode
from trisig._spool.writer import SpoolWriter
from trisig.uwsgi._runtime.store import Store

_ONLY_BYTES = "spooler callable dictionary must contains only bytes"


class SpoolFunctions:
    """The functions about the spooler; they exist where there is one.

    Args:
        directories: of the spoolers.
        store: knows their pids.
    """

    def __init__(self, directories: Sequence[SpoolDirectory], store: Store) -> None:
        self._directories = tuple(directories)
        self._store = store

    def spool(self, task: Mapping[Any, Any] | None = None, /, **named: Any) -> bytes:
        """Write a job; returns the path of its file, once it is on the disk.

        Keys and values are text or bytes; `at` (seconds since the epoch), `priority`, `body` and `spooler` (a
        directory) have a meaning, and may be numbers where that makes sense.

        Raises:
            ValueError: another kind of value, or no such spooler.
            OSError: the job cannot be written; the message says why.
        """
        pairs = {_bytes(key): value for key, value in {**(task or {}), **named}.items()}
        directory = self._directory(pairs.pop(b"spooler", None))
        priority, at = _number(pairs.pop(b"priority", None)), _number(pairs.pop(b"at", None))
        body = _bytes(pairs.pop(b"body", b""))
        job = Job(
            {key: _bytes(value) for key, value in pairs.items()}, body, None if priority is None else int(priority), at
        )
        return os.fsencode(SpoolWriter(Committer(directory)).write_now(job))

    def send_to_spooler(self, task: Mapping[Any, Any] | None = None, /, **named: Any) -> bytes:
        """The same."""
        return self.spool(task, **named)

    def spooler_jobs(self) -> list[bytes]:
        """The paths of the jobs that wait."""
        return [os.fsencode(entry.path) for directory in self._directories for entry in directory.scan()]

    def spooler_pids(self) -> list[int]:
        """The pids of the spoolers."""
        rows = self._store.ask("select pid from process where name like 'spooler %' order by name")
        return [int(str(row[0])) for row in rows]

    def spooler_pid(self) -> int:
        """The pid of the first spooler; 0 before it runs."""
        return next(iter(self.spooler_pids()), 0)

    def set_spooler_frequency(self, seconds: int, /) -> None:
        """Nothing: jobs are noticed when they are written, and run when they are due."""

    def spooler_get_task(self, path: str | bytes, /) -> dict[str | bytes, bytes] | None:
        """What is in the file of a job; None if there is none."""
        try:
            packet = decode(Path(os.fsdecode(path)).read_bytes())
        except (OSError, ValueError):
            return None
        task: dict[str | bytes, bytes] = dict(packet.pairs.items())
        return task | {"spooler_task_name": os.fsencode(path), "body": packet.body}

    def _directory(self, path: Any) -> SpoolDirectory:
        if path is None:
            return self._directories[0]
        wanted = os.path.abspath(os.fsdecode(path))  # noqa: PTH100  as the option
        for directory in self._directories:
            if str(directory.path) == wanted:
                return directory
        raise ValueError(f"there is no spooler {wanted}")


def parsefile(path: str | bytes, /) -> dict[bytes, bytes] | None:
    """The pairs of a file in uWSGI's format; None if it is none."""
    try:
        return dict(decode(Path(os.fsdecode(path)).read_bytes()).pairs)
    except (OSError, ValueError):
        return None


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise ValueError(_ONLY_BYTES)


def _number(value: Any) -> float | None:
    return None if value is None else float(value if isinstance(value, (int, float)) else _bytes(value))
