"""The event sources that come with trisig, and how they cross a process boundary.

A child adds a source by sending its spec (`to_spec`) to the master, where `from_spec` makes it again. PostgreSQL
notifications and an application's own sources are not made of plain data; they are added in the master. `base` says
which class to subclass for a new source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trisig._model.text import describe

from .base import EventSource, Send, check_source, key_of, with_key
from .engines import Engines, open_engines
from .kinds import of_parts
from .occurrences import Occurrence, Occurrences
from .source_run import BuiltinSource, EngineSource, SourceRun, is_owned_by_entry

__all__ = [
    "BuiltinSource",
    "EngineSource",
    "Engines",
    "EventSource",
    "Occurrence",
    "Occurrences",
    "Send",
    "SourceRun",
    "check_source",
    "describe",
    "from_spec",
    "is_owned_by_entry",
    "key_of",
    "open_engines",
    "with_key",
]


def from_spec(spec: Mapping[str, Any]) -> BuiltinSource:
    """Make the source that `to_spec` described, and give it the same key.

    Args:
        spec: plain data, from this process or another one.

    Raises:
        TypeError: a part is missing, superfluous or of another type.
        ValueError: an unknown kind, or a value that the source refuses.
        OSError: a path that cannot be monitored.
    """
    parts = dict(spec)
    key, owned_by_entry = parts.pop("key", None), parts.pop("owned_by_entry", False)
    source = of_parts(parts)
    source.owned_by_entry = owned_by_entry
    return source if key is None else with_key(source, key)
