"""Checks of what a caller gives to a source, made where the source is constructed.

A wrong value has to fail in the line that wrote it, not minutes later in the master.
"""

from __future__ import annotations

SHORTEST = 0.001
LONGEST = 1e9


def check_int(value: object, what: str) -> int:
    """Return `value` if it is an int; a bool is not one.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} must be an int, not {value!r}")
    return value


def check_delay(value: object, what: str) -> float:
    """Return `value` as a float if it is a number of seconds that may be 0.

    Raises:
        TypeError: not an int or float.
        ValueError: NaN, infinite, negative, or above `LONGEST`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} must be an int or float, a number of seconds, not {value!r}")
    if not 0 <= value <= LONGEST:
        raise ValueError(f"{what} must be from 0 to {LONGEST:.0e} seconds, not {value!r}")
    return float(value)


def check_bool(value: object, what: str) -> bool:
    """Return `value` if it is a bool.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{what} must be True or False, not {value!r}")
    return value


def check_iterations(value: object) -> int:
    """Return `value` if it can limit how many signals a source raises.

    Raises:
        TypeError: not an int.
        ValueError: negative.
    """
    iterations = check_int(value, "iterations")
    if iterations < 0:
        raise ValueError(f"iterations must be 0 (no limit) or the number of signals to raise, not {iterations}")
    return iterations


def check_seconds(value: object) -> float:
    """Return `value` as a float if it is an interval that a timer can keep.

    Raises:
        TypeError: not an int or float.
        ValueError: NaN, infinite, or outside `SHORTEST` to `LONGEST`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"seconds must be an int or float, not {value!r}")
    if not SHORTEST <= value <= LONGEST:  # which NaN is not either
        raise ValueError(f"seconds must be from {SHORTEST} to {LONGEST:.0e}, not {value!r}")
    return float(value)
