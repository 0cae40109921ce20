"""The number of a signal: one byte. Pure."""

from __future__ import annotations

SIGNALS = 256


def check_signum(signum: object) -> int:
    """Return a signal number, or say what is wrong with it. Members of an `IntEnum` are numbers too.

    Raises:
        TypeError: not an int; a bool is not one.
        ValueError: outside 0 to 255.
    """
    if not isinstance(signum, int) or isinstance(signum, bool):
        raise TypeError(f"a signal is a number from 0 to 255, not {signum!r}")
    if not 0 <= signum < SIGNALS:
        raise ValueError(f"a signal is a number from 0 to 255, not {signum:d}")
    return int(signum)
