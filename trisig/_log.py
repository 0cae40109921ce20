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
    handler = logging.StreamHandler(Lines(STANDARD_ERROR))
    handler.setFormatter(logging.Formatter(FORMAT, datefmt="%H:%M:%S"))
    handler.addFilter(_add_process_name)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _add_process_name(record: logging.LogRecord) -> bool:
    name = current_process().name
    record.subject = "" if record.getMessage().startswith(f"{name}: ") else f"{name} "
    return True


@contextmanager
def no_waiting() -> Iterator[None]:
    """For the length of the block, nothing that is logged waits for whoever reads standard error.

    Handlers that the application adds later, or that write elsewhere, wait as long as they like.
    """
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
