"""The tasks that the master knows, by index: those declared when it opened, and those that reloads have added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import msgspec

from trisig._model.targets import Target, parse

if TYPE_CHECKING:  # of a reload
    from trisig._model.manifest import TaskRow


class KnownTask(Protocol):
    """What the master knows of a task."""

    name: str
    target: Target

    @property
    def is_durable(self) -> bool: ...


class AddedTask(msgspec.Struct):
    """A task that the application did not have when the master opened."""

    name: str
    target: Target
    is_durable: bool


class KnownTasks:
    """Lists that grow, and which others look at.

    Args:
        declared: the tasks of the application, by index.
        boxes: the names of what comes behind them.

    Attributes:
        all: the tasks by index.
        names: of the tasks and the boxes, by index.
        durable: the indices of those whose calls are jobs.
    """

    def __init__(self, declared: Sequence[KnownTask], boxes: Sequence[str]) -> None:
        self.all: list[KnownTask] = list(declared)
        self.names = [*(task.name for task in declared), *boxes]
        self.durable = {index for index, task in enumerate(declared) if task.is_durable}

    def add(self, row: TaskRow) -> KnownTask:
        """A task behind the others; there are no boxes then."""
        task = AddedTask(row.name, parse(row.target), row.durable)
        if task.is_durable:
            self.durable.add(len(self.all))
        self.all.append(task)
        self.names.append(task.name)
        return task
