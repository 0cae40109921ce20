"""The log: one line an event on standard error, written without waiting for its reader.

The command configures logging itself (`log_setup`). In any other program the application does, or nobody does; then
Python's last resort would write, and wait. While a master is open, handlers on standard error are kept from waiting in
either case: they borrow another stream, or the last resort is one that does not wait.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from trisig._model.process import current_process

from .nonblocking_stream import NonBlockingStream

FORMAT = "%(asctime)s %(levelname)s %(subject)s%(message)s"
DATE_FORMAT = "%Y-%m-%dT%H:%M:%S%z"
STANDARD_ERROR = 2
LEVELS = ("debug", "info", "warning", "error")
_CONTINUED = "    "


class LineFormatter(logging.Formatter):
    """Begins each event with time, level and process, and indents its other lines.

    So no line of a traceback or of an exception's message can pass for an event.
    """

    def __init__(self) -> None:
        super().__init__(FORMAT, datefmt=DATE_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        subject = f"{current_process().name}: "
        record.subject = "" if record.getMessage().startswith(subject) else subject
        return f"\n{_CONTINUED}".join(super().format(record).splitlines())


def set_level(level: str) -> None:
    """Change the least level that this process logs, if the root logger decides that."""
    logging.getLogger().setLevel(level.upper())


def has_standard_error() -> bool:
    """Whether the program was started with one; if not, its number may be that of any file by now."""
    return sys.__stderr__ is not None


@contextmanager
def non_blocking_logging() -> Iterator[None]:
    """Keep log lines from waiting for the reader of standard error while the block runs.

    Handlers that the application adds later, or that write elsewhere, may still wait.
    """
    if not has_standard_error():
        yield
        return
    handlers = (*logging.getLogger().handlers, *logging.getLogger("trisig").handlers)
    with ExitStack() as undo:
        undo.enter_context(_last_resort())
        for handler in handlers:
            if _would_wait(handler):
                undo.enter_context(_borrowed_stream(handler))
        if handlers and not any(map(_leaves_the_process, handlers)):
            undo.enter_context(_childrens_errors())
        yield


def _would_wait(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.__stderr__)


def _leaves_the_process(handler: logging.Handler) -> bool:
    """Whether what the handler takes can be seen elsewhere. In a child, a list in memory dies with the process."""
    if isinstance(handler, logging.NullHandler):
        return False
    if isinstance(handler, logging.FileHandler):
        return handler.baseFilename != os.devnull
    return not (isinstance(handler, logging.StreamHandler) and isinstance(handler.stream, io.StringIO))


@contextmanager
def _childrens_errors() -> Iterator[None]:
    """Write what children log to standard error as well: a test runner, for one, keeps its log in memory."""
    logger = logging.getLogger() if logging.getLogger().handlers else logging.getLogger("trisig")
    stream = NonBlockingStream(STANDARD_ERROR)
    handler = _ChildrensHandler(stream)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        stream.close()


class _ChildrensHandler(logging.StreamHandler[NonBlockingStream]):
    """Writes warnings and errors of every process but the one that made it."""

    def __init__(self, stream: NonBlockingStream) -> None:
        super().__init__(stream)
        self._maker = os.getpid()
        self.setLevel(logging.WARNING)
        self.setFormatter(LineFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        if os.getpid() != self._maker:
            super().emit(record)


@contextmanager
def _borrowed_stream(handler: Any) -> Iterator[None]:
    stream = NonBlockingStream(STANDARD_ERROR)
    before = handler.setStream(stream)
    try:
        yield
    finally:
        if handler.stream is stream:
            handler.setStream(before)
        stream.close()


@contextmanager
def _last_resort() -> Iterator[None]:
    stream = NonBlockingStream(STANDARD_ERROR)
    handler = logging.StreamHandler(stream)
    handler.setLevel(logging.WARNING)
    before, logging.lastResort = logging.lastResort, handler
    try:
        yield
    finally:
        if logging.lastResort is handler:
            logging.lastResort = before
        stream.close()
