"""A zygote that is not a fork of its master: an interpreter that is started anew, and imports the application again.

The interpreter is the intermediate process of the zygote's handshake: when it has reported, it forks the zygote, and
ends.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from typing import Self

import msgspec
import trio

from trisig._linux import prctl

from .handshake import SpawnHandshake
from .reap import reap_killed

_READ = 65_536


class Interpreter(msgspec.Struct, frozen=True):
    """How to start one.

    Attributes:
        words: the command.
        orders: what it reads from its standard input; called with the descriptors that it is passed: where to report,
            the line for requests, and its side of the handshake. The report ends when it closes that descriptor.
        fds: the other descriptors that it is passed.
    """

    words: Sequence[str]
    orders: Callable[[int, int, int], bytes]
    fds: Sequence[int]


class Begun(msgspec.Struct, frozen=True):
    """What came of it: what it reported, and the pid and pidfd of the zygote if there is one."""

    report: bytes
    zygote: tuple[int, int] | None


async def start_zygote(interpreter: Interpreter, line: socket.socket) -> Begun:
    """Start an interpreter, and wait until it has become a zygote or has ended. A cancelled call kills it.

    Args:
        interpreter: how it is started.
        line: the zygote's end of the line for requests; closed here.

    Raises:
        OSError: out of processes, memory or descriptors, here or there.
    """
    with line, SpawnHandshake() as handshake, _Pipe() as report:
        handshake.near.setblocking(False)
        prctl.set_child_subreaper()
        process = _start(interpreter, report.writer, line.fileno(), handshake.far.fileno())
        report.close_writer()
        handshake.far.close()
        line.close()
        return await _follow(process, report.reader, handshake)


class _Pipe:
    """A pipe whose reading end does not block."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.reader, False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close_writer()
        os.close(self.reader)

    def close_writer(self) -> None:
        """Leave the writing end to the other process."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1


def _start(interpreter: Interpreter, *ends: int) -> subprocess.Popen[bytes]:
    with os.fdopen(os.memfd_create("trisig-orders"), "w+b", buffering=0) as orders:
        orders.write(interpreter.orders(*ends))
        orders.seek(0)
        # In this thread and not in one of trio's: the kernel ends the process when the thread ends that has forked it.
        return subprocess.Popen(interpreter.words, stdin=orders, pass_fds=(*ends, *interpreter.fds), process_group=0)


async def _follow(process: subprocess.Popen[bytes], reader: int, handshake: SpawnHandshake) -> Begun:
    pidfd = os.pidfd_open(process.pid)
    try:
        report = await _read_to_end(reader)
        try:
            pid = await _wait_for_report(handshake)
        except trio.BrokenResourceError:
            return Begun(report, None)
        return Begun(report, (pid, handshake.take_over(pid)))
    finally:
        # By its group, which has its number until it is reaped: a zygote that was not taken over is in it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await trio.lowlevel.wait_readable(pidfd)
            os.close(pidfd)
            process.wait()
            await reap_killed(os.P_PGID, process.pid)


async def _read_to_end(reader: int) -> bytes:
    parts: list[bytes] = []
    while True:
        await trio.lowlevel.wait_readable(reader)
        with contextlib.suppress(BlockingIOError):
            part = os.read(reader, _READ)
            if not part:
                return b"".join(parts)
            parts.append(part)


async def _wait_for_report(handshake: SpawnHandshake) -> int:
    while True:
        with contextlib.suppress(trio.WouldBlock):
            return handshake.read_report()
        await trio.lowlevel.wait_readable(handshake.near.fileno())
