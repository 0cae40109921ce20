"""Tracebacks as the author of an application wants to see them: of their own code, not of what called it."""

from __future__ import annotations

import errno
import importlib
import linecache
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from trisig._model.errors import ForeignError

from .exception_groups import leaves

_MARK = "_trisig_own_traceback"
_PACKAGE = str(Path(__file__).parents[1])
_IMPORTLIB = str(Path(importlib.__file__).parent)


def own_traceback(error: BaseException) -> str:
    """The traceback of an error without the frames of trisig and of the import system; whole if it has no others."""
    frames = None if isinstance(error, ForeignError) else error.__traceback__
    report = traceback.TracebackException(type(error), error, frames)
    if own_frames(error) or isinstance(error, SyntaxError):  # which has its place in itself
        _strip(report)
    return "".join(report.format())


@contextmanager
def code_of_application() -> Iterator[None]:
    """Mark what the block raises as the application's, for a program that has to tell it from errors of trisig."""
    try:
        yield
    except Exception as error:
        text = own_traceback(error)
        for leaf in leaves(error):  # a group is taken apart on its way out
            setattr(leaf, _MARK, text)
        raise


def traceback_in_application(error: BaseException) -> str | None:
    """The traceback of an error from where trisig called the application; None if that did not raise it."""
    texts = [getattr(leaf, _MARK) for leaf in leaves(error) if hasattr(leaf, _MARK)]
    return "".join(dict.fromkeys(texts)) or None


def own_frames(error: BaseException) -> list[str]:
    """The files of the application that an error went through, those of a group's errors too."""
    files = (frame.filename for frame in traceback.extract_tb(error.__traceback__))
    inside = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [*(file for file in files if not _is_ours(file)), *(file for inner in inside for file in own_frames(inner))]


def summary_of(error: BaseException) -> str:
    """What a traceback ends with: the type and the message, in one line; of a foreign one what it begins with."""
    report = traceback.TracebackException(type(error), error, None)
    if isinstance(error, ForeignError):
        return next(report.format_exception_only()).splitlines()[0]
    return " ".join(line.strip() for line in report.format_exception_only())


def exc_info_of(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """An error for a log, from where trisig called the application; whole if it has no such frames."""
    if isinstance(error, ForeignError):
        return type(error), error, None
    theirs = error.__traceback__
    while theirs is not None and _is_ours(theirs.tb_frame.f_code.co_filename):
        theirs = theirs.tb_next
    return type(error), error, theirs or error.__traceback__


def _is_ours(filename: str) -> bool:
    return filename.startswith((_PACKAGE, _IMPORTLIB, "<frozen importlib"))


def _strip(report: traceback.TracebackException) -> None:
    """Remove our frames from a report and from all that it chains; `__init__` of our dataclasses has no file."""
    frames = report.stack
    generated = {
        at for at, frame in enumerate(frames[1:]) if frame.name == "__post_init__" and _is_ours(frame.filename)
    }
    report.stack[:] = [one for at, one in enumerate(frames) if not _is_ours(one.filename) and at not in generated]
    related = [report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())]
    for other in related:
        if other is not None:
            _strip(other)


def refused_call(error: OSError) -> str:
    """What the kernel said to which call, for an error that names neither a file nor anything else; else empty."""
    frames = traceback.extract_tb(error.__traceback__)
    if len(error.args) < 2 or error.filename is not None or not frames:
        return ""
    source = _source_of(frames[-1])
    if source.startswith("raise"):  # passed on from another process, or worded by us
        return str(error.strerror)
    advice = "; a sandbox may forbid it" if error.errno in (errno.EPERM, errno.ENOSYS) else ""
    return f"{source} failed: {error.strerror}{advice}"


def _source_of(frame: traceback.FrameSummary) -> str:
    """The call that a frame stands at."""
    line = linecache.getline(frame.filename, frame.lineno or 0)
    if frame.lineno != frame.end_lineno:
        return line.strip()
    return line.encode()[frame.colno or 0 : frame.end_colno].decode().strip() or frame.name
