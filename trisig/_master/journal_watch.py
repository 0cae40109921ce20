"""The master's answer to what others do to the file of its journal."""

from __future__ import annotations

import logging
from collections.abc import Callable

from trisig._journal.journal import Journal
from trisig._model.ledger import Ledger

log = logging.getLogger("trisig")


async def watch_journal(journal: Journal, ledger: Ledger, restore_shared: Callable[[], None]) -> None:
    """Keep the journal in its place and at its size, until cancelled.

    Args:
        journal: published.
        ledger: counts what is pending.
        restore_shared: called after the memory that the master shares with the children has lost its content.
    """
    try:
        guard = journal.open_guard()
    except OSError as error:
        log.warning("master: the journal is not watched: %s", error)
        return
    try:
        while True:
            await guard.next()
            if journal.was_cut_short:
                log.error(
                    "master: the journal was cut short by another program; what is pending now (%d) will be delivered "
                    "but would not survive the master; replacing the children",
                    ledger.pending,
                )
                journal.begin_anew(ledger.pending)
                restore_shared()
    finally:
        guard.close()
