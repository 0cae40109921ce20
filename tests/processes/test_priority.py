"""Tasks with a priority overtake what waits in the master."""

from __future__ import annotations

from pathlib import Path

import trio
from witness import Journal, eventually, words

import trisig


async def test_urgent_tasks_run_first(tmp_path: Path) -> None:
    """Lower numbers first, in order within one, and those without one last; delayed ones join when they are due."""
    notes, signals, held = Journal(tmp_path), trisig.Signals(), words()

    @signals.task("mule")
    async def note(word: str) -> str:
        notes.note(word)
        if word == "first":
            await eventually(lambda: held[0])
        return word

    async with trisig.open_master(signals, workers=0, mules=1) as master, trio.open_nursery() as nursery:
        await note.configure(priority=9).send("first")
        await notes.until(1)
        for word, priority in (("a", None), ("b", None), ("c", 20), ("d", 3), ("e", 20), ("f", 3)):
            await note.configure(priority=priority).send(word)
        await note.configure(priority=4, delay=0.01).send("later")
        nursery.start_soon(note.configure(priority=0).call, "called")
        await eventually(lambda: master.statistics().processes["mule1"].queued == 8)
        held[0] = 1
        assert [word for _, word in await notes.until(9)] == ["first", "called", "d", "f", "later", "c", "e", "a", "b"]


async def test_a_priority_outlives_the_master(tmp_path: Path) -> None:
    """With a journal, the next master keeps the order; the task that was cut off has its place in it again."""
    notes, signals, held = Journal(tmp_path), trisig.Signals(), words()

    @signals.task("mule")
    async def note(word: str) -> None:
        notes.note(word)
        await eventually(lambda: held[0])

    async with trisig.open_master(signals, workers=0, mules=1, journal=tmp_path / "kept", grace=0):
        await note.configure(priority=5).send("cut off")
        await notes.until(1)
        for word, priority in (("a", None), ("b", 7), ("c", 0), ("d", 5)):
            await note.configure(priority=priority).send(word)
    held[0] = 1
    async with trisig.open_master(signals, workers=0, mules=1, journal=tmp_path / "kept"):
        assert [word for _, word in await notes.until(6)] == ["cut off", "c", "cut off", "d", "b", "a"]
