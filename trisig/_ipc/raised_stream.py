"""What a process raises, as a stream: signals, a byte each, and frames among them.

    0x00 ... 0xFE    that signal
    0xFF 0x00        signal 255
    0xFF kind ...    a frame: a task that is sent, or the answer of one that has run here

One stream keeps the order of signals and tasks without a word more. A frame is one write of at most `PIPE_BUF` bytes,
which the kernel does not divide: so any thread may write one, and so may a handler of a Unix signal in the middle of
another write. What is longer goes through `bulk` before its frame is written, and the frame only names it.
"""

from __future__ import annotations

import select
import struct
from collections.abc import Callable, Iterator

import msgspec

from trisig._model.invocation import UNRANKED

ESCAPE = 255
ESCAPED = bytes((ESCAPE,))
SIGNAL_255 = b"\xff\0"

TASK, TASK_IN_BULK, ANSWER, ANSWER_IN_BULK = range(1, 5)
_INLINE, _TASKS = (TASK, ANSWER), (TASK, TASK_IN_BULK)
_HEADER = struct.Struct("<BBHIQdI")
INLINE = select.PIPE_BUF - _HEADER.size  # the longest content of a frame

DONE, FAILED, DEAD = range(3)  # outcomes of an answer


class TasksRaised(msgspec.Struct):
    """A task was sent, once or more.

    Attributes:
        task: its index.
        arguments: of each time, encoded.
        key: by which the sender knows the call that waits for the answer; 0 for none.
        due: when it shall run, in seconds since the epoch; 0 for at once.
        priority: as in `Invocation`.
    """

    task: int
    arguments: list[bytes | bytearray]
    key: int = 0
    due: float = 0.0
    priority: int = UNRANKED


class AnswerRaised(msgspec.Struct):
    """A task has run.

    Attributes:
        outcome: `DONE` or `FAILED`.
        content: its result, or what it raised.
        reply: the number that the invocation carried.
    """

    outcome: int
    content: bytes | bytearray
    reply: int


Part = bytes | TasksRaised | AnswerRaised


def frame(
    kind: int,
    subject: int,
    content: bytes,
    key: int,
    bulk: Callable[[bytes], int],
    due: float = 0.0,
    priority: int = UNRANKED,
) -> bytes:
    """A frame.

    Args:
        kind: `TASK` or `ANSWER`.
        subject: the index of the task, or the outcome.
        content: arguments, or a result.
        key: of the call, or the reply.
        bulk: sends what is too long, and returns its number.
        due: of a task.
        priority: of a task.
    """
    if len(content) <= INLINE:
        return _HEADER.pack(ESCAPE, kind, subject, len(content), key, due, priority) + content
    return _HEADER.pack(ESCAPE, kind + 1, subject, bulk(content) & 0xFFFFFFFF, key, due, priority)


class RaisedStream:
    """Reads the stream of one process.

    Args:
        bulk: gives the content with a number.

    Attributes:
        rest: the beginning of a frame that was cut off. While there is none, bytes without an `ESCAPE` among them are
            signals as they are.
    """

    def __init__(self, bulk: Callable[[int], bytes | bytearray]) -> None:
        self._bulk = bulk
        self.rest = b""

    def parts(self, data: bytes) -> Iterator[Part]:
        """What some bytes bring, in order; a frame that is cut off is kept until the rest of it comes."""
        if ESCAPED not in data and not self.rest:
            yield data
            return
        data, self.rest = self.rest + data, b""
        if data.count(ESCAPED) == data.count(SIGNAL_255):  # no frame among them: millions of 255 cost no more
            yield data.replace(SIGNAL_255, ESCAPED)
            return
        yield from self._parted(data)

    def _parted(self, data: bytes) -> Iterator[Part]:
        at, size = 0, len(data)
        while at < size:
            if data[at] != ESCAPE or data.startswith(SIGNAL_255, at):
                signals = bytearray()
                at = self._take_signals(data, at, signals)
                yield bytes(signals)
                continue
            part: Part | None
            part, end = self._read_tasks(data, at)
            if end == at:
                part, end = self._read(data, at)
            if part is None:
                self.rest = data[at:]
                return
            yield part
            at = end

    def _read_tasks(self, data: bytes, at: int) -> tuple[TasksRaised | None, int]:
        """The frames of one task that follow each other, all of it that is usual; and where they end."""
        size, head, unpack, plain = len(data), _HEADER.size, _HEADER.unpack_from, (ESCAPE, TASK, 0, 0.0, UNRANKED)
        tasks = None
        while at + head <= size:
            escape, kind, subject, length, key, due, priority = unpack(data, at)
            end = at + head + length
            if (escape, kind, key, due, priority) != plain or end > size:
                break
            if tasks is None:
                tasks = TasksRaised(subject, [])
            elif subject != tasks.task:
                break
            tasks.arguments.append(data[at + head : end])
            at = end
        return tasks, at

    def _take_signals(self, data: bytes, at: int, signals: bytearray) -> int:
        """Take signals up to the next frame, or to the end; returns where that is."""
        mark = data.find(ESCAPED, at)
        while mark >= 0 and data.startswith(SIGNAL_255, mark):
            signals += data[at : mark + 1]
            at = mark + 2
            mark = data.find(ESCAPED, at)
        end = mark if mark >= 0 else len(data)
        signals += data[at:end]
        return end

    def _read(self, data: bytes, at: int) -> tuple[TasksRaised | AnswerRaised | None, int]:
        """The frame that begins at a place, and where it ends; None if it is cut off."""
        start = at + _HEADER.size
        if start > len(data):
            return None, at
        _, kind, subject, size, key, due, priority = _HEADER.unpack_from(data, at)
        content: bytes | bytearray
        if kind in _INLINE:
            end = start + size
            if end > len(data):
                return None, at
            content = data[start:end]
        else:
            end = start
            content = self._bulk(size)
        if kind in _TASKS:
            return TasksRaised(subject, [content], key, due, priority), end
        return AnswerRaised(subject, content, key), end
