"""Sources whose occurrences a cluster lets through once: `unique=True`.

Every node has the like, and computes the same due instants: whole seconds of the wall clock. A table of the cluster
lets each of them through once, so no node is special, and none has to live.
"""

from __future__ import annotations

from typing import Protocol

from trisig._model.once import Once

from .catch_up import CatchUp, oldest

LONGEST_LATE_S = 6 * 86_400.0  # the cluster remembers for seven days what it has let through
MOST_LOOKED_AT = 100_000


class Scheduled(Protocol):
    """A source that knows when it is due."""

    @property
    def name(self) -> str: ...
    @property
    def catch_up(self) -> CatchUp: ...
    @property
    def late(self) -> float | None: ...
    def due_after(self, moment: float) -> float | None: ...


def check_unique(value: object, late: float | None) -> bool:
    """Return `value` if it is a bool, and `late` is short enough for it.

    Raises:
        TypeError, ValueError: it is not.
    """
    if not isinstance(value, bool):
        raise TypeError(f"unique is True or False, not {value!r}")
    if value and late is not None and late > LONGEST_LATE_S:
        raise ValueError(f"late is at most {LONGEST_LATE_S:.0f} seconds with unique=True, not {late:g}")
    return value


def occurrence_of(source: Scheduled, due: float) -> Once:
    """One occurrence of a source."""
    return Once(source.name, due, source.late)


def missed_since(source: Scheduled, last: float, now: float) -> Once | None:
    """The last occurrence that was due since another one, if that still counts.

    Args:
        source: the source.
        last: when the last one was due that was let through.
        now: the time; both in seconds since the epoch.
    """
    due, found = source.due_after(max(last, oldest(now, source.catch_up, source.late))), None
    for _ in range(MOST_LOOKED_AT):
        if due is None or due > now:
            break
        found, due = due, source.due_after(due)
    return None if found is None else occurrence_of(source, found)
