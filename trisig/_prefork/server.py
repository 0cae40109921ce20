"""What runs in the zygote, from its handshake to its end; `zygote` is the master's side of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import gc
import os
import signal
import socket
import sys
import termios
from typing import TYPE_CHECKING, NoReturn

from trisig._linux import prctl
from trisig._util.tracebacks import refused_call

from .fork import fork_quietly
from .handshake import fork_detached, report
from .interpreter_exit import disown_exit_work, run_exit_work
from .leave import run_and_leave

if TYPE_CHECKING:
    from collections.abc import Callable

    from .open_files import FileRefs

MAX_JOB_BYTES = 65_536
_STANDARD_INPUT = 0
MAX_FDS = 252  # SCM_MAX_FD is 253, and one of them is the socket of the handshake


def forget_signals() -> None:
    """Drop what the master does with signals, and unblock them."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    # Both are for the master when they are sent to the whole tree, by a terminal or a supervisor. Not by SIG_IGN,
    # which would go on in every program that a handler starts.
    signal.signal(signal.SIGINT, _do_nothing)
    signal.signal(signal.SIGTERM, _do_nothing)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _do_nothing(_number: int, _frame: object) -> None:
    """Run instead of the default, which would end the process."""


def leave_terminal() -> None:
    """Give up the terminal, for this process and all that it forks; what reads the standard input finds its end.

    Their process groups are in the background of the terminal, which stops whoever reads it, sets its modes, or, after
    ``stty tostop``, writes to it. A process without a controlling terminal is never stopped. Not by a session of its
    own: the leader of one gets the next terminal that it opens as its controlling terminal.
    """
    with contextlib.suppress(OSError):  # there is none
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(terminal, termios.TIOCNOTTY)
        finally:
            os.close(terminal)
    if os.isatty(_STANDARD_INPUT):  # else a file or a pipe, which nobody is stopped for
        replace_by_devnull(_STANDARD_INPUT, inheritable=True)
        if sys.breakpointhook is sys.__breakpointhook__ and "PYTHONBREAKPOINT" not in os.environ:
            sys.breakpointhook = _refuse_breakpoint


def _refuse_breakpoint(*_: object, **__: object) -> NoReturn:
    """Run instead of pdb, which would read the end of its input, and from Python 3.14 on end the process."""
    from bdb import BdbQuit  # noqa: PLC0415  a millisecond of every start

    raise BdbQuit("there is no terminal here: run the handler with trisig.testing.run_here")


def replace_by_devnull(fd: int, *, inheritable: bool = False) -> None:
    """Let go of a descriptor that some inherited object owns: closed, its number would be reused and closed again."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, fd, inheritable=inheritable)
    os.close(null)


def become_zygote(
    master: int,
    handshake: socket.socket,
    line: socket.socket,
    become: Callable[[str, list[int]], None],
    open_files: FileRefs,
) -> None:
    """Fork the zygote, in the intermediate process of its handshake.

    Args:
        master: the pid of the process whose children it forks.
        handshake: the far side of the handshake.
        line: where requests come from.
        become: runs in each child; see `Zygote`.
        open_files: those of the application.
    """

    def become_child(job: str, fds: list[int]) -> None:
        run_and_leave(functools.partial(become, job, fds), functools.partial(run_exit_work, open_files))

    forget_signals()
    leave_terminal()
    disown_exit_work()
    gc.freeze()  # the collector would write to, and so copy, every page that the children share
    prctl.set_name("trisig:zygote")
    fork_detached(master, handshake, functools.partial(serve_requests, master, line, become_child))


def serve_requests(master: int, line: socket.socket, become: Callable[[str, list[int]], None]) -> None:
    """The life of the zygote: fork a child for each message, leave on EOF."""
    while True:
        message, fds, flags, _ = socket.recv_fds(line, MAX_JOB_BYTES, MAX_FDS + 1)
        if not fds:
            return
        for fd in fds:
            os.set_inheritable(fd, False)  # recv_fds drops its flags argument, MSG_CMSG_CLOEXEC with it
        with socket.socket(fileno=fds.pop(0)) as handshake:
            if flags & socket.MSG_CTRUNC:
                # One always arrives: the zygote closed the master's sockets, and opened nothing in their place.
                report(handshake, 0, errno.EMFILE)
            else:
                _fork_child(master, line, handshake, functools.partial(become, message.decode(), fds))
        for fd in fds:
            os.close(fd)


def _fork_child(master: int, line: socket.socket, handshake: socket.socket, body: Callable[[], None]) -> None:
    def start_child() -> None:
        line.close()
        fork_detached(master, handshake, body)

    try:
        intermediate = fork_quietly()
    except OSError as exc:
        report(handshake, 0, exc.errno or errno.EAGAIN, refused_call(exc))
        return
    if intermediate == 0:
        run_and_leave(start_child)
    os.waitpid(intermediate, 0)
