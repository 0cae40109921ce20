"""The part of a master that has a journal: it goes on where an earlier master stopped, and looks after the file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from trisig._api.application import Application
from trisig._ipc.inlets import Outbox
from trisig._ipc.shared_memory import shared_bytes
from trisig._journal.journal import Journal
from trisig._journal.layout import DEAD
from trisig._journal.open import open_journal
from trisig._journal.recorder import JournalRecorder
from trisig._journal.recovery import Pending
from trisig._model.ledger import Ledger
from trisig._model.mailboxes import Boxes, box_name
from trisig._model.past import Record
from trisig._model.process import CLUSTER, MASTER
from trisig._model.targets import Topology
from trisig._model.waiters import WAIT
from trisig._util.ki_protection import ki_protected

from .core import Core
from .destinations import pool_names
from .later import LATER
from .overview import Overview
from .report import counted, unhandled_report
from .restore import restore

log = logging.getLogger("trisig")


async def open_journaling(path: Path, app: Application, topology: Topology, *, in_cluster: bool) -> Journaling:
    """Make the journal of a new master, and read what the one before it left.

    Args:
        path: of the journal.
        app: the application.
        topology: which processes there are.
        in_cluster: whether the master is a node of one.

    Raises:
        JournalError, trio.BusyResourceError, OSError: as `open_journal`.
    """
    slots = len(topology.processes())
    names = queue_names(topology, messages=app.has_messages, cluster=in_cluster)
    retried = [signum for signum, one in app.handlers.items() if one.handling.retry is not None]
    journal, pending = await open_journal(path, names, slots, shared_bytes(slots), retried=retried)
    return Journaling(journal, pending, [*topology.names(), MASTER])


def queue_names(topology: Topology, *, messages: bool, cluster: bool = False) -> list[str]:
    """The names of the queues that a master with this topology has, that of dead letters among them.

    Args:
        topology: which processes there are.
        messages: whether they have boxes for messages.
        cluster: whether the master is a node of one.
    """
    boxes = map(box_name, Boxes(topology, 0).addresses) if messages else ()
    outgoing = [CLUSTER] if cluster else []
    return [*topology.names(), *pool_names(topology), WAIT, LATER, DEAD, *boxes, *outgoing]


@ki_protected
class Journaling:
    """Has the journal of one master.

    Args:
        journal: made, and not published.
        pending: what an earlier master left.
        writers: the processes, the master last.

    Attributes:
        recorder: notes what happens to signals.
        shared: the memory that the master shares with its children.
    """

    def __init__(self, journal: Journal, pending: Pending, writers: list[str]) -> None:
        self.journal = journal
        self.recorder = JournalRecorder(journal, writers[:-1])
        self.shared = journal.shared
        self._pending = pending
        self._outboxes = dict(zip(writers, journal.outboxes, strict=True))

    @property
    def fd(self) -> int:
        """The file."""
        return self.journal.fd

    @property
    def place(self) -> Sequence[int]:
        """Where its parts are in the file, as `JournalPlace` has them."""
        return msgspec.structs.astuple(self.journal.place)

    @property
    def missed(self) -> int:
        """How many signals found no room."""
        return self.journal.missed

    def outbox(self, process: str) -> Outbox:
        """Where a process notes what it raises."""
        return self._outboxes[process]

    def schedule(self, source: str) -> Record | None:
        """Where the past of a source is kept; None if there is no room for it."""
        return self.journal.schedules.open(source)

    def resume(self, core: Core, overview: Overview) -> None:
        """Take over what the earlier master left, and put the journal in the place of the one that it left.

        Raises:
            OSError: there is no room for it. Nothing has changed.
        """
        pending, self._pending = self._pending, Pending()
        restore(pending, core.dispatcher, core.ledger, core.table)
        self.journal.publish()
        if pending:
            log.info("master: resuming with %s from the journal", counted(core.ledger.pending))
            for words in unhandled_report(overview.statistics()):
                log.warning("master: %s", words)

    async def watch(self, ledger: Ledger, restore_shared: Callable[[], None]) -> None:
        """Keep the file in its place and at its size, whatever others do to it, until cancelled.

        Args:
            ledger: counts what is pending.
            restore_shared: called after the memory that the master shares with the children has lost its content.
        """
        try:
            guard = self.journal.open_guard()
        except OSError as error:
            log.warning("master: the journal is not watched: %s", error)
            return
        try:
            while True:
                await guard.next()
                if self.journal.was_cut_short:
                    log.error(
                        "master: the journal was cut short by another program; what is pending now (%d) will be "
                        "delivered but would not survive the master; replacing the children",
                        ledger.pending,
                    )
                    self.journal.begin_anew(ledger.pending)
                    restore_shared()
        finally:
            guard.close()

    def close(self) -> None:
        """Let go of the file."""
        self.journal.close()
