"""Durable jobs on a full disk, with files of other users, and when everything is killed at once."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from witness import Journal, eventually

import trisig
from trisig._spool.committer import Committer
from trisig._spool.dead_jobs import DeadJobs
from trisig._spool.directory import SpoolDirectory
from trisig._spool.job import Job

NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system, or be another user")

APPLICATION = """
import json, os, pathlib, signal, sys, time, trio, trisig

signals, folder = trisig.Signals(), pathlib.Path(sys.argv[1])

def note(*words):
    fd = os.open(folder / "notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, json.dumps(words).encode() + b"\\n")
    os.close(fd)

@signals.task("spooler", durable=True, retry=trisig.Backoff(0.1, 1, attempts=2))
def kill() -> None:
    note("begin", "kill")
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)

# Whatever runs beside `kill` may be cut off each time: so often it is tried again.
@signals.task("spooler", durable=True, retry=trisig.Backoff(0.1, 1, attempts=10))
def work(word: str) -> None:
    note("begin", word)
    if word == "endless":
        time.sleep(60)
    note("end", word)

async def main():
    async with trisig.open_master(signals, workers=0, spoolers=2, grace=0.3, spool=folder / "spool") as master:
        for word in sys.argv[2:]:
            await (kill.send() if word == "kill" else work.send(word))
        note("sent")
        while any((folder / "spool").glob("uwsgi*")) or master.statistics().spool.running:
            await trio.sleep(0.01)
        note("left", master.statistics().spool.dead_lettered)

trio.run(main)
"""


@contextmanager
def running(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A master that sends jobs, runs all there are, and leaves; it is killed in the end."""
    program = [sys.executable, "-c", APPLICATION, str(folder), *words]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as master:
        try:
            yield master
        finally:
            master.kill()


def notes(folder: Path) -> list[list[object]]:
    """What happened, in order."""
    path = folder / "notes"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_jobs_outlive_their_master_and_its_children(tmp_path: Path) -> None:
    """A job that kills the master, and with it everything, is tried as often as `retry` says; the others run."""
    words: tuple[str, ...] = ("a", "b", "kill")
    status = -signal.SIGKILL
    while status == -signal.SIGKILL:
        with running(tmp_path, *words) as master:
            master.communicate(timeout=60)
        status, words = master.returncode, ()
    happened = notes(tmp_path)
    assert happened.count(["begin", "kill"]) == 2
    assert all(happened.count(["end", word]) >= 1 for word in ("a", "b"))
    assert happened[-1] == ["left", 1]
    [dead] = DeadJobs(SpoolDirectory(tmp_path / "spool")).list()
    assert (dead.task, dead.reason, dead.attempts) == ("__main__.kill", "it has ended its process 2 times", 2)


async def test_a_job_that_the_end_of_its_master_cuts_off_has_not_failed(tmp_path: Path) -> None:
    """Its start is not counted, and the next master runs it."""
    with running(tmp_path, "endless") as master:
        await eventually(lambda: ["begin", "endless"] in notes(tmp_path))
        master.send_signal(signal.SIGINT)
        master.communicate(timeout=60)
    assert [path.stat().st_size for path in (tmp_path / "spool").glob(".starts_*")] == [0]
    with running(tmp_path):
        await eventually(lambda: notes(tmp_path).count(["begin", "endless"]) == 2)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "trisig", path], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr}")
    yield path
    subprocess.run(["umount", path], check=True)


@as_root
async def test_a_full_disk_is_an_error_of_the_sender(small_disk: Path, tmp_path: Path) -> None:
    """Nothing of the job is left, the jobs that wait run all the same, and those that fail are given up."""
    journal, signals, spool = Journal(tmp_path), trisig.Signals(), small_disk / "spool"

    @signals.task("spooler", durable=True)
    def note(word: str, filler: bytes = b"") -> None:
        journal.note(word)
        if word == "fails":
            raise ValueError(word)

    async with trisig.open_master(signals, workers=0, spoolers=1, spool=spool) as master:
        for word in ("runs", "fails"):
            await note.configure(delay=3600).send(word, b"x" * 20_000)
        with pytest.raises(OSError, match=f"spool {spool}: the disk is full; the job was not written") as caught:
            await note.send("too long", b"x" * 40_000)
        assert caught.value.errno == errno.ENOSPC
        assert not list(spool.glob(".new_*"))
        (small_disk / "rest").write_bytes(b"")
        fill(small_disk / "rest")
        for job in spool.glob("uwsgi*"):
            os.utime(job)  # due from now on
        await journal.until(2)
        await eventually(lambda: not SpoolDirectory(spool).scan())
        assert master.statistics().dead_lettered == 0
    assert sorted(word for _, word in journal.read()) == ["fails", "runs"]
    assert len([path for path in (spool / "dead").iterdir() if path.name.startswith("uwsgi")]) == 1


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass


@as_root
async def test_files_of_another_user_stop_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A spooler that has changed its user may not take root's jobs: told once, left where they are; its own run."""
    with tempfile.TemporaryDirectory() as name:  # those of pytest cannot be entered by others
        os.chmod(name, 0o755)  # noqa: PTH101  a name
        folder, signals = Path(name), trisig.Signals()
        journal, spool = Journal(folder), SpoolDirectory(folder / "spool")
        for one in (spool.path, folder / "journal"):
            os.chown(one, NOBODY, NOBODY)

        @signals.task("spooler", durable=True)
        def note(word: str) -> None:
            journal.note(word)

        @signals.on_start("spooler1")
        def drop() -> None:
            os.setgid(NOBODY)
            os.setuid(NOBODY)

        @signals.service("spooler1")
        async def send() -> None:
            for number in range(3):
                await note.send(f"its own {number}")

        theirs = Committer(spool).commit([Job({b"ud_spool_func": b"note", b"word": b"theirs"})])
        async with trisig.open_master(signals, workers=0, spoolers=1, spool=spool.path) as master:
            await journal.until(3)
            await eventually(lambda: "waits: " in caplog.text)
            path = theirs[0]
            assert isinstance(path, Path)
            path.touch()
            os.chown(path, NOBODY, NOBODY)
            await journal.until(4)
            await eventually(lambda: not master.statistics().in_flight)
        assert not spool.scan()
    assert caplog.text.count(f"it belongs to user 0, and user {NOBODY} may not read and write it") == 1
