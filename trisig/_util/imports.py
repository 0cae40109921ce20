"""Imports while a master runs, which waits for no disk."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress

import trio


def not_imported(modules: Iterable[str]) -> list[str]:
    """Those whose import is not over: one that another thread has begun would be waited for."""
    return [name for name in modules if not _is_imported(name)]


def _is_imported(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)


async def import_aside(modules: Sequence[str]) -> None:
    """Import modules in a thread, and return when that is done. If one fails, whoever uses it hears why."""
    if modules := not_imported(modules):
        with suppress(RuntimeError):  # no thread can be made: it is imported where it is used
            # A limiter of its own: the application may have all the common threads at work.
            await trio.to_thread.run_sync(_import_all, modules, limiter=trio.CapacityLimiter(1))


def _import_all(modules: Sequence[str]) -> None:
    with suppress(Exception):
        for name in modules:
            importlib.import_module(name)
