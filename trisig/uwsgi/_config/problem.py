"""What is wrong with a configuration."""

from __future__ import annotations


class ConfigError(ValueError):
    """An option cannot be used; the message says what to write instead.

    Args:
        message: one line.
        status: the exit status, as of uWSGI where it has one.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
