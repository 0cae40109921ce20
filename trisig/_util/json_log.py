"""The log as one JSON object a line, for what gathers logs."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from trisig._model.process import current_process


class JsonFormatter(logging.Formatter):
    """Writes time (UTC), level, logger, message and process; where there are such, the signal and the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        process, message = current_process().name, record.getMessage()
        event: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message.removeprefix(f"{process}: "),
            "process": process,
        }
        if isinstance(signum := getattr(record, "signum", None), int):
            event["signum"] = signum
        if record.exc_info and record.exc_info[0] is not None:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event)
