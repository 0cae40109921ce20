"""Who handles which signal, and which event sources raise: every change of it, whichever process asks."""

from __future__ import annotations

from collections.abc import Callable

from trisig._ipc.runtime_handlers import RuntimeHandlers
from trisig._model.errors import TargetError
from trisig._model.handling import Handling
from trisig._model.table import Entry, Table
from trisig._model.targets import Target, Topology, check_here, check_in_cluster
from trisig._sources import EngineSource, EventSource
from trisig._sources.runner import Sources
from trisig._util.ki_protection import ki_protected


@ki_protected
class Registry:
    """Changes the table, the handlers of the running processes and the sources together.

    Args:
        topology: the processes that a target may name.
        table: the signal table.
        handlers: those that are sent to the running processes.
        sources: the event sources.
        refresh: called last, when the table has changed: from then on signals go by the new entries.

    Attributes:
        has_cluster: whether the master is a node of one.
    """

    def __init__(
        self,
        topology: Topology,
        table: Table,
        handlers: RuntimeHandlers,
        sources: Sources,
        refresh: Callable[[], object],
    ) -> None:
        self._topology = topology
        self._table = table
        self._sources = sources
        self._handlers = handlers
        self._refresh = refresh
        self.has_cluster = False

    def republish(self) -> None:
        """Write anew what the children read in shared memory, because that has lost its content."""
        self._table.republish()
        self._handlers.republish()

    def check(self, target: Target) -> None:
        """Refuse a target that the topology does not have.

        Raises:
            TargetError: it names processes that do not exist, or is in a cluster and there is none.
        """
        if not self.has_cluster:
            check_here(target)
        self._topology.members(target)

    def register(self, signum: int, target: Target, handling: Handling, packed: bytes) -> None:
        """Enter a signal whose handler was registered in the master.

        Args:
            signum: its number.
            target: who runs the handler.
            handling: how it is run.
            packed: the handler, for the processes that run already.

        Raises:
            TargetError: the topology does not have the target.
            SignalTableError: the number is registered already.
        """
        self.check(target)
        change = self._table.register(signum, Entry(target, None, handling))
        # The table, then the handler, then the routes: no signal is routed before its handler is on the way.
        self._handlers.add(signum, packed, change)
        self._refresh()

    def register_owned(self, signum: int, target: Target, handling: Handling, owner: str) -> int:
        """Enter a signal whose handler only one process has; returns which change of the table that is.

        Args:
            signum: its number.
            target: what the process asked for.
            handling: how the handler is run.
            owner: the process, with which the entry ends.

        Raises:
            TargetError: the topology does not have the target.
            SignalTableError: the number is registered already.
        """
        self.check(target)
        if target.node is not None:
            raise TargetError(f"target {target.text!r} is for handlers of all processes: register it in the master")
        change = self._table.register(signum, Entry(target, owner, handling))
        self._handlers.drop(signum)
        self._refresh()
        return change

    def unregister(self, signum: int) -> None:
        """Remove the entry of a signal, and the source that was made together with it.

        Raises:
            SignalTableError: the number is not registered.
        """
        self._table.unregister(signum)
        self._sources.end_with(signum)
        self._refresh()

    def changed(self) -> None:
        """The table was changed: signals go by it from now on."""
        self._refresh()

    def add_source(self, source: EventSource, owner: str | None = None) -> None:
        """Start an event source; see `Sources.add`.

        Raises:
            TargetError: it is unique, and its signal is not for the cluster.
        """
        if isinstance(source, EngineSource) and source.unique:
            entry = self._table[source.signum]
            check_in_cluster(source.signum, None if entry is None else entry.target)
        self._sources.add(source, owner)

    def remove_source(self, key: str) -> None:
        """Stop an event source; see `Sources.remove`."""
        self._sources.remove(key)

    def pause_source(self, key: str, *, paused: bool) -> None:
        """Pause an event source, or let it go on; see `Sources.pause`."""
        self._sources.pause(key, paused=paused)

    def process_ended(self, name: str) -> None:
        """Remove what a process registered and added for itself."""
        self._sources.end_of(name)
        if self._table.end_of(name):
            self._refresh()
