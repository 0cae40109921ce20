"""Configurations of uWSGI in tests: what is read from a file, the environment and a command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trisig.uwsgi._config.plan import Plan, read_plan

KNOWN_HERE = {"ini", "yaml", "json"}


def plan_of(*words: str, **environment: str) -> Plan:
    """What a command line means."""
    return read_plan(words, environment)


def write(folder: Path, text: str, name: str = "app.ini") -> str:
    """Write a file; `[uwsgi]` is put before an ini that has no section."""
    path = folder / name
    path.write_text(text if name != "app.ini" or "[" in text else f"[uwsgi]\n{text}")
    return str(path)


def values(folder: Path, text: str, **environment: str) -> Mapping[str, str | None]:
    """The options of an ini, by name; of several the last."""
    plan = plan_of("--ini", write(folder, text), **environment)
    return {entry.key: entry.value for entry in plan.configuration.entries if entry.key not in KNOWN_HERE}
