"""The sockets that a service manager has opened for a program, by the protocol of sd_listen_fds(3).

`LISTEN_FDS` says how many descriptors there are from 3 on, `LISTEN_FDNAMES` how they are called, and `LISTEN_PID` which
program they are for: a master, or the parent of this process, if that is a process of a master.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

CONTROL = "control"  # the name of the socket on which the master takes commands
_FIRST = 3
_UNNAMED = "unknown"  # as sd_listen_fds_with_names(3) calls it


def activated() -> Iterator[tuple[str, int]]:
    """The names and descriptors of those that are open here; a name may come more than once."""
    count = os.environ.get("LISTEN_FDS", "")
    if not count.isdecimal() or os.environ.get("LISTEN_PID") not in (str(os.getpid()), str(os.getppid())):
        return
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    for place in range(int(count)):
        if _is_socket(_FIRST + place):
            yield (names[place] if place < len(names) and names[place] else _UNNAMED), _FIRST + place


def _is_socket(fd: int) -> bool:
    """Not so in a program that a process of the master has started, where the descriptor is closed or another one."""
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False


def activated_control() -> int | None:
    """The descriptor on which this very process shall take commands; None if there is none."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    return next((fd for name, fd in activated() if name == CONTROL), None)


def hide_from_programs() -> None:
    """Close them in programs that this process starts; a service manager passes them on to all."""
    for _, fd in activated():
        os.set_inheritable(fd, False)
