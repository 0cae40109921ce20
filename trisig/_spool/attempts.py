"""The rules by which a job is tried, tried again and given up. All of it blocks, in the process that has the job.

What they go by is on the disk: the starts so far, and when the job is due. So it makes no difference who died before,
the process, its master or the machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from trisig._model.jobs import Retry, Unusable
from trisig._model.text import times
from trisig._util.exception_groups import leaves
from trisig._util.tracebacks import summary_of

from .claim import Claim, claim
from .dead_jobs import DeadJobs
from .outcome import Fate, Outcome
from .packet import Packet, PacketError


class Attempt(msgspec.Struct, frozen=True):
    """A job that has started here."""

    claim: Claim
    packet: Packet


class Attempts:
    """The attempts of one process.

    Args:
        dead: the jobs of the spool that were given up.
    """

    def __init__(self, dead: DeadJobs) -> None:
        self._dead = dead

    def start(self, path: Path, retry: Retry) -> Attempt | Outcome:
        """Take a job and count its start; or say why it does not run now."""
        try:
            taken = claim(path)
            return Outcome(taken) if isinstance(taken, Fate) else self._start(taken, retry)
        except OSError as error:
            return Outcome(Fate.REFUSED, str(error))

    def _start(self, taken: Claim, retry: Retry) -> Attempt | Outcome:
        try:
            if not taken.due:
                return _released(taken, Outcome(Fate.AGAIN))
            if taken.starts.unfinished:
                count = taken.starts.count
                return self._end(taken, retry.after_death(count), f"it has ended its process {times(count)}")
            packet = taken.read()
            taken.begin()
        except PacketError as error:
            return self._bury(taken, str(error))
        except BaseException:
            taken.close()
            raise
        return Attempt(taken, packet)

    def end(self, attempt: Attempt, retry: Retry, error: BaseException | None) -> Outcome | None:
        """It has run to its end, or has raised; None if its process ends now.

        A job that ends its process by itself has an unfinished start, as if it had killed it. The start of one that is
        cut off because its process ends for another reason does not count.
        """
        if error is None:
            return self._succeed(attempt.claim)
        if isinstance(error, Unusable):
            return self._end(attempt.claim, None, str(error))
        if isinstance(error, Exception):
            pause = retry.after_error(attempt.claim.starts.count)
            return self._end(attempt.claim, pause, f"it has raised {summary_of(error)}")
        if not any(isinstance(leaf, (SystemExit, KeyboardInterrupt)) for leaf in leaves(error)):
            _excuse(attempt.claim)
        return None

    def _succeed(self, taken: Claim) -> Outcome:
        try:
            taken.done()
        except OSError as error:
            return _released(taken, Outcome(Fate.REFUSED, f"it has run, and cannot be removed: {error}"))
        return _released(taken, Outcome(Fate.DONE))

    def _end(self, taken: Claim, pause: float | None, reason: str) -> Outcome:
        try:
            taken.failed()
            if pause is not None:
                taken.postpone(pause)
        except OSError as error:  # a file of somebody else may be written, and not be postponed
            return self._bury(taken, f"{reason}; it cannot be tried again: {error}")
        if pause is None:
            return self._bury(taken, reason)
        return _released(taken, Outcome(Fate.AGAIN, f"{reason}; next try in {pause:.1f} s"))

    def _bury(self, taken: Claim, reason: str) -> Outcome:
        try:
            self._dead.bury(taken.path, reason)
        except OSError as error:
            return _released(taken, Outcome(Fate.REFUSED, f"{reason}; it cannot be moved to dead/: {error}"))
        return _released(taken, Outcome(Fate.DEAD, reason, taken.starts.count))


def excuse_all(jobs: Iterable[Path]) -> None:
    """Forget those starts that have not ended: their processes were ended from outside."""
    for path in jobs:
        with suppress(OSError):
            taken = claim(path)
            if isinstance(taken, Claim):
                _excuse(taken)


def _excuse(taken: Claim) -> None:
    try:
        if taken.starts.unfinished:
            taken.excuse()
    finally:
        taken.close()


def _released(taken: Claim, outcome: Outcome) -> Outcome:
    taken.close()
    return outcome
