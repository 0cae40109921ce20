"""The file that takes standard output and standard error: `logto`."""

from __future__ import annotations

import os
import sys

from trisig.uwsgi._config.problem import ConfigError

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOCTTY | os.O_CLOEXEC  # to read, too: a FIFO is open at once


def log_to(path: str) -> bool:
    """Append to a file what this process and its children write; it is opened anew when the instance begins anew.

    Returns:
        False if another file, or none, is there by now, and this process may not open it: then it is the one of before.

    Raises:
        ConfigError: it cannot be opened.
    """
    try:
        fd = os.open(path, _FLAGS, 0o640)
    except OSError as error:
        if isinstance(error, PermissionError) and "UWSGI_RELOADS" in os.environ:
            return _is_open(path)  # with rights that have been given up since
        raise ConfigError(f"log file {path}: {error.strerror}; write another path") from None
    sys.stdout.flush()
    for standard in (1, 2):
        os.dup2(fd, standard)
    if fd > 2:
        os.close(fd)
    return True


def _is_open(path: str) -> bool:
    """Whether standard error goes to that file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(2))  # noqa: PTH116
    except OSError:
        return False
