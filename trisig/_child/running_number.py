"""Which signal of its lane a handler runs for: inherited by its tasks and threads."""

from __future__ import annotations

from contextvars import ContextVar

running_number: ContextVar[int | None] = ContextVar("trisig.number", default=None)
