"""What others do to the file of a journal while its master runs: cut it short, remove it, rename it, replace it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from journal_tools import SOON, files, journal_at, left_in, life, line_of, received
from witness import Journal as Notes
from witness import eventually

import trisig
from trisig._journal.recovery import Pending


def said(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    """Whether the log says so."""
    return any(words in record.getMessage() for record in caplog.records)


# A name that goes


@pytest.mark.parametrize("name", ["journal", "journal.trisig-lock"])
@pytest.mark.parametrize("how", ["removed", "renamed"])
async def test_a_name_that_is_taken_away_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, how: str
) -> None:
    """Whichever of its two names the file loses: it is back at once, and what was pending is in it."""
    signals, path = trisig.Signals(), tmp_path / "journal"
    async with trisig.open_master(signals, journal=path):
        await signals.send(9)
        if how == "removed":
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).rename(tmp_path / "elsewhere")
        await eventually(lambda: said(caplog, "was removed or renamed; it is back in its place"))
        assert left_in(path) == Pending({"wait": b"\x09"})
        await signals.send(8)
        assert left_in(path) == Pending({"wait": b"\x09\x08"})
    assert files(tmp_path) - {"elsewhere"} == {"journal"}
    async with trisig.open_master(signals, journal=path):
        assert await received(signals, 2) == [9, 8]


async def test_no_second_master_while_the_name_is_gone(tmp_path: Path) -> None:
    """The lock has a name of its own, so removing or renaming the journal lets nobody else in."""
    first, second, path = trisig.Signals(), trisig.Signals(), tmp_path / "journal"
    async with trisig.open_master(first, journal=path):
        for _ in range(20):
            path.unlink(missing_ok=True)
            with pytest.raises(trio.BusyResourceError, match="another master is using it"):
                async with trisig.open_master(second, journal=path):
                    pass


async def test_both_names_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file without a name cannot get one: the log says what that means, signals go on, and nobody else gets in."""
    signals, second, folder = trisig.Signals(), trisig.Signals(), tmp_path / "folder"
    folder.mkdir()
    path = folder / "journal"
    async with trisig.open_master(signals, journal=path):
        for name in files(folder):
            (folder / name).unlink()
        await eventually(lambda: said(caplog, "was removed and cannot be put back"))
        assert said(caplog, "would not survive the master")
        await signals.send(9)
        with pytest.raises(trio.BusyResourceError):
            async with trisig.open_master(second, journal=path):
                pass
        assert await received(signals, 1) == [9]
    async with trisig.open_master(second, journal=path):
        pass


async def test_another_file_in_the_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is left alone, the log says where the signals are, and the next master refuses to choose."""
    signals, path = trisig.Signals(), tmp_path / "journal"
    (tmp_path / "other").write_text("precious")
    async with trisig.open_master(signals, journal=path):
        await signals.send(9)
        (tmp_path / "other").rename(path)
        await eventually(lambda: said(caplog, "another file has taken the place of journal"))
        await signals.send(8)
    assert path.read_text() == "precious"
    with pytest.raises(ValueError, match=r"what is pending is in .*journal\.trisig-lock; remove one of the two"):
        async with trisig.open_master(signals, journal=path):
            pass
    path.unlink()
    async with trisig.open_master(signals, journal=path):
        assert await received(signals, 2) == [9, 8]
    assert said(caplog, "it is back in its place")


KEEPS = """
import sys, trio, trisig

signals = trisig.Signals()

async def main():
    async with trisig.open_master(signals, journal=sys.argv[1]):
        await signals.send(9)
        print("kept", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


async def test_a_journal_removed_while_its_killed_master_could_not_look(tmp_path: Path) -> None:
    """The next master finds the other name, and all that was pending."""
    path = tmp_path / "journal"
    with life(KEEPS, path) as program:
        assert await line_of(program) == "kept"
        os.kill(program.pid, signal.SIGSTOP)
        path.unlink()
        program.kill()
        program.wait(SOON)
    signals = trisig.Signals()
    async with trisig.open_master(signals, journal=path):
        assert await received(signals, 1) == [9]
    assert files(tmp_path) == {"journal"}


# A file that is cut short


@pytest.mark.parametrize("part", [0.0, 0.3, 0.999])
async def test_an_idle_master_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture, part: float) -> None:
    """Cut to nothing or to a part: said once, delivered all the same, and kept again from then on."""
    (tmp_path / "notes").mkdir()
    signals, notes, path = trisig.Signals(), Notes(tmp_path / "notes"), tmp_path / "journal"
    signals.register(1, "workers", notes.note)
    signals.register(2, "worker2", notes.note)
    async with trisig.open_master(signals, workers=2, journal=path) as master:
        await master.cheap(2)
        for signum in (9, 2, 9):
            await signals.send(signum)
        size = path.stat().st_size
        os.truncate(path, int(size * part))
        await eventually(lambda: said(caplog, "the journal was cut short by another program; what is pending now (3)"))
        await eventually(lambda: master.statistics().processes["worker1"].state == "ready")
        assert path.stat().st_size == size
        assert master.statistics().unjournaled == 3
        await master.wake(2)
        await signals.send(1)
        await notes.until(3)
        await signals.send(8)
        await eventually(lambda: left_in(path) == Pending({"wait": b"\x08"}))
        assert await received(signals, 3) == [9, 9, 8]
        assert left_in(path) == Pending()
    assert master.statistics().accepted == master.statistics().done
    async with trisig.open_master(signals, workers=2, journal=path) as master:
        assert master.statistics().accepted == 0


