"""How a process has ended, in words."""

from __future__ import annotations

import signal


def exit_in_words(status: int) -> str:
    """An exit status, or the name of the Unix signal that killed: `exit status 3`, `SIGKILL`, `Unix signal 40`.

    Args:
        status: what the process exited with, or the negative number of the signal.
    """
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:  # a real-time signal has no name
        return f"Unix signal {-status}"
