"""File monitors under test, and small changes for them to see."""

# The files are local and small.

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import trio
import trio.testing
from source_tools import Recorder, Start

from trisig._sources.files import FileSource

FILE, OTHER, SENTINEL = 17, 18, 255


class Monitored:
    """Monitors under test and one more, whose signal says that all earlier events have been read."""

    def __init__(self, start: Start, recorder: Recorder, folder: Path) -> None:
        self._start = start
        self._recorder = recorder
        self._sentinel = folder / "sentinel"
        self._marks = 0

    async def add(self, path: Path, signum: int = FILE, **options: Any) -> FileSource:
        source = FileSource(signum, path, **options)
        await self._start(source)
        return source

    async def count(self, signum: int = FILE) -> int:
        """How often a signal has come since the last call of this, once everything so far has been read."""
        with trio.fail_after(10):
            if not self._marks:
                self._sentinel.touch()
                await self._start(FileSource(SENTINEL, self._sentinel))
            self._marks += 1
            self._sentinel.write_bytes(b"")
            os.truncate(self._sentinel, self._marks)
            while SENTINEL not in self._recorder.raised:
                await trio.testing.wait_all_tasks_blocked()
                await trio.sleep(0.001)
            await trio.testing.wait_all_tasks_blocked()
        found = self._recorder.raised.count(signum)
        self._recorder.raised[:] = [one for one in self._recorder.raised if one not in (signum, SENTINEL)]
        return found


def append(path: Path) -> None:
    """One change of content."""
    with path.open("a") as stream:
        stream.write("more")


def watches() -> list[str]:
    """The inotify watches of this process, as the kernel lists them."""
    lines = []
    for info in Path("/proc/self/fdinfo").iterdir():
        try:
            lines += [line for line in info.read_text().splitlines() if line.startswith("inotify")]
        except FileNotFoundError:
            continue
    return lines
