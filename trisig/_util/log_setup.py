"""How the command has the log written: its own, and that of the application."""

from __future__ import annotations

import logging

from .json_log import JsonFormatter
from .log import STANDARD_ERROR, LineFormatter, has_standard_error
from .nonblocking_stream import NonBlockingStream


def configure(level: str, form: str = "text") -> None:
    """Send the log of trisig and of the application to standard error.

    Args:
        level: the least level to log, for example `info`.
        form: `text`, or `json` for one object a line.
    """
    handler = (
        logging.StreamHandler(NonBlockingStream(STANDARD_ERROR)) if has_standard_error() else logging.NullHandler()
    )
    handler.setFormatter(JsonFormatter() if form == "json" else LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
