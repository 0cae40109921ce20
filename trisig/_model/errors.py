"""The exceptions, sorted by whose mistake it was.

`TargetError` and `SignalTableError` are the caller's: a target or a number that cannot be.
`NoMasterError` is the caller's too: a verb that needs a master, used where there is none.
`ChildFailedError` is the child's: it could not start.
`DeadlockError` is the application's: its tasks acquire locks in different orders.
`JournalError` is nobody's: what is at the path of a journal is none, or is damaged.
`ClusterError` is the operator's: the database of a cluster cannot be used as one.
`ForeignError` is that of code that is not Python, whose frames a traceback of Python does not have.
`TaskError` is what a task raised in another process, if it cannot be raised here as what it was.
Where trio has a word for it (`WouldBlock`, `ClosedResourceError`, `BusyResourceError`), trio's is used.
"""

from __future__ import annotations


class TargetError(ValueError):
    """The target is malformed, or names processes that the topology does not have."""


class SignalTableError(ValueError):
    """The signal table refuses: the number is taken, is not registered, or all 256 are taken."""


class JournalError(ValueError):
    """What is at the path of a journal is none, or is damaged; documented as the ValueError that it is."""


class ClusterError(RuntimeError):
    """The database cannot be used for a cluster, and trying again will not help."""


class NoMasterError(RuntimeError):
    """The verb needs a running master, and this `Signals` has none."""


class DeadlockError(RuntimeError):
    """Waiting for the lock would never end: its holder waits, over one lock or several, for this very task."""


class ForeignError(RuntimeError):
    """Code in another language has raised an error; the message has the traceback of that language."""


class TaskError(RuntimeError):
    """A task failed elsewhere, with an error that cannot be raised here as what it was.

    Attributes:
        error: the name of its class, such as `ValueError`.
        traceback: the traceback in the process where it was raised.
    """

    def __init__(self, error: str, text: str, traceback: str = "") -> None:
        self.error = error
        self.traceback = traceback
        super().__init__(f"{error}: {text}" if text else error)


def reworded(error: OSError, text: str) -> OSError:
    """The same error, its errno too, with a message of ours instead of `[Errno 2] ...`."""
    told = type(error)(text)
    told.errno = error.errno
    return told


def master_gone() -> NoMasterError:
    return NoMasterError("the master is gone")


class ChildFailedError(RuntimeError):
    """A child could not start, or kept dying until the master gave up.

    Attributes:
        process: the child's name, for example `worker2`.
        status: its exit status; minus the number of the unix signal that killed it; None if it never ran, or if
            something else in the program reaped it.
        traceback: the child's own traceback, empty if it had none to send.
    """

    def __init__(
        self,
        process: str,
        status: int | None,
        traceback: str = "",
        *,
        reason: str = "",
        summary: str = "",
        ended: str = "it never ran",
    ) -> None:
        self.process = process
        self.status = status
        self.traceback = traceback
        because = f": {summary}" if summary else ""
        super().__init__(f"{process} {reason or 'failed to start'} ({ended}){because}")
