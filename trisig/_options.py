"""What a master can be opened with, checked where it is given."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ._handlers import check_plain
from ._ledger import DeadLetter

LONGEST = 1e9  # seconds


@dataclass(frozen=True)
class Options:
    """What a master is opened with; see `open_master`."""

    cores: int = 1
    grace: float = 10.0
    max_attempts: int = 3
    max_queued: int = 64_000_000
    handler_timeout: float | None = None
    on_dead_letter: Callable[[DeadLetter], object] | None = None

    def __post_init__(self) -> None:
        if self.on_dead_letter is not None:
            check_plain(self.on_dead_letter, "on_dead_letter")
        for name, least, most in (("cores", 1, 4096), ("max_attempts", 1, 1000), ("max_queued", 1, 2**40)):
            value = getattr(self, name)
            if type(value) is not int:
                raise TypeError(f"{name} is a whole number, not {value!r}")
            if not least <= value <= most:
                raise ValueError(f"{name} is a number from {least} to {most}, not {value}")
        _seconds("grace", self.grace, zero=True)
        if self.handler_timeout is not None:
            _seconds("handler_timeout", self.handler_timeout, zero=False)


def _seconds(name: str, value: object, *, zero: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if not (0 < value < LONGEST or (zero and value == 0)):
        raise ValueError(f"{name} is a number of seconds {'from' if zero else 'above'} 0 to {LONGEST:g}, not {value}")


def path_of(name: str, value: object) -> Path | None:
    """The path that an argument is; None if it is None.

    Raises:
        TypeError: it is no path.
        ValueError: no file can have it.
    """
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} is a path, not {value!r}")
    path = os.fsdecode(value)
    if not path or "\0" in path:
        raise ValueError(f"{name} is a path, not {path!r}: {'a path has no NUL in it' if path else 'it is empty'}")
    return Path(path)
