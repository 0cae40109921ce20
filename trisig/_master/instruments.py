"""Several instruments as one."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from trisig._model.dead_letter import DeadLetter
from trisig._model.instrument import Instrument
from trisig._model.invocation import QueuedTask
from trisig._model.process import ProcessInfo

log = logging.getLogger("trisig")


def combine(journal: Instrument | None, others: Iterable[Instrument]) -> Instrument | None:
    """One instrument for the ledger to call; None for none, which costs nothing.

    Args:
        journal: called first, and directly: what it raises must reach the caller.
        others: those of the application.

    Raises:
        TypeError: not an `Instrument`.
    """
    watching = list(others)
    for instrument in watching:
        if not isinstance(instrument, Instrument):
            raise TypeError(f"an instrument is an instance of a subclass of trisig.Instrument, not {instrument!r}")
    return Instruments(journal or Instrument(), watching) if watching else journal


class Instruments(Instrument):
    """The journal, and those of the application, each of them until it raises."""

    def __init__(self, journal: Instrument, others: list[Instrument]) -> None:
        self._journal = journal
        self._others = others

    def _call(self, method: str, *arguments: object, **named: object) -> None:
        for instrument in list(self._others):
            try:
                getattr(instrument, method)(*arguments, **named)
            except Exception:
                if instrument in self._others:  # else it has failed in what it has just done itself, too
                    self._others.remove(instrument)
                log.exception("master: instrument %s failed in %s() and is not called again", instrument, method)

    def raised(self, process: str, signals: bytes) -> None:
        """See `Instrument.raised`."""
        self._journal.raised(process, signals)
        self._call("raised", process, signals)

    def queued(self, destination: str, position: int, signals: bytes) -> None:
        """See `Instrument.queued`."""
        self._journal.queued(destination, position, signals)
        self._call("queued", destination, position, signals)

    def task_queued(self, destination: str, position: int, task: QueuedTask) -> None:
        """See `Instrument.task_queued`."""
        self._journal.task_queued(destination, position, task)
        self._call("task_queued", destination, position, task)

    def accepted(self, process: str, signals: bytes) -> None:
        """See `Instrument.accepted`."""
        self._journal.accepted(process, signals)
        self._call("accepted", process, signals)

    def sent(self, process: str, number: int, destination: str, position: int, signals: bytes) -> None:
        """See `Instrument.sent`."""
        self._journal.sent(process, number, destination, position, signals)
        self._call("sent", process, number, destination, position, signals)

    def started(self, process: str, number: int, destination: str, position: int, signum: int) -> None:
        """See `Instrument.started`."""
        self._journal.started(process, number, destination, position, signum)
        self._call("started", process, number, destination, position, signum)

    def finished(
        self, process: str, number: int | None, destination: str, position: int, signals: bytes, *, failed: bool
    ) -> None:
        """See `Instrument.finished`."""
        self._journal.finished(process, number, destination, position, signals, failed=failed)
        self._call("finished", process, number, destination, position, signals, failed=failed)

    def retried(
        self, process: str, number: int | None, destination: str, position: int, signum: int, pause: float | None
    ) -> None:
        """See `Instrument.retried`."""
        self._journal.retried(process, number, destination, position, signum, pause)
        self._call("retried", process, number, destination, position, signum, pause)

    def redelivered(self, destination: str, position: int, signals: bytes, *, blamed: bool) -> None:
        """See `Instrument.redelivered`."""
        self._journal.redelivered(destination, position, signals, blamed=blamed)
        self._call("redelivered", destination, position, signals, blamed=blamed)

    def moved(self, destination: str, position: int, to: str, start: int, signals: bytes) -> None:
        """See `Instrument.moved`."""
        self._journal.moved(destination, position, to, start, signals)
        self._call("moved", destination, position, to, start, signals)

    def dead_lettered(self, letter: DeadLetter, position: int) -> None:
        """See `Instrument.dead_lettered`."""
        self._journal.dead_lettered(letter, position)
        self._call("dead_lettered", letter, position)

    def requeued(self, letter: DeadLetter, destination: str, position: int) -> None:
        """See `Instrument.requeued`."""
        self._journal.requeued(letter, destination, position)
        self._call("requeued", letter, destination, position)

    def dropped(self, letter: DeadLetter) -> None:
        """See `Instrument.dropped`."""
        self._journal.dropped(letter)
        self._call("dropped", letter)

    def process_started(self, process: ProcessInfo) -> None:
        """See `Instrument.process_started`."""
        self._journal.process_started(process)
        self._call("process_started", process)

    def process_ended(self, process: ProcessInfo, status: int | None) -> None:
        """See `Instrument.process_ended`."""
        self._journal.process_ended(process, status)
        self._call("process_ended", process, status)
