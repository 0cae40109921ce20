"""Which code a sweep over every bytecode goes through."""

from types import CodeType
from typing import Any


def codes_of(*owners: Any) -> set[CodeType]:
    """The code of every function of the classes, and of the functions."""
    found = set()
    for owner in owners:
        members = vars(owner).values() if isinstance(owner, type) else (owner,)
        for member in members:
            code = getattr(getattr(member, "__wrapped__", member), "__code__", None)
            if code is not None:
                found.add(code)
    return found
