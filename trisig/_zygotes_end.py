"""What runs in the zygote, from its birth to its end; `_zygote` is the master's side of it."""

from __future__ import annotations

import errno
import functools
import os
import signal
import socket
from typing import TYPE_CHECKING

from ._birth import bear, report, run_and_leave

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_JOB_BYTES = 65_536
MAX_FDS = 252  # SCM_MAX_FD is 253, and one of them is the socket of the birth


def forget_signals() -> None:
    """Drop what the master does with signals, and unblock them."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    # Both are for the master when they are sent to the whole tree, by a terminal or a supervisor. Not by SIG_IGN,
    # which would go on in every program that a handler starts.
    signal.signal(signal.SIGINT, _leave_it)
    signal.signal(signal.SIGTERM, _leave_it)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _leave_it(_number: int, _frame: object) -> None:
    """Do nothing."""


def replace_by_devnull(fd: int) -> None:
    """Let go of a descriptor that some inherited object owns: closed, its number would be reused and closed again."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, fd, inheritable=False)
    os.close(null)


def serve_requests(master: int, line: socket.socket, become: Callable[[str, list[int]], None]) -> None:
    """The life of the zygote: fork a child for each message, leave on EOF."""
    while True:
        message, fds, flags, _ = socket.recv_fds(line, MAX_JOB_BYTES, MAX_FDS + 1)
        if not fds:
            return
        for fd in fds:
            os.set_inheritable(fd, False)  # recv_fds drops its flags argument, MSG_CMSG_CLOEXEC with it
        with socket.socket(fileno=fds.pop(0)) as birth:
            if flags & socket.MSG_CTRUNC:
                # One always arrives: the zygote closed the master's sockets, and opened nothing in their place.
                report(birth, 0, errno.EMFILE)
            else:
                _fork_child(master, line, birth, functools.partial(become, message.decode(), fds))
        for fd in fds:
            os.close(fd)


def _fork_child(master: int, line: socket.socket, birth: socket.socket, body: Callable[[], None]) -> None:
    def bear_child() -> None:
        line.close()
        bear(master, birth, body)

    try:
        intermediate = os.fork()
    except OSError as exc:
        report(birth, 0, exc.errno or errno.EAGAIN)
        return
    if intermediate == 0:
        run_and_leave(bear_child)
    os.waitpid(intermediate, 0)
