"""The exceptions, sorted by whose mistake it was.

`TargetError` and `SignalTableError` are the caller's: a target or a number that cannot be.
`NoMasterError` is the caller's too: a verb that needs a master, used where there is none.
`ChildFailedError` is the child's: it could not start.
`JournalError` is nobody's: what is at the path of a journal is none, or is damaged.
Where trio has a word for it (`WouldBlock`, `ClosedResourceError`, `BusyResourceError`), trio's is used.
"""

from __future__ import annotations


class TargetError(ValueError):
    """The target is malformed, or names processes that the topology does not have."""


class SignalTableError(ValueError):
    """The signal table refuses: the number is taken, is not registered, or all 256 are taken."""


class JournalError(ValueError):
    """What is at the path of a journal is none, or is damaged; documented as the ValueError that it is."""


class NoMasterError(RuntimeError):
    """The verb needs a running master, and this `Signals` has none."""


def reworded(error: OSError, text: str) -> OSError:
    """The same error, its errno too, with a message of ours instead of `[Errno 2] ...`."""
    told = type(error)(text)
    told.errno = error.errno
    return told


def gone() -> NoMasterError:
    return NoMasterError("the master is gone")


class ChildFailedError(RuntimeError):
    """A child could not start, or kept dying until the master gave up.

    Attributes:
        process: the child's name, for example `worker2`.
        status: its exit status; minus the number of the unix signal that killed it; None if it never ran.
        traceback: the child's own traceback, empty if it had none to send.
    """

    def __init__(
        self, process: str, status: int | None, traceback: str = "", *, reason: str = "", summary: str = ""
    ) -> None:
        self.process = process
        self.status = status
        self.traceback = traceback
        because = f": {summary}" if summary else ""
        super().__init__(f"{process} {reason or 'failed to start'} ({_said(status)}){because}")


def _said(status: int | None) -> str:
    if status is None:
        return "it never ran"
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"
