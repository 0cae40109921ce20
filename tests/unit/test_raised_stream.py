"""The stream of what a process raises: read in any pieces, it gives what was written, in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trisig._ipc.raised_stream import (
    ANSWER,
    INLINE,
    SIGNAL_255,
    TASK,
    AnswerRaised,
    Part,
    RaisedStream,
    TasksRaised,
    frame,
)
from trisig._model.invocation import UNRANKED

contents = st.binary(max_size=40) | st.sampled_from([b"\xff" * 30, b"\xff\0" * 20, bytes(INLINE), bytes(INLINE + 1)])
tasks = st.tuples(
    st.just(TASK),
    st.integers(0, 2),
    contents,
    st.integers(0, 2),
    st.sampled_from([0.0, 1.5]),
    st.sampled_from([UNRANKED, 0]),
)
answers = st.tuples(
    st.just(ANSWER), st.integers(0, 2), contents, st.integers(1, 2**40), st.just(0.0), st.just(UNRANKED)
)
signals = st.sampled_from([255, 0, 1, 254, 255])


class Bulk:
    """What was too long, by number."""

    def __init__(self) -> None:
        self.kept: dict[int, bytes] = {}

    def put(self, content: bytes) -> int:
        number = len(self.kept)
        self.kept[number] = content
        return number


def told(parts: Iterable[Part]) -> list[object]:
    """What was raised, one by one."""
    events: list[object] = []
    for part in parts:
        if isinstance(part, TasksRaised):
            events += [(TASK, part.task, arguments, part.key, part.due, part.priority) for arguments in part.arguments]
        elif isinstance(part, AnswerRaised):
            events.append((ANSWER, part.outcome, part.content, part.reply, 0.0, UNRANKED))
        else:
            events += part
    return events


@given(st.lists(signals | tasks | answers, max_size=30), st.lists(st.integers(1, 5000), min_size=1, max_size=10))
def test_what_is_written_is_read_in_order(events: list[Any], pieces: list[int]) -> None:
    """Signals, 255 among them, tasks and answers, short and long, however the reads divide the stream."""
    bulk = Bulk()
    data = b""
    for event in events:
        if isinstance(event, tuple):
            kind, subject, content, key, due, priority = event
            data += frame(kind, subject, content, key, bulk.put, due, priority)
        else:
            data += SIGNAL_255 if event == 255 else bytes((event,))
    stream = RaisedStream(bulk.kept.__getitem__)
    read: list[object] = []
    at = k = 0
    while at < len(data):
        piece = data[at : at + pieces[k % len(pieces)]]
        read += told(stream.parts(piece))
        at, k = at + len(piece), k + 1
    assert read == events


def test_a_run_of_signals_is_one_part() -> None:
    """A million signals cost a part, whether there are some with the number 255 among them or not."""
    stream = RaisedStream(dict[int, bytes]().pop)
    run = bytes(range(256)) * 400
    assert list(stream.parts(run.replace(b"\xff", SIGNAL_255))) == [run]


def test_no_frame_is_longer_than_what_the_kernel_writes_whole() -> None:
    """The longest frame is PIPE_BUF, and a content that is a byte longer goes elsewhere."""
    bulk = Bulk()
    assert len(frame(TASK, 1, bytes(INLINE), 0, bulk.put)) == 4096
    assert len(frame(TASK, 1, bytes(INLINE + 1), 0, bulk.put)) < 100
    assert list(bulk.kept.values()) == [bytes(INLINE + 1)]
