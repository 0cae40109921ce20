"""What an application has declared, as plain data, and what another version of it changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class HandlerRow(msgspec.Struct, frozen=True):
    """A registered signal.

    Attributes:
        signum: its number.
        target: who runs the handler.
        handling: how, as `Handling.to_plain` has it.
        handler: the handler's module and name.
    """

    signum: int
    target: str
    handling: dict[str, Any]
    handler: str


class TaskRow(msgspec.Struct, frozen=True):
    """A task, by its name; `durable`: each call of it is a job; `gone`: only an earlier version had it."""

    name: str
    target: str
    durable: bool
    gone: bool = False


class Manifest(msgspec.Struct, frozen=True):
    """The declarations of one version of an application.

    Attributes:
        handlers: in the order of their numbers.
        tasks: in the order of their indices.
        sources: the timers, crons and file monitors, as `BuiltinSource.to_spec` has them.
        foreign: how many other sources and services of the master there are, which no other process can describe.
        folders: the directories of the modules that the application consists of.
    """

    handlers: list[HandlerRow] = msgspec.field(default_factory=list)
    tasks: list[TaskRow] = msgspec.field(default_factory=list)
    sources: list[dict[str, Any]] = msgspec.field(default_factory=list)
    foreign: int = 0
    folders: list[str] = msgspec.field(default_factory=list)

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each handler that has one only."""
        names = [row.handler for row in self.handlers]
        return {row.handler: row.signum for row in self.handlers if names.count(row.handler) == 1}


class Changes(msgspec.Struct, frozen=True):
    """What makes one manifest of another.

    Attributes:
        added, changed: rows of handlers as they shall be.
        removed: the numbers of those that are gone.
        tasks: those that are new, in the order of their indices.
        new_sources: their specs.
        old_sources: the keys of those that are gone.
        gone_tasks: the names of tasks that only earlier versions had.
    """

    added: list[HandlerRow]
    changed: list[HandlerRow]
    removed: list[int]
    tasks: list[TaskRow]
    new_sources: list[dict[str, Any]]
    old_sources: list[str]
    gone_tasks: list[str] = msgspec.field(default_factory=list)

    def __str__(self) -> str:
        counts = {
            "handler": len(self.added) - len(self.removed),
            "task": len(self.tasks),
            "source": len(self.new_sources) - len(self.old_sources),
        }
        return ", ".join(f"{count:+d} {name}{'s' * (abs(count) != 1)}" for name, count in counts.items() if count)


def compare(old: Manifest, new: Manifest) -> Changes:
    """What has changed. Tasks keep their indices: those that are gone stay in the list."""
    before = {row.signum: row for row in old.handlers}
    after = {row.signum: row for row in new.handlers}
    keys = {spec["key"] for spec in old.sources}, {spec["key"] for spec in new.sources}
    return Changes(
        added=[row for row in new.handlers if row.signum not in before],
        changed=[row for row in new.handlers if row.signum in before and _differ(before[row.signum], row)],
        removed=[signum for signum in before if signum not in after],
        tasks=new.tasks[len(old.tasks) :],
        new_sources=[spec for spec in new.sources if spec["key"] not in keys[0]],
        old_sources=[spec["key"] for spec in old.sources if spec["key"] not in keys[1]],
        gone_tasks=[row.name for row in new.tasks if row.gone],
    )


def _differ(old: HandlerRow, new: HandlerRow) -> bool:
    return (old.target, old.handling) != (new.target, new.handling)


def without_key(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a source does, whichever object it is."""
    return {name: value for name, value in spec.items() if name != "key"}
