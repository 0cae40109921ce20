"""Log lines of the master never wait for the one who reads them."""

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from trisig._util.nonblocking_stream import NonBlockingStream

LINE = "x" * 10_000  # more than a pipe takes at once or not at all, so that lines are torn too
MORE_THAN_FITS = 200


@pytest.fixture(params=["pipe", "socket"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """A reading and a writing end that fill up."""
    if request.param == "pipe":
        pair = os.pipe()
    else:
        reader, writer = socket.socketpair()
        pair = reader.detach(), writer.detach()
    yield pair
    for fd in pair:
        os.close(fd)


@contextlib.contextmanager
def open_lines(fd: int) -> Iterator[NonBlockingStream]:
    """A writer that is closed with its test."""
    lines = NonBlockingStream(fd)
    try:
        yield lines
    finally:
        lines.close()


def read_available(fd: int) -> str:
    """Everything that can be read at once."""
    os.set_blocking(fd, False)
    chunks = []
    with contextlib.suppress(BlockingIOError):
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
    return b"".join(chunks).decode()


def test_a_reader_who_stopped_does_not_stop_the_writer(ends: tuple[int, int]) -> None:
    """With nobody reading, lines are dropped whole and counted; the next line that fits says how many."""
    reader, writer = ends
    with open_lines(writer) as lines:
        for _ in range(MORE_THAN_FITS):
            lines.write(f"{LINE}\n")
        before = read_available(reader)
        lines.write("the last\n")
        after = read_available(reader)
    kept, torn = divmod(len(before), len(LINE) + 1)
    rest, report, last = after.split("\n")[:3] if torn else ("", *after.split("\n")[:2])
    assert before + rest == "\n".join([LINE] * (kept + bool(torn))) + "\n" * (not torn)
    assert report == f"{MORE_THAN_FITS - kept - bool(torn)} log lines were dropped: nobody read them"
    assert last == "the last"


def test_the_shared_description_stays_blocking(ends: tuple[int, int]) -> None:
    """The flag that keeps the master from waiting is not set for the processes that share standard error."""
    _, writer = ends
    with open_lines(writer):
        assert os.get_blocking(writer)


def test_two_writers_of_one_file_keep_each_others_lines(tmp_path: Path) -> None:
    """In a file the handler's lines and those of another writer of the same description stand one after the other."""
    path = tmp_path / "log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    with open_lines(fd) as lines:
        lines.write("master\n")
        os.write(fd, b"child\n")
        lines.write("master again\n")
    os.close(fd)
    assert path.read_text() == "master\nchild\nmaster again\n"
