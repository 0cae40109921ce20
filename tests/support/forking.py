"""Forks of the process that runs the tests: it has idle threads, of which Python 3.12 and later warn."""

from __future__ import annotations

import os
import pty
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _beside_idle_threads() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
        yield


def fork() -> int:
    """As `os.fork` does."""
    with _beside_idle_threads():
        return os.fork()


def fork_on_a_terminal() -> tuple[int, int]:
    """As `pty.fork` does."""
    with _beside_idle_threads():
        return pty.fork()
