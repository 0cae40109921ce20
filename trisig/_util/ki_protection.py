"""Ctrl-C in a program that owns its `trio.run`.

trio raises KeyboardInterrupt in whatever code runs at that moment. In the application's code that is what its author
expects. In the master's it would end the task that keeps a child, or leave an account half-written. So the master's
code is marked, and an interrupt that strikes there is raised in the main task instead, at its next checkpoint: the
body of `open_master` ends, and the orderly shutdown begins. A second interrupt cuts that short.
"""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

import trio

T = TypeVar("T", bound=type)


def ki_protected(cls: T) -> T:
    """Mark all that a class does as code in which no KeyboardInterrupt is raised."""
    for member in vars(cls).values():
        function: Any = member.fget if isinstance(member, property) else member
        if inspect.isfunction(function):
            trio.lowlevel.enable_ki_protection(inspect.unwrap(function))
    return cls
