"""An occurrence that a cluster lets through once, whichever node notices it. Pure."""

from __future__ import annotations

import msgspec


class Once(msgspec.Struct, frozen=True):
    """One occurrence; equal for all nodes that notice it.

    Attributes:
        source: what notices it, by a name that all nodes give it.
        due: when it was due, in seconds since the epoch.
        late: seconds after which it does not count any more; None for no limit.
    """

    source: str
    due: float
    late: float | None = None

    def is_too_late(self, now: float) -> bool:
        """Whether it does not count any more."""
        return self.late is not None and now - self.due > self.late
