"""What an operator's configuration changes in what an application has declared, before its master opens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from msgspec.structs import replace

from trisig._model.backoff import Backoff
from trisig._model.handling import HandlingOptions
from trisig._model.text import describe
from trisig._sources import BuiltinSource, EventSource, from_spec

from .application import Application


def override_handler(application: Application, signum: int, changes: Mapping[str, Any]) -> None:
    """Change how the signals of one number are handled.

    Args:
        application: has a handler for it.
        signum: the signal.
        changes: `overlap`, and `retry` as a table of what `Backoff` takes, or false for none; what is not in it stays.

    Raises:
        TypeError, ValueError: there is no such handler, or a value that it cannot have.
    """
    declared = application.handlers.get(signum)
    if declared is None:
        raise ValueError(f"no handler is registered for signal {signum}{_instead(map(str, application.handlers))}")
    check_names(changes, HandlingOptions.__annotations__)
    values: dict[str, Any] = {name: _backoff(value) if name == "retry" else value for name, value in changes.items()}
    application.handlers[signum] = replace(declared, handling=replace(declared.handling, **values))


def override_source(application: Application, name: str, changes: Mapping[str, Any]) -> None:
    """Change the settings of one timer, cron or file monitor.

    Args:
        application: has declared it.
        name: what the status calls it, or the number of its signal if no other source raises that.
        changes: arguments of the method that has added it, except for the signal; what is not in it stays.

    Raises:
        TypeError, ValueError: there is no such source, or a value that it cannot have.
        OSError: a path that cannot be monitored.
    """
    key = _key_of(application, name)
    source = application.sources[key]
    if not isinstance(source, BuiltinSource):
        raise TypeError(f"{describe(source)} has no settings that can be changed here")
    check_names(changes, source.settings)
    values = {name: [value] if name == "when" and isinstance(value, str) else value for name, value in changes.items()}
    application.sources[key] = from_spec(source.to_spec() | values)


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Every name must be known.

    Raises:
        ValueError: one is not; the message has the nearest one that is.
    """
    known = sorted(known)
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, 1) or [f"one of {', '.join(known)}"]
            raise ValueError(f"there is no {name!r}; write {near[0]}")


def _backoff(value: object) -> Backoff | None:
    if value is False:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"retry is a table like {{ first = 1, longest = 60, attempts = 5 }}, not {value!r}")
    check_names(value, [field.name for field in fields(Backoff)])
    if missing := [name for name in ("first", "longest") if name not in value]:
        raise ValueError(f"retry needs {' and '.join(missing)}, in seconds")
    return Backoff(**value)


def _key_of(application: Application, name: str) -> str:
    sources = application.sources
    keys = [key for key, source in sources.items() if name in (describe(source), _number(source))]
    if len(keys) == 1:
        return keys[0]
    number = f"{len(keys)} sources are" if keys else "no source is"
    raise ValueError(f"{number} called {name!r}{_instead(map(describe, sources.values()))}")


def _number(source: EventSource) -> str | None:
    return str(source.signum) if isinstance(source, BuiltinSource) else None


def _instead(names: Iterable[str]) -> str:
    listed = sorted(names)
    return f"; write one of: {', '.join(listed)}" if listed else "; there is none at all"
