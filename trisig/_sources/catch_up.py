"""What becomes of that which fell due while there was no master."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

from .checks import check_delay

CatchUp: TypeAlias = Literal["one", "none"]


def check_catch_up(value: object) -> CatchUp:
    """Return `value` if it is one of the words.

    Raises:
        ValueError: it is not.
    """
    for word in get_args(CatchUp):
        if value == word:
            found: CatchUp = word
            return found
    raise ValueError(f"catch_up must be 'one' or 'none', not {value!r}")


def check_late(value: object) -> float | None:
    """Return `value` as a float if it is a number of seconds, or None.

    Raises:
        TypeError, ValueError: it is something else.
    """
    return None if value is None else check_delay(value, "late")


def oldest(now: float, catch_up: CatchUp, late: float | None) -> float:
    """The moment after which something due is still caught up.

    Args:
        now: in seconds since 1970.
        catch_up: whether anything is.
        late: how many seconds something may be late; None for any number.
    """
    if catch_up == "none":
        return now
    return -math.inf if late is None else now - late
