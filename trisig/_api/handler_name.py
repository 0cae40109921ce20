"""What a handler is called in every version of its application, and the numbers that an earlier one has given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar

# Set around the import of an application whose earlier version runs: a handler without a number of its own keeps the
# one that it had, or what was raised for it would run another one.
earlier_numbers: ContextVar[Mapping[str, int]] = ContextVar("trisig.earlier_numbers")


def handler_name(handler: object) -> str:
    """The module and the name of a handler; its class if it has none."""
    named = handler if hasattr(handler, "__qualname__") else type(handler)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"


def signum_for(handler: object, taken: Iterable[int]) -> int | None:
    """The number that a handler without one gets because of an earlier version; None if any free one will do."""
    earlier = earlier_numbers.get({})
    taken = set(taken)
    before = earlier.get(handler_name(handler))
    if before is not None and before not in taken:
        return before
    free = [signum for signum in range(256) if signum not in taken and signum not in earlier.values()]
    return free[0] if earlier and free else None
