"""Removing what processes that were killed have left in a spool. Blocks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from .directory import DEAD, NEW, REASON, STARTS, SpoolDirectory

_AGE_S = 60.0  # of a file that nobody needs: a younger one may belong to somebody who is about to need it


def remove_leftovers(directory: SpoolDirectory, age: float = _AGE_S) -> None:
    """Remove jobs that were never written to their end, and what is known of jobs that are gone.

    Args:
        directory: the spool.
        age: seconds for which such a file has been left alone.
    """
    before_ns = time.time_ns() - round(age * 1e9)
    for folder in (*directory.folders(), directory.path / DEAD):
        for path in _leftovers_in(folder):
            try:
                if path.lstat().st_ctime_ns <= before_ns:
                    path.unlink()
            except OSError:
                pass  # somebody else was faster, or it is somebody else's


def _leftovers_in(folder: Path) -> Iterator[Path]:
    try:
        names = set(os.listdir(folder))  # noqa: PTH208  names
    except FileNotFoundError:
        return
    for name in names:
        job = next((name.removeprefix(prefix) for prefix in (STARTS, REASON) if name.startswith(prefix)), None)
        if name.startswith(NEW) or (job is not None and job not in names):
            yield folder / name
