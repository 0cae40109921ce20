"""Forking in a process that has threads."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import warnings
from typing import TYPE_CHECKING

from trio._core._run import GLOBAL_RUN_CONTEXT

from .leave import run_and_leave

if TYPE_CHECKING:
    from collections.abc import Callable


def fork_quietly() -> int:
    """Fork without the warning that Python 3.12 and later give for a process with threads.

    They count the threads by the 20th word of ``/proc/self/stat``, which is another field when the name of the process
    has a space; and an application that turns warnings into errors has it raised in the parent when the child exists
    already. `other_threads` says what the warning would, once. The filters are restored in both processes.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*multi-threaded", category=DeprecationWarning)
        return os.fork()


def other_threads() -> list[str]:
    """The names of the application's other threads. Those that trio keeps for its next call hold nothing."""
    me = threading.current_thread()
    names = (thread.name for thread in threading.enumerate() if thread is not me)
    return sorted(name for name in names if not name.startswith("Trio thread"))


def fork_in_own_group(body: Callable[[], None]) -> int:
    """Fork a process that runs ``body`` in a new process group, with all signals blocked at first.

    In the caller's thread, and not in one of its own: from Python 3.13 on, a process that another thread than the main
    one has forked runs no Python handler of a Unix signal while it is busy. The interpreter goes on marking the thread
    that was the main one before, which is no more (seen up to 3.15.2).
    """
    # A signal that met the child before it forgot the handlers would be written to the wakeup fd, that is, to the loop
    # of the master.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = fork_quietly()
        if pid == 0:
            run_and_leave(lambda: _begin(body))
        with contextlib.suppress(OSError):  # in both, so that the group exists whoever runs first, or dies first
            os.setpgid(pid, pid)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _begin(body: Callable[[], None]) -> None:
    os.setpgid(0, 0)
    # Or `trio.run` would raise in every child: the loop that forked is below on the stack. There is no public way.
    GLOBAL_RUN_CONTEXT.__dict__.clear()
    body()
