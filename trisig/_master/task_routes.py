"""Where the tasks of the application go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeGuard

from trisig._model.destination import Destination
from trisig._model.targets import Target

from .destinations import Destinations


class DeclaredTask(Protocol):
    """A task of the application."""

    name: str
    target: Target


class TaskRoutes:
    """The destinations of each task, as things are now; a message is a task of its box, behind those declared.

    Args:
        tasks: by index.
        destinations: all of them.

    Attributes:
        names: of the tasks, by index.
        runnable: how many of them every process knows; the others have been added by a reload that is under way.
        gone: the names of those that the application does not have any more.
    """

    def __init__(self, tasks: Sequence[DeclaredTask], destinations: Destinations) -> None:
        boxes = destinations.mailboxes.boxes.values()
        self._boxes = [(box,) for box in boxes]
        self.names = [*(task.name for task in tasks), *(box.name for box in boxes)]
        self._targets = [task.target for task in tasks]
        self._destinations = destinations
        self.gone = frozenset[str]()
        self._routes: list[tuple[Destination, ...]] = []
        self.runnable = len(self._targets) + len(self._boxes)
        self.refresh()

    def add(self, task: DeclaredTask) -> None:
        """There is another task, which cannot run yet."""
        self.names.append(task.name)
        self._targets.append(task.target)
        self.refresh()

    def all_run(self) -> None:
        """Every process knows all tasks now."""
        self.runnable = len(self._routes)

    def refresh(self) -> None:
        """The set of active workers has changed."""
        self._routes = [*(self._destinations.of(target) for target in self._targets), *self._boxes]

    def __getitem__(self, index: int) -> tuple[Destination, ...]:
        return self._routes[index]

    def index(self, name: str) -> int | None:
        """The index of a task; None if the application has none of that name."""
        return self.names.index(name) if name in self.names else None

    @property
    def in_cluster(self) -> list[str]:
        """The names of the tasks for the cluster that every process can run."""
        known = list(zip(self.names, self._targets, strict=False))[: self.runnable]
        return [name for name, target in known if target.node is not None and name not in self.gone]

    def can_run(self, index: int | None) -> TypeGuard[int]:
        """Whether every process can run the task."""
        return index is not None and index < self.runnable and self.names[index] not in self.gone

    def target(self, index: int) -> Target:
        """Who runs a task."""
        return self._targets[index]

    def is_for_cluster(self, index: int) -> bool:
        """Whether any node of the cluster may run a task. Messages stay on theirs."""
        return index < len(self._targets) and self._targets[index].node is not None

    def for_several(self, index: int) -> bool:
        """Whether every process that the target names runs it."""
        return index < len(self._targets) and self._targets[index].audience in ("all", "active")
