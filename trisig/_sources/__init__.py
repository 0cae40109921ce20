"""The event sources that come with trisig, and how they cross a process boundary.

A child adds a source by sending its spec (`to_spec`) to the master, where `from_spec` makes it again. PostgreSQL
notifications and whatever an application writes itself are sources too; they are not made of plain data and are
added in the master.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._course import BuiltinSource, Course, SharingSource, is_tied
from ._engines import Engines, open_engines
from .base import EventSource, Send, check_source, describe, key_of, known_as
from .cron import CronSource
from .files import FileSource
from .timers import RbTimerSource, TimerSource

__all__ = [
    "BuiltinSource",
    "Course",
    "CronSource",
    "Engines",
    "EventSource",
    "FileSource",
    "RbTimerSource",
    "Send",
    "SharingSource",
    "TimerSource",
    "check_source",
    "describe",
    "from_spec",
    "is_tied",
    "key_of",
    "open_engines",
]


def from_spec(spec: Mapping[str, Any]) -> BuiltinSource:
    """Make the source that `to_spec` described, and give it the same key.

    Raises:
        TypeError: a part is missing, superfluous or of another type.
        ValueError: an unknown kind, or a value that the source refuses.
        OSError: a path that cannot be monitored.
    """
    parts = dict(spec)
    key, tied = parts.pop("key", None), parts.pop("tied", False)
    source = _make(parts)
    source.tied = tied
    return source if key is None else known_as(source, key)


def _make(parts: dict[str, Any]) -> BuiltinSource:
    match parts.pop("kind", None):
        case "timer":
            return TimerSource(**parts)
        case "rb_timer":
            return RbTimerSource(**parts)
        case "cron":
            return CronSource(parts.pop("signum"), *parts.pop("when"), **parts)
        case "file":
            return FileSource(**parts)
        case kind:
            raise ValueError(f"unknown kind of source {kind!r}; there are timer, rb_timer, cron and file")
