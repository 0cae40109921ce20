"""The descriptors between the master and one incarnation of a child.

    lane      pipe       master -> child   the signals to handle, a byte each
    cargo     pipe       master -> child   the arguments of tasks among them, and the answers to calls
    raised    pipe       child -> master   the signals and tasks that the child raised (see `raised_stream`)
    bulk      pipe       child -> master   what is too long for that
    bell      eventfd    child -> master   "look at my marks"
    requests  seqpacket  both              the child asks, the master answers at once
    pushes    seqpacket  master -> child   what the child did not ask for; its end means that the master is gone
    alive     pipe       master -> child   never written to; its end means that the master has gone

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

import msgspec

from trisig._model.errors import reworded

_WIDE_BYTES = 1_048_576  # of a pipe through which long contents go
_RAISE_BYTES = 262_144  # 64 processes stay far below what one user may give to pipes
_PER_CHILD = 10  # what is in MasterEnds, and the pidfd
_SPARE = 32  # for the spawn under way, and what the master has for itself


def check_descriptors(children: int) -> None:
    """Refuse so many children that they would certainly run out of descriptors, before anything is started.

    Raises:
        OSError: EMFILE.
    """
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        already_open = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  only names are wanted
    except OSError:  # a chroot or sandbox without /proc: then the first fork that lacks descriptors says so
        return
    needed = already_open + children * _PER_CHILD
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


def widen(fd: int) -> None:
    """Give a pipe more room, if the user may have it: a MiB goes through in one step then, not in sixteen."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _WIDE_BYTES)
    except OSError:
        pass  # over the user's quota


class ChildEnds(msgspec.Struct):
    """What the child holds."""

    lane: int
    cargo: int
    raised: int
    bulk: int
    bell: int
    requests: socket.socket
    pushes: socket.socket
    alive: int

    @classmethod
    def received(cls, fds: Sequence[int]) -> ChildEnds:
        lane, cargo, raised, bulk, bell, requests, pushes, alive = fds
        sockets = socket.socket(fileno=requests), socket.socket(fileno=pushes)
        return cls(lane, cargo, raised, bulk, bell, *sockets, alive)

    def fds(self) -> list[int]:
        pipes = [self.lane, self.cargo, self.raised, self.bulk, self.bell]
        return [*pipes, self.requests.fileno(), self.pushes.fileno(), self.alive]

    def close(self) -> None:
        for fd in (self.lane, self.cargo, self.raised, self.bulk, self.bell, self.alive):
            os.close(fd)
        self.requests.close()
        self.pushes.close()


class MasterEnds(msgspec.Struct):
    """What the master holds."""

    lane: int
    lane_reader: int
    cargo: int
    raised: int
    bulk: int
    bell: int
    requests: socket.socket
    pushes: socket.socket
    alive: int

    def fds(self) -> list[int]:
        pipes = [self.lane, self.lane_reader, self.cargo, self.raised, self.bulk, self.bell]
        return [*pipes, self.requests.fileno(), self.pushes.fileno(), self.alive]

    def close(self) -> None:
        # Another master of this process may have forked meanwhile and hold copies: only shutdown is seen
        # at the other end for certain.
        for end in (self.pushes, self.requests):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
        for fd in (self.lane, self.lane_reader, self.cargo, self.raised, self.bulk, self.bell, self.alive):
            os.close(fd)


def open_descriptors() -> tuple[MasterEnds, ChildEnds]:
    """Open everything between the master and a child about to be made.

    Raises:
        OSError: out of descriptors or memory; nothing stays open.
    """
    opened: list[int] = []
    try:
        lane = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        opened += lane
        opened.append(lane_again := os.dup(lane[0]))
        cargo = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        opened += cargo
        raised = open_raise_pipe()
        opened += raised
        bulk = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        opened += bulk
        alive = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        opened += alive
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
    master = MasterEnds(lane[1], lane_again, cargo[1], raised[0], bulk[0], bell, requests[0], pushes[0], alive[1])
    child = ChildEnds(lane[0], cargo[0], raised[1], bulk[1], bell_again, requests[1], pushes[1], alive[0])
    return master, child
