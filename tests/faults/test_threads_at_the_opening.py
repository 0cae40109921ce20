"""Threads of the application, and what Python says about forking among them."""

import errno
import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import trio
from witness import PATIENCE

import trisig

NICE = """
import os, trio, trisig
os.nice(5)
signals = trisig.Signals()

@signals.handler(1, target="workers")
def fork(signum):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)

async def main():
    async with trisig.open_master(signals, workers=2) as master:
        await signals.send(1)
    print(master.statistics().done, master.statistics().failed, master.statistics().processes["worker1"].respawns)

trio.run(main)
"""


def warnings_of_threads(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of other threads."""
    return [record.getMessage() for record in caplog.records if "other threads" in record.getMessage()]


async def test_other_threads_at_the_opening_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line names them and says what to do; respawns do not repeat it."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="poller")
    thread.start()
    try:
        async with trisig.open_master(trisig.Signals(), workers=2):
            pass
    finally:
        over.set()
        thread.join()
    [line] = warnings_of_threads(caplog)
    assert "(poller)" in line
    assert "start threads in on_start or in a service" in line


async def test_trios_idle_threads_are_no_reason_to_warn(caplog: pytest.LogCaptureFixture) -> None:
    """A thread that trio keeps for its next call holds no lock."""
    await trio.to_thread.run_sync(lambda: None)
    async with trisig.open_master(trisig.Signals()):
        pass
    assert warnings_of_threads(caplog) == []


def test_no_false_warning_of_threads_under_nice() -> None:
    """With warnings as errors and another niceness, children are forked, and a handler's own fork is silent too."""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", NICE], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert (run.stdout, run.stderr) == ("2 0 0\n", "")


async def test_an_open_transaction_at_the_opening_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite's record of locks would be copied into every child; connections that are idle or closed are no reason."""

    async def warned() -> bool:
        caplog.clear()
        async with trisig.open_master(trisig.Signals()):
            pass
        return any("1 SQLite transaction while" in record.getMessage() for record in caplog.records)

    with closing(sqlite3.connect(tmp_path / "a.db")) as idle, closing(sqlite3.connect(tmp_path / "b.db")) as closed:
        closed.close()
        idle.execute("create table seen (name text)")
        assert not await warned()
        idle.execute("insert into seen values ('x')")
        assert await warned()
        idle.commit()
        assert not await warned()


def parent_by_words(pid: int) -> int:
    """The parent of a process, read as naive readers do."""
    return int(Path(f"/proc/{pid}/stat").read_text().split(" ")[3])


async def test_no_process_has_a_space_in_its_name() -> None:
    """Those who split /proc/PID/stat at spaces find the fields where they expect them."""
    async with trisig.open_master(trisig.Signals(), mules=1) as master:
        for pid in (*(process.pid for process in master.processes[1:]), master._engine.zygotes.pid):
            assert parent_by_words(pid) == os.getpid()


async def test_a_fork_that_is_refused_at_the_opening_is_a_failed_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of processes at the first fork is the error that a later one is, with the reason in it."""

    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(trisig.ChildFailedError, match=r"zygote could not be forked: .*temporarily unavailable"):
        async with trisig.open_master(trisig.Signals()):
            pass
