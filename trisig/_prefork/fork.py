"""Forking in a process that has threads."""

from __future__ import annotations

import contextlib
import contextvars
import errno
import os
import signal
import threading
import warnings
from concurrent.futures import Future
from typing import TYPE_CHECKING

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


def in_fresh_thread(fork: Callable[[], int]) -> int:
    """Call ``fork`` in a thread that ends with it.

    The child gets this thread as its main thread: without a trio loop below it, and with the caller's context
    variables, while the caller stands at a known place.
    """
    result: Future[int] = Future()

    def run() -> None:
        try:
            result.set_result(fork())
        except BaseException as exc:  # noqa: BLE001, ASYNC103  it is raised in the caller
            result.set_exception(exc)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name="MainThread")
    try:
        thread.start()
    except RuntimeError as exc:  # the one error of a refused pthread_create
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from exc
    thread.join()
    return result.result()


def fork_in_own_group(body: Callable[[], None]) -> int:
    """Fork a process that runs ``body`` in a new process group, with all signals blocked at first."""
    # Blocked in this thread only, which ends soon: a signal that met the child before it forgot the handlers would
    # be written to the wakeup fd, that is, to the loop of the master.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = fork_quietly()
    if pid == 0:
        os.setpgid(0, 0)
        run_and_leave(body)
    with contextlib.suppress(OSError):  # in both, so that the group exists whoever runs first, or dies first
        os.setpgid(pid, pid)
    return pid
