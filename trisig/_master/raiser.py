"""Raising a signal in the master's own process.

In the trio thread a raised signal goes straight into the dispatcher, so `send_nowait` knows exactly whether the queue
is full. Other threads write to a pipe, as the children do, because they must not touch the dispatcher and cannot wait
for the loop without risking a deadlock with it. So does a handler of a Unix signal that interrupts the master's own
code: the dispatcher may be half-way through another signal.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from types import FrameType

import trio

from trisig._ipc.descriptors import open_raise_pipe
from trisig._ipc.gate import Gate
from trisig._ipc.inlets import Outbox, pipe_inlet
from trisig._ipc.raised_stream import TASK, Part, RaisedStream, TasksRaised, frame
from trisig._ipc.raiser import Raiser
from trisig._model.errors import master_gone
from trisig._util.ki_protection import ki_protected
from trisig._util.own_thread import OwnThread

_PRIVATE = str(Path(__file__).parents[1] / "_")  # what the paths of trisig's own files begin with, but for its doors


@ki_protected
class OwnPipe:
    """The pipe to the master in its own process: for other threads, and for what interrupts it.

    Args:
        accept: takes what was read.
        outbox: where a journal has it noted, if there is one.
    """

    def __init__(self, accept: Callable[[Iterable[Part]], None], outbox: Outbox | None) -> None:
        self._reader, self.fd = open_raise_pipe()
        self._inlet = pipe_inlet(self.fd, outbox)
        self._accept = accept
        self._written = False
        self._contents: dict[int, bytes] = {}  # too long for a frame; by number, as `bulk` has them
        self._numbers = count()
        self._stream = RaisedStream(self._contents.pop)
        # An RLock: a handler of a Unix signal may come while `refuse` or `write` holds it, in the same thread.
        self._open = threading.RLock()
        self._refused = False

    def write(self, fd: int, byte: bytes) -> None:
        """Write a byte.

        Raises:
            BlockingIOError: no room.
            NoMasterError: the master has ended.
        """
        with self._open:  # never held for longer than a write that does not wait
            if self._refused:
                raise master_gone()
            # Before the write: `take` clears it before it reads, so a byte that it misses is announced once more.
            self._written = True
            self._inlet.write(fd, byte)

    def write_task(self, task: int, arguments: bytes, due: float, priority: int) -> None:
        """Write a task.

        Raises:
            BlockingIOError: no room.
            NoMasterError: the master has ended.
        """
        with self._open:
            if self._refused:
                raise master_gone()
            self._written = True
            os.write(self.fd, frame(TASK, task, arguments, 0, self._put_aside, due, priority))

    def _put_aside(self, content: bytes) -> int:
        number = next(self._numbers)
        self._contents[number] = content
        return number

    def take(self) -> None:
        """Accept what has been written so far."""
        while self._written:
            self._written = False
            try:
                self._accept(self._stream.parts(os.read(self._reader, 65_536)))
                self._written = True
            except BlockingIOError:
                pass

    async def listen(self) -> None:
        """Accept whatever is written, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._reader)
            self._written = True
            self.take()

    def refuse(self) -> None:
        """Accept what has been written until now, and nothing after it."""
        with self._open:
            self._refused = True
        self._written = True
        self.take()

    def close(self) -> None:
        """Close the pipe, after `refuse`."""
        for fd in (self._reader, self.fd):
            trio.lowlevel.notify_closing(fd)
            os.close(fd)


@ki_protected
class HereInlet:
    """Straight into the dispatcher in the master's thread, and into the pipe from any other.

    Args:
        accept: takes what the master's thread raises.
        pipe: what other threads write to.
    """

    def __init__(self, accept: Callable[[bytes], None], pipe: OwnPipe) -> None:
        self.fd = pipe.fd
        self._accept = accept
        self._pipe = pipe
        self._thread = OwnThread()

    def write(self, fd: int, byte: bytes) -> None:
        """Take a byte in, behind what other threads have written before."""
        if self._thread.is_here():
            self._pipe.take()
            self._accept(byte[:1])  # signal 255 is two bytes in a stream
        else:
            self._pipe.write(fd, byte)


@ki_protected
class MasterRaiser:
    """Raises signals in the master's process.

    Args:
        accept: takes what the trio thread raises.
        accept_task: takes a task that the trio thread sends.
        accept_piped: takes what came through the pipe.
        gate: the master's.
        outbox: for the pipe, if there is a journal.
    """

    def __init__(
        self,
        accept: Callable[[bytes], None],
        accept_task: Callable[[TasksRaised], None],
        accept_piped: Callable[[Iterable[Part]], None],
        gate: Gate,
        outbox: Outbox | None,
    ) -> None:
        self._pipe = pipe = OwnPipe(accept_piped, outbox)
        here = Raiser(HereInlet(accept, pipe), gate)
        self._raise_here = here.send_nowait
        self._put_nowait, self.put = here.put_nowait, here.put
        self._accept_task = accept_task
        self._thread = OwnThread()
        self._raise_piped = Raiser(pipe, gate).send_nowait
        self.send = here.send  # no handler of a Unix signal can await it
        self.take, self.listen, self.refuse, self.close = pipe.take, pipe.listen, pipe.refuse, pipe.close

    def send_nowait(self, signum: int) -> None:
        """Raise a signal; from any thread, and from a handler of a Unix signal.

        Raises:
            trio.WouldBlock: the queue is full; the signal was not raised.
            NoMasterError: the master has ended.
        """
        if interrupts_trisig(sys._getframe()):  # noqa: SLF001  the documented way to the callers
            self._raise_piped(signum)
        else:
            self._raise_here(signum)

    def send_task_nowait(self, task: int, arguments: bytes, due: float, priority: int, key: int = 0) -> None:
        """Send a task; from any thread, and from a handler of a Unix signal.

        Raises:
            trio.WouldBlock: the queue is full; the task was not sent.
            NoMasterError: the master has ended.
        """
        if not self._thread.is_here() or interrupts_trisig(sys._getframe()):  # noqa: SLF001  as in `send_nowait`
            self._put_nowait(self._pipe.write_task, task, arguments, due, priority)
        else:
            self._put_nowait(self._send_here, TasksRaised(task, [arguments], key, due, priority))

    def _send_here(self, raised: TasksRaised) -> None:
        self._pipe.take()  # what other threads have written before
        self._accept_task(raised)


def interrupts_trisig(frame: FrameType | None) -> bool:
    """Whether the application's code that called a verb was itself called in the middle of code of trisig.

    That is a handler of a Unix signal; or a destructor, or a handler of the log. A flag around the master's code would
    cost more: that code is entered in many places for each signal, this verb in one.

    Args:
        frame: of the verb.
    """
    while frame is not None and _PRIVATE in frame.f_code.co_filename:
        frame = frame.f_back
    bottom = _frame_of_task()
    while frame is not None and frame is not bottom:
        frame = frame.f_back
        if frame is not None and _PRIVATE in frame.f_code.co_filename:
            return True
    return False


def _frame_of_task() -> object:
    """Where the task begins that runs in this thread, if there is one: whatever is below belongs to trio."""
    try:
        return trio.lowlevel.current_task().coro.cr_frame
    except RuntimeError:
        return None
