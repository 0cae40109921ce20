"""Ends this process when its master has ended, whatever it is doing.

The kernel's parent death signal does that too, and is cleared when the process changes its user or group, which start
hooks and handlers do. The pipe does not depend on the user: nothing is ever written to it, only the master holds its
other end, and when that closes the kernel itself sends SIGKILL. No thread, no loop and no handler is involved, so a
process is ended in the middle of a plain handler, too, and when it is stopped.
"""

from __future__ import annotations

import fcntl
import os
import signal

from trisig._linux import prctl

_F_SETSIG = 10  # the standard library has no name for it


def end_with_master(alive: int) -> None:
    """Have the kernel kill this process when the other end of a pipe is closed.

    Args:
        alive: the reading end; nobody else may have set an owner on it.
    """
    fcntl.fcntl(alive, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(alive, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(alive, fcntl.F_SETFL, fcntl.fcntl(alive, fcntl.F_GETFL) | os.O_ASYNC)


def end_with_parent(master: int) -> None:
    """Set the parent death signal, again after hooks that may have cleared it by changing the user.

    Args:
        master: the expected pid of the parent.

    Raises:
        SystemExit: the parent has gone already.
    """
    prctl.set_parent_death_signal(signal.SIGKILL)
    if os.getppid() != master:
        raise SystemExit(1)
