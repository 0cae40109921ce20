"""What goes to a process beside the bytes of its lane: the arguments of tasks, and the answers to its calls.

A pipe of frames. Each is one of

    LOAD     the number that the lane gives a task, the task, its arguments, and the reply that it carries
    FORGET   a number: its task was taken back before the process read its byte
    ANSWER   the key of a call, its outcome, and the result

The master writes the byte of a task to the lane only when its frame, and every `FORGET` before it, is in this pipe,
and counts the frames in the word `CARGO` in between. So a process that has read a byte knows how far to read here, and
a number that was given twice stands for what came last.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Callable, Mapping

import msgspec
import trio

from trisig._model.invocation import Invocation
from trisig._util.ki_protection import ki_protected

from .descriptors import widen
from .shared_memory import CARGO

LOAD, FORGET, ANSWER = range(3)
_HEADER = struct.Struct("<BxHIQQ")  # kind, task or outcome, size, number or key, reply
_APART = 16_384  # bytes from which a content is not copied to its neighbours
_READ = 65_536


@ki_protected
class CargoSender:
    """The end of the master, for one incarnation of a process; never waits.

    Args:
        fd: the writing end of the pipe, non-blocking.
        words: of the slot.

    Attributes:
        kept: what is not in the pipe yet.
    """

    def __init__(self, fd: int, words: memoryview) -> None:
        self.kept: deque[bytes | bytearray | memoryview] = deque()
        self._fd = fd
        self._words = words
        self._frames = 0
        self._wide = False
        self._blocked = trio.Event()

    def load(self, tasks: Mapping[int, Invocation]) -> None:
        """Send the arguments of tasks, by their numbers in the lane."""
        parts: list[bytes | bytearray] = []
        for number, one in tasks.items():
            arguments = one.arguments
            if len(arguments) < _APART:  # many, and small
                parts.append(_HEADER.pack(LOAD, one.task, len(arguments), number, one.reply))
                parts.append(arguments)
                continue
            self.kept.append(b"".join(parts))
            parts.clear()
            self._add(LOAD, one.task, number, one.reply, arguments)
            self._frames -= 1  # counted below
        self._frames += len(tasks)
        if parts:
            self.kept.append(b"".join(parts))

    def forget(self, number: int) -> None:
        """A task was taken back."""
        self._add(FORGET, 0, number, 0, b"")

    def answer(self, key: int, outcome: int, content: bytes | bytearray) -> None:
        """A call has come to its end."""
        self._add(ANSWER, outcome, key, 0, content)

    def _add(self, kind: int, subject: int, number: int, reply: int, content: bytes | bytearray) -> None:
        self._frames += 1
        header = _HEADER.pack(kind, subject, len(content), number, reply)
        last = self.kept[-1] if self.kept else None
        if not isinstance(last, bytearray):
            self.kept.append(last := bytearray())
        last += header
        if len(content) < _APART:
            last += content
        else:
            self.kept.append(memoryview(content))
            if not self._wide:
                self._wide = True
                widen(self._fd)

    def flush(self) -> bool:
        """Write what can be written; whether that was all."""
        try:
            while self.kept:
                first = self.kept[0]
                written = os.write(self._fd, first)
                if written < len(first):
                    self.kept[0] = memoryview(first)[written:]
                else:
                    self.kept.popleft()
        except BlockingIOError:
            self._blocked.set()
            return False
        except OSError:
            self.kept.clear()  # the process has ended, which its pidfd will tell
        self._words[CARGO] = self._frames
        return True

    async def keep_flushing(self, flowed: Callable[[bool], object]) -> None:
        """Write what was kept whenever there is room, until cancelled.

        Args:
            flowed: called when more of it is in the pipe, with whether that is all.
        """
        while True:
            await self._blocked.wait()
            self._blocked = trio.Event()  # before the wait: who finds the pipe full meanwhile must set the new one
            await trio.lowlevel.wait_writable(self._fd)
            flowed(self.flush())


class Loaded(msgspec.Struct, frozen=True):
    """A task that this process shall run.

    Attributes:
        task: its index.
        arguments: encoded.
        reply: to name with the answer; 0 if nobody waits for one.
    """

    task: int
    arguments: bytes | bytearray
    reply: int


class CargoReceiver:
    """The end of the process.

    Args:
        fd: the reading end of the pipe, non-blocking.
        words: of the slot.
        answered: called with the key, the outcome and the content of an answer.

    Attributes:
        tasks: those that have arrived and were not taken, by number.
        applied: how many frames have been read.
    """

    def __init__(self, fd: int, words: memoryview, answered: Callable[[int, int, bytes | bytearray], object]) -> None:
        self.fd = fd
        self.tasks: dict[int, Loaded] = {}
        self.applied = 0
        self._words = words
        self._answered = answered
        self._rest = b""
        self._large = bytearray()  # a content that does not come in one piece, read where it stays
        self._header = b""  # of it
        self._missing = 0

    def catch_up(self) -> None:
        """Read as far as the master has counted; all of that is in the pipe."""
        while self.applied < self._words[CARGO]:
            if not self.read():
                return  # the master is gone

    async def listen(self) -> None:
        """Read whatever comes, until the master is gone."""
        while True:
            await trio.lowlevel.wait_readable(self.fd)
            try:
                if not self.read():
                    return
            except BlockingIOError:
                pass  # `catch_up` was here first

    def read(self) -> bool:
        """Read once; False at the end.

        Raises:
            BlockingIOError: there is nothing now.
        """
        if self._missing:
            return self._read_large()
        data = os.read(self.fd, _READ)
        if data:
            self._apply(self._rest + data if self._rest else data)
        return bool(data)

    def _apply(self, data: bytes) -> None:
        at, size, head = 0, len(data), _HEADER.size
        while at + head <= size:
            kind, subject, length, number, reply = _HEADER.unpack_from(data, at)
            end = at + head + length
            if end > size:
                break
            self._act(kind, subject, number, reply, data[at + head : end])
            at = end
        self._rest = data[at:]
        if len(self._rest) >= head and (length := _HEADER.unpack_from(self._rest)[2]) >= _APART:
            first = len(self._rest) - head
            self._header, self._large = self._rest[:head], bytearray(length)
            self._large[:first] = self._rest[head:]
            self._missing, self._rest = length - first, b""

    def _read_large(self) -> bool:
        with memoryview(self._large)[-self._missing :] as rest:
            size = os.readv(self.fd, [rest])
        self._missing -= size
        if not self._missing:
            kind, subject, _, number, reply = _HEADER.unpack(self._header)
            self._act(kind, subject, number, reply, self._large)
            self._large = bytearray()
        return size > 0

    def _act(self, kind: int, subject: int, number: int, reply: int, content: bytes | bytearray) -> None:
        self.applied += 1
        if kind == LOAD:
            self.tasks[number] = Loaded(subject, content, reply)
        elif kind == FORGET:
            self.tasks.pop(number, None)
        else:
            self._answered(number, subject, content)
