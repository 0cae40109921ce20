"""Blocking steps on the files of a spool, in a thread, from a trio task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")


async def run_to_its_end(step: Callable[[], T]) -> T:
    """Do what blocks, whether cancelled or not: a claim that nobody knows of would keep a job from everybody.

    Raises:
        Exception: as the step.
    """
    with trio.CancelScope(shield=True):
        return await trio.to_thread.run_sync(step)
    raise AssertionError("a shield swallows nothing")  # what mypy cannot know
