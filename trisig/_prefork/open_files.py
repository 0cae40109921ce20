"""The files that a program holds open, found without its help."""

from __future__ import annotations

import contextlib
import gc
import io
import weakref
from itertools import compress

FileRefs = list[weakref.ref[io.IOBase]]

_IOBase = io.IOBase.__base__  # every file object is one, or has inherited from one
_IN_MEMORY_OR_RAW = (io.BytesIO, io.StringIO, io.FileIO, io.RawIOBase, io.BufferedReader)


def flush_open_files() -> FileRefs:
    """Flush every file object of this process, before a fork doubles its buffer; returns them.

    Writing blocks as the application's own writes do.
    """
    files = _open_files()
    for file in files:
        _flush(file)
    return [weakref.ref(file) for file in files]


def finish_files(inherited: FileRefs) -> None:
    """Write out what this process has buffered, as the interpreter does at its end.

    Args:
        inherited: the files that were open when this process was forked. They are flushed and stay open, because the
            master goes on with them. The others are closed, which also completes a compressed file.
    """
    theirs = [file for ref in inherited if (file := ref()) is not None]
    ours = {id(file) for file in theirs}
    # From the top: each closes what is below it, and could not write there if that was closed before.
    for file in sorted((file for file in _open_files() if id(file) not in ours), key=_depth):
        with contextlib.suppress(Exception):  # its reader gone, the disk full: the others still count
            file.close()
    for file in theirs:
        _flush(file)


class _Buffering(dict[type, bool]):
    """Whether the instances of a type may buffer.

    By inheritance: to ask the abstract classes of `io` writes to what the children share. Not by `isinstance`: a lazy
    proxy would be made to load what it stands for.
    """

    def __missing__(self, kind: type) -> bool:
        bases = kind.__mro__
        self[kind] = found = _IOBase in bases and not any(base in bases for base in _IN_MEMORY_OR_RAW)
        return found


def _open_files() -> list[io.IOBase]:
    """All file objects that may buffer. What the zygote has frozen is not searched: pages stay shared."""
    things = gc.get_objects()  # a million in some programs, so no Python code runs for each
    return list(compress(things, map(_Buffering().__getitem__, map(type, things))))


def _depth(file: io.IOBase) -> int:
    """Text, then what a library has put below it (compression), then the interpreter's own buffers."""
    if isinstance(file, io.TextIOBase):
        return 0
    return 2 if isinstance(file, (io.BufferedWriter, io.BufferedRandom, io.BufferedRWPair)) else 1


def _flush(file: io.IOBase) -> None:
    with contextlib.suppress(Exception):  # closed, its reader gone, the disk full: the others still count
        file.flush()
