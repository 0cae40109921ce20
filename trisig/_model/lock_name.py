"""Names of locks: numbers from 0, as in uWSGI, or text."""

from __future__ import annotations

from typing import TypeAlias

from .text import describe

LockName: TypeAlias = int | str

NAME_CHARS = 200  # of the longest name


def check_lock_name(name: object) -> LockName:
    """Return the name of a lock if it is one.

    Raises:
        TypeError: it is neither an int nor a str; bool is neither.
        ValueError: a number below 0 or of more than 64 bits, an empty text or one of more than 200 characters.
    """
    if isinstance(name, bool) or not isinstance(name, (int, str)):
        raise TypeError(f'a lock is named by a number or a text, such as signals.lock(0) or "db", not {describe(name)}')
    if isinstance(name, int) and not 0 <= name < 2**64:
        raise ValueError(f"the number of a lock is from 0 to 2**64 - 1, not {describe(name)}")
    if isinstance(name, str) and not 0 < len(name) <= NAME_CHARS:
        raise ValueError(f"the name of a lock has 1 to {NAME_CHARS} characters, not {len(name)}")
    return name
