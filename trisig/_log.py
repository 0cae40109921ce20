"""The log: one line an event on standard error, and never a process that waits for its reader.

The command configures logging itself. In a program of its own the application does, or nobody does; then Python's
last resort would write, and wait. While a master is open, handlers on standard error are kept from waiting in either
case: they are lent another stream, or there is a last resort that does not wait.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from ._lines import Lines
from ._process import current_process

FORMAT = "%(asctime)s %(levelname)s %(subject)s%(message)s"
STANDARD_ERROR = 2


def configure(level: str) -> None:
    """Send the log of trisig and of the application to standard error."""
    handler = logging.StreamHandler(Lines(STANDARD_ERROR)) if _has_standard_error() else logging.NullHandler()
    handler.setFormatter(_Formatter(FORMAT, datefmt="%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class _Formatter(logging.Formatter):
    """Names the process, unless the message does."""

    def format(self, record: logging.LogRecord) -> str:
        name = current_process().name
        record.subject = "" if record.getMessage().startswith(f"{name}: ") else f"{name} "
        return super().format(record)


def _has_standard_error() -> bool:
    """Whether the program was started with one; if not, the number may be that of any file by now."""
    return sys.__stderr__ is not None


@contextmanager
def no_waiting() -> Iterator[None]:
    """For the length of the block, nothing that is logged waits for whoever reads standard error.

    Handlers that the application adds later, or that write elsewhere, wait as long as they like.
    """
    if not _has_standard_error():
        yield
        return
    handlers = (*logging.getLogger().handlers, *logging.getLogger("trisig").handlers)
    with ExitStack() as undo:
        undo.enter_context(_last_resort())
        for handler in handlers:
            if _would_wait(handler):
                undo.enter_context(_lent_a_stream(handler))
        yield


def _would_wait(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.__stderr__)


@contextmanager
def _lent_a_stream(handler: Any) -> Iterator[None]:
    lines = Lines(STANDARD_ERROR)
    stream = handler.setStream(lines)
    try:
        yield
    finally:
        if handler.stream is lines:
            handler.setStream(stream)
        lines.close()


@contextmanager
def _last_resort() -> Iterator[None]:
    lines = Lines(STANDARD_ERROR)
    handler = logging.StreamHandler(lines)
    handler.setLevel(logging.WARNING)
    before, logging.lastResort = logging.lastResort, handler
    try:
        yield
    finally:
        if logging.lastResort is handler:
            logging.lastResort = before
        lines.close()
