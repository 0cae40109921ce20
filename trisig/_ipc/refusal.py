"""An error on its way from the master to the child that asked."""

from __future__ import annotations

import trio

from trisig._model.errors import DeadlockError, SignalTableError, TargetError

from .messages import TEXT_CHARS, Refused

_BY_NAME: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (
        *(ValueError, TypeError, KeyError, OSError, FileNotFoundError, PermissionError, RuntimeError),
        *(trio.ClosedResourceError, trio.BusyResourceError, TargetError, SignalTableError, DeadlockError),
    )
}


def refusal_of(error: Exception) -> Refused:
    """The answer that stands for an error; one of a class that does not travel becomes a RuntimeError."""
    name = type(error).__name__
    known = name if _BY_NAME.get(name) is type(error) else "RuntimeError"
    if isinstance(error, OSError) and error.strerror is not None:  # made of the parts, not of one text
        path = error.filename if isinstance(error.filename, (str, int)) else None
        return Refused(known, [error.errno, f"{error.strerror}"[:TEXT_CHARS], path])
    return Refused(known, [str(error)[:TEXT_CHARS]])


def error_of(refused: Refused) -> Exception:
    """The error that an answer stands for."""
    return _BY_NAME[refused.error](*refused.arguments)