BUSY = """
import os, sys, threading, trio, trisig

signals = trisig.Signals()
seen = memoryview(__import__("mmap").mmap(-1, 4096)).cast("Q")

@signals.handler(1, target="worker")
def handle(signum):
    seen[trisig.current_process().number] += 1

@signals.service("mule1")
async def raise_():
    while True:
        for _ in range(100):
            await signals.send(1)
        await trio.sleep(0)

async def main():
    path, cuts = sys.argv[1], int(sys.argv[2])
    async with trisig.open_master(signals, workers=2, mules=1, journal=path) as master:
        size = os.stat(path).st_size
        for cut in range(cuts):
            before = sum(seen)
            while sum(seen) < before + 500:
                await trio.sleep(0.001)
            os.truncate(path, 0 if cut % 2 else 300_000)
            for _ in range(50):
                signals.send_nowait(1)  # the very next store finds nothing there
        before = sum(seen)
        while sum(seen) < before + 2000:
            await trio.sleep(0.001)
        # A mule that starts while the master drains raises what it no longer delivers.
        while any(process.state != "ready" for process in master.statistics().processes.values()):
            await trio.sleep(0.001)
    left = master.statistics()
    assert left.accepted == left.done, left
    print("went on", left.done >= 0, sum(seen) >= left.done, flush=True)

trio.run(main)
"""


def test_a_busy_master_goes_on(tmp_path: Path) -> None:
    """Cut short 25 times in the midst of a flood, between the master's own stores too: no signal is lost."""
    program = [sys.executable, "-W", "error", "-c", BUSY, str(tmp_path / "journal"), "25"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["went", "on", "True", "True"]


def test_a_fault_elsewhere_is_no_business_of_ours(tmp_path: Path) -> None:
    """The negative control: a program that reads past the end of a file of its own dies of SIGBUS, as ever."""
    source = """
import mmap, os, sys, trio, trisig

async def main():
    async with trisig.open_master(trisig.Signals(), journal=sys.argv[1]):
        with open(sys.argv[2], "w+b") as file:
            file.truncate(8192)
            memory = mmap.mmap(file.fileno(), 8192)
            file.truncate(0)
            memory[4096]

trio.run(main)
"""
    program = [sys.executable, "-c", source, str(tmp_path / "journal"), str(tmp_path / "own")]
    done = subprocess.run(program, capture_output=True, timeout=30, check=False)
    assert done.returncode == -signal.SIGBUS


# What cannot be a journal


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A journal that is a mount point of its own, as a container's volume may be."""
    path = tmp_path / "journal"
    journal = journal_at(path, ["worker1", "worker", "wait"])
    journal.publish()
    journal.close()
    if subprocess.run(["mount", "--bind", path, path], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield path
    subprocess.run(["umount", path], check=True)


async def test_a_journal_that_is_a_mount_point(mounted: Path) -> None:
    """The error says what to mount instead, and nothing is left."""
    with pytest.raises(OSError, match="mount its directory instead"):
        async with trisig.open_master(trisig.Signals(), journal=mounted):
            pass
    assert files(mounted.parent) == {"journal"}


async def test_a_pipe_that_has_the_name_of_the_lock(tmp_path: Path) -> None:
    """It is named, and left alone."""
    os.mkfifo(tmp_path / "journal.trisig-lock")
    with pytest.raises(ValueError, match=r"journal\.trisig-lock is not a regular file; remove it"):
        async with trisig.open_master(trisig.Signals(), journal=tmp_path / "journal"):
            pass
    assert files(tmp_path) == {"journal.trisig-lock"}
