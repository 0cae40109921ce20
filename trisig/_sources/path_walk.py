"""The way from / to a path, as the kernel would walk it.

A path means another file when any entry on that way changes: a directory renamed, a link pointed elsewhere, the
file itself replaced. So whoever follows a path has to watch each of these entries, not only the file.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

# As many as the kernel follows before it says ELOOP.
LINKS = 40


class Step(NamedTuple):
    """An entry on the way. `last` if what it names is the path itself: its last component, or a link's."""

    directory: str
    name: str
    last: bool


class PathWalk:
    """The steps of one absolute path. Iterate once; then `target` is where they led.

    A step is yielded *before* the entry is looked up. A caller that first watches `directory` therefore either
    sees the entry as it is in the end, or has an event waiting that says that it changed.

    Attributes:
        target: the path with no link left in it; None while walking, and when something on the way is missing.
    """

    def __init__(self, path: str) -> None:
        self._pending = deque(_components(path))
        self._links = 0
        self.target: str | None = None

    def __iter__(self) -> Iterator[Step]:
        here: str | None = "/"
        while here is not None and self._pending:
            name = self._pending.popleft()
            if name == "..":
                here = os.path.dirname(here)
                continue
            yield Step(here, name, last=not self._pending)
            here = self._enter(here, name)
        self.target = here

    def _enter(self, here: str, name: str) -> str | None:
        """Where the way goes on after an entry; None if it ends there."""
        entry = os.path.join(here, name)
        try:
            mode = os.lstat(entry).st_mode
            if stat.S_ISLNK(mode):
                return self._follow(here, os.readlink(entry))
        except OSError:
            return None
        return entry if stat.S_ISDIR(mode) or not self._pending else None

    def _follow(self, here: str, link: str) -> str | None:
        self._links += 1
        self._pending.extendleft(reversed(_components(link)))
        if self._links > LINKS:
            return None
        return "/" if link.startswith("/") else here


def _components(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]
