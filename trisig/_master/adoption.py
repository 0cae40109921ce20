"""Makes the master work by what a newer version of the application declares.

Its tasks and signals may be raised as soon as the first process runs the new version, and can be run when the last one
does. Until then they wait: the tasks in the queue of what runs later, the signals among those without a handler.
"""

from __future__ import annotations

import logging

from trisig._model.handling import Handling
from trisig._model.manifest import Changes, HandlerRow
from trisig._model.table import Entry, Table
from trisig._model.targets import parse
from trisig._sources import from_spec
from trisig._util.ki_protection import ki_protected

from .dispatcher import Dispatcher
from .extras import Feeder
from .known_tasks import KnownTasks
from .registry import Registry

log = logging.getLogger("trisig")


@ki_protected
class Adoption:
    """Adopts changes.

    Args:
        tasks: those that the master knows.
        table: the signal table.
        registry: changes what depends on it.
        dispatcher: routes by it.
        feeder: of jobs; None if there is no spool.
    """

    def __init__(
        self, tasks: KnownTasks, table: Table, registry: Registry, dispatcher: Dispatcher, feeder: Feeder | None
    ) -> None:
        self._tasks = tasks
        self._table = table
        self._registry = registry
        self._dispatcher = dispatcher
        self._feeder = feeder

    def prepare(self, changes: Changes) -> None:
        """The first process is about to run the new version: keep what it raises for the others."""
        for row in changes.tasks:
            self._dispatcher.task_routes.add(self._tasks.add(row))
        if changes.tasks and self._feeder is not None:
            self._feeder.learn_tasks()

    def complete(self, changes: Changes) -> None:
        """Every process runs the new version."""
        self._dispatcher.task_routes.gone = frozenset(changes.gone_tasks)
        for key in changes.old_sources:
            self._remove_source(key)
        for signum in changes.removed:
            if self._is_declared(signum):
                self._table.unregister(signum)
        for row in (*changes.changed, *changes.added):
            self._enter(row, is_new=row in changes.added)
        self._registry.changed()
        for spec in changes.new_sources:
            self._add_source(spec)
        self._hand_over(changes)

    def _is_declared(self, signum: int) -> bool:
        entry = self._table[signum]
        return entry is not None and entry.owner is None

    def _enter(self, row: HandlerRow, *, is_new: bool) -> None:
        if is_new and self._table[row.signum] is not None:
            log.warning("master: signal %d was registered while the application was reloaded; it stays", row.signum)
        elif is_new or self._is_declared(row.signum):  # else it was taken back at run time
            self._table.enter(row.signum, Entry(parse(row.target), None, Handling.from_plain(row.handling)))

    def _remove_source(self, key: str) -> None:
        try:
            self._registry.remove_source(key)
        except ValueError:
            pass  # it has ended, or was removed

    def _add_source(self, spec: dict[str, object]) -> None:
        source = from_spec(spec)
        try:
            self._registry.add_source(source)
        except OSError as error:
            log.error("master: %s cannot run: %s", source, error)  # noqa: TRY400  it says all

    def _hand_over(self, changes: Changes) -> None:
        """Deliver what has waited."""
        for row in changes.added:
            self._dispatcher.take_over(row.signum)
        self._dispatcher.release_tasks()
