"""Tracebacks as the author of an application wants to see them: of their own code, not of what called it."""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path

_PACKAGE = str(Path(__file__).parent)
_IMPORTLIB = str(Path(importlib.__file__).parent)


def own_traceback(error: BaseException) -> str:
    """The traceback of an error without the frames of trisig and of the import system; whole if it has no others."""
    report = traceback.TracebackException.from_exception(error)
    if own_frames(error) or isinstance(error, SyntaxError):  # which has its place in itself
        _strip(report)
    return "".join(report.format())


def own_frames(error: BaseException) -> list[str]:
    """The files of the application that an error went through, those of a group's errors too."""
    files = (frame.filename for frame in traceback.extract_tb(error.__traceback__))
    inside = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [*(file for file in files if not _is_ours(file)), *(file for inner in inside for file in own_frames(inner))]


def summary_of(error: BaseException) -> str:
    """What a traceback ends with: the type and the message, in one line."""
    report = traceback.TracebackException(type(error), error, None)
    return " ".join(line.strip() for line in report.format_exception_only())


def _is_ours(filename: str) -> bool:
    return filename.startswith((_PACKAGE, _IMPORTLIB, "<frozen importlib"))


def _strip(report: traceback.TracebackException) -> None:
    """Remove our frames from a report and from all that it chains."""
    report.stack[:] = [frame for frame in report.stack if not _is_ours(frame.filename)]
    related = [report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())]
    for other in related:
        if other is not None:
            _strip(other)
