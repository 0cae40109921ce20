"""The descriptors between the master and one incarnation of a child.

    lane      pipe       master -> child   the signals to handle, a byte each
    raised    pipe       child -> master   the signals that the child raised, a byte each
    bell      eventfd    child -> master   "look at my marks"
    requests  seqpacket  both              the child asks, the master answers at once
    pushes    seqpacket  master -> child   what the child did not ask for; its end means "leave"

Pipes, because 65,536 single bytes fit in one against 278 on a stream socket. The master keeps both ends of
the lane: what it reads back there, the child has not seen, and the kernel gives each byte to one reader only.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from ._errors import reworded

_RAISE_BYTES = 262_144  # 64 processes stay far below what one user may give to pipes
_PER_CHILD = 7  # what is in MasterEnds, and the pidfd
_SPARE = 32  # for the birth under way, and what the master has for itself


def check_descriptors(children: int) -> None:
    """Refuse what would certainly run out of descriptors, before anything is started.

    Raises:
        OSError: EMFILE.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = len(os.listdir("/proc/self/fd")) + children * _PER_CHILD  # noqa: PTH208  of names, nothing is made
    if needed > allowed:
        raise reworded(
            OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
            f"{children} processes need some {needed + _SPARE} file descriptors, and RLIMIT_NOFILE allows {allowed}; "
            f"open the master with fewer of them, or raise the limit before, as with ulimit -n {needed + _SPARE}",
        )


def open_raise_pipe() -> tuple[int, int]:
    """A non-blocking pipe with room for some 260,000 raised signals, or the default 65,536."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _RAISE_BYTES)
    except OSError:
        pass  # over the user's quota; smaller only means that raisers wait sooner
    return reader, writer


@dataclass(slots=True)
class ChildEnds:
    """What the child holds."""

    lane: int
    raised: int
    bell: int
    requests: socket.socket
    pushes: socket.socket

    @classmethod
    def received(cls, fds: Sequence[int]) -> ChildEnds:
        lane, raised, bell, requests, pushes = fds
        return cls(lane, raised, bell, socket.socket(fileno=requests), socket.socket(fileno=pushes))

    def fds(self) -> list[int]:
        return [self.lane, self.raised, self.bell, self.requests.fileno(), self.pushes.fileno()]

    def close(self) -> None:
        for fd in (self.lane, self.raised, self.bell):
            os.close(fd)
        self.requests.close()
        self.pushes.close()


@dataclass(slots=True)
class MasterEnds:
    """What the master holds."""

    lane: int
    taken_back: int
    raised: int
    bell: int
    requests: socket.socket
    pushes: socket.socket

    def fds(self) -> list[int]:
        return [self.lane, self.taken_back, self.raised, self.bell, self.requests.fileno(), self.pushes.fileno()]

    def close(self) -> None:
        # Another master of this process may have forked meanwhile and hold copies: only shutdown is seen
        # at the other end for certain.
        for end in (self.pushes, self.requests):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        for fd in (self.lane, self.taken_back, self.raised, self.bell):
            os.close(fd)


def open_wires() -> tuple[MasterEnds, ChildEnds]:
    """Open everything between the master and a child about to be made.

    Raises:
        OSError: out of descriptors or memory; nothing stays open.
    """
    opened: list[int] = []
    try:
        lane = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        opened += lane
        opened.append(lane_again := os.dup(lane[0]))
        raised = open_raise_pipe()
        opened += raised
        bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        opened.append(bell)
        opened.append(bell_again := os.dup(bell))
        requests = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            pushes = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError:
            for end in requests:
                end.close()
            raise
    except OSError:
        for fd in opened:
            os.close(fd)
        raise
    requests[0].setblocking(False)
    for end in pushes:
        end.setblocking(False)
    master = MasterEnds(lane[1], lane_again, raised[0], bell, requests[0], pushes[0])
    return master, ChildEnds(lane[0], raised[1], bell_again, requests[1], pushes[1])
