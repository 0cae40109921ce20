"""Which changes a file monitor reports, and how soon."""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

# Changes that never pause must not hold a signal back for ever.
_LONGEST_SETTLE = 10


class Rules(msgspec.Struct, frozen=True):
    """What a file monitor reports.

    Args:
        match: a glob for the names of what changes in a directory; with a slash in it, for paths below the directory,
            where `*` stands for slashes too. None for everything.
        settle: seconds without a further change before changes are reported, together.
    """

    match: str | None = None
    settle: float = 0.0

    def fits(self, path: str) -> bool:
        """Whether a change counts.

        Args:
            path: of what has changed, below the monitored directory.
        """
        if self.match is None:
            return True
        return fnmatchcase(path if "/" in self.match else path.rpartition("/")[2], self.match)

    @property
    def longest_settle(self) -> float:
        """Seconds after which changes are reported even though more keep coming."""
        return _LONGEST_SETTLE * self.settle
