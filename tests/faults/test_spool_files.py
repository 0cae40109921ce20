"""Files of a spool: uWSGI's format, whole or absent after a kill, in order, noticed, taken once, given up."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType

import pytest
import trio
import trio.testing
from forking import fork
from hypothesis import given
from hypothesis import strategies as st
from witness import words

from trisig import Backoff
from trisig._linux.inotify import IN_Q_OVERFLOW, Event, Inotify
from trisig._linux.syncfs import syncfs
from trisig._model.jobs import Retry
from trisig._spool.attempts import Attempts
from trisig._spool.claim import Claim, claim
from trisig._spool.committer import Committer, _Draft
from trisig._spool.dead_jobs import DeadJobs
from trisig._spool.directory import SpoolDirectory
from trisig._spool.job import Job
from trisig._spool.leftovers import remove_leftovers
from trisig._spool.outcome import Fate, Outcome
from trisig._spool.packet import Packet, PacketError, decode
from trisig._spool.starts import read_starts
from trisig._spool.watch import watching
from trisig._spool.writer import SpoolWriter

# What uWSGI 2.0.31 wrote for spool({b"a": b"1", b"at": b"4000000000", b"body": b"BB"}).
BY_UWSGI = bytes.fromhex("11160000 0100 61 0100 31 0200 6174 0a00 34303030303030303030 4242")


def commit_one(spool: SpoolDirectory, job: Job) -> Path:
    """Write a job."""
    [path] = Committer(spool).commit([job])
    assert isinstance(path, Path), path
    return path


def test_what_uwsgi_wrote_is_read() -> None:
    """Header, pairs and body of a real file."""
    assert decode(BY_UWSGI) == Packet({b"a": b"1", b"at": b"4000000000"}, b"BB")
    assert Packet({b"a": b"1", b"at": b"4000000000"}, b"BB").encode() == BY_UWSGI


@given(st.dictionaries(st.binary(min_size=1, max_size=300), st.binary(max_size=300), max_size=9), st.binary())
def test_a_packet_comes_out_as_it_went_in(pairs: dict[bytes, bytes], body: bytes) -> None:
    """Any bytes survive, and no part of the pairs is taken for the whole."""
    data = Packet(pairs, body).encode()
    assert decode(data) == Packet(pairs, body)
    for cut in range(len(data) - len(body)):
        with pytest.raises(PacketError):
            decode(data[:cut])


def killed_at(call: int, work: Callable[[], object]) -> bool:
    """Do something in a process that is killed before so many of its system calls; whether it came that far."""
    pid = fork()
    if not pid:
        kill_before(call)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def kill_before(call: int) -> None:
    """Kill this process before so many system calls."""
    seen = 0

    def profile(_frame: FrameType, event: str, called: object) -> None:
        nonlocal seen
        if event == "c_call" and getattr(called, "__module__", "") in ("posix", "fcntl"):
            seen += 1
            if seen == call:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(profile)


def sweep_writing(folder: Path, count: int) -> list[str]:
    """Kill before each system call of writing jobs; what was neither whole nor absent."""
    job, call, killed, broken = Job({b"key": b"x" * 1000}, b"body", priority=3, due=4e9), 0, True, list[str]()
    while killed:
        call += 1
        spool = SpoolDirectory(folder / str(call))
        killed = killed_at(call, lambda spool=spool: Committer(spool).commit([job] * count))  # type: ignore[misc]
        found = spool.scan()
        whole = [e for e in found if e.path.read_bytes() == job.packet().encode() and e.due_ns == 4 * 10**18]
        if len(whole) != len(found) or (not killed and len(found) != count):
            broken.append(f"before call {call}: {len(found)} jobs, {len(whole)} whole")
        remove_leftovers(spool, age=-1)
        if [path for path in spool.path.rglob(".*") if path.is_file()]:
            broken.append(f"before call {call}: something was left")
    assert call > 8 * count
    return broken


@pytest.mark.parametrize("count", [1, 5], ids=["alone", "together"])
def test_a_kill_at_every_call_leaves_whole_jobs_or_none(tmp_path: Path, count: int) -> None:
    """SIGKILL before each system call while jobs are written: each is whole or absent, and what returned is there."""
    assert sweep_writing(tmp_path, count) == []


def test_a_job_that_is_not_whole_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with jobs that are written under their own names."""
    monkeypatch.setattr(_Draft, "new", _Draft.final)
    assert any("0 whole" in fault for fault in sweep_writing(tmp_path, 1))


def sweep_running(folder: Path) -> tuple[list[str], int]:
    """Kill before each system call of running a job, then run what is left; what was lost, and how many starts counted.

    The job itself is a system call too: it makes a file.
    """
    call, killed, faults, starts = 0, True, list[str](), 0
    while killed:
        call += 1
        spool = SpoolDirectory(folder / str(call))
        path, ran = commit_one(spool, Job()), spool.path / "ran"
        attempts = Attempts(DeadJobs(spool))

        def run(path: Path = path, ran: Path = ran, attempts: Attempts = attempts) -> Fate:
            started = attempts.start(path, Retry(Backoff(0, 0, attempts=9)))
            if isinstance(started, Outcome):
                return started.fate
            ran.touch()
            ended = attempts.end(started, Retry(), None)
            assert ended is not None
            return ended.fate

        killed = killed_at(call, run)
        starts += read_starts(path).count
        fates = [run(), run(), run()]
        if not ran.exists() or spool.scan() or Fate.GONE not in fates:
            faults.append(f"before call {call}: {fates}")
        remove_leftovers(spool, age=-1)
        if [path for path in spool.path.iterdir() if path != ran]:
            faults.append(f"before call {call}: something was left")
    assert call > 12
    return faults, starts


def test_a_kill_at_every_call_of_a_run_loses_no_job(tmp_path: Path) -> None:
    """Killed before it is removed, a job runs again; the start that was cut off is known."""
    faults, starts = sweep_running(tmp_path)
    assert faults == []
    assert starts > 3


def test_a_job_that_is_lost_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with jobs that are removed before they run."""
    begin = Claim.begin

    def remove(claim: Claim) -> None:
        begin(claim)
        claim.path.unlink()

    monkeypatch.setattr(Claim, "begin", remove)
    assert sweep_running(tmp_path)[0] != []


def test_jobs_sort_by_priority_and_due_time(tmp_path: Path) -> None:
    """Lower numbers first, those without one last; the earlier first among equals."""
    spool = SpoolDirectory(tmp_path / "spool")
    wanted = [(2, 5.0), (10, 1.0), (10, 4e9), (None, 2.0), (None, 3.5)]
    written = {commit_one(spool, Job(priority=rank, due=due)): (rank, due) for rank, due in reversed(wanted)}
    (tmp_path / "spool" / "dead").mkdir()
    assert [written[entry.path] for entry in spool.scan()] == wanted


def test_a_job_is_taken_once_counted_and_given_up(tmp_path: Path) -> None:
    """Nobody else gets a job that is taken; its starts are counted on the disk; dead, it can be queued again."""
    spool = SpoolDirectory(tmp_path / "spool")
    path = commit_one(spool, Job({b"a": b"1"}, priority=7))
    for starts in (1, 2):
        taken = claim(path)
        assert isinstance(taken, Claim)
        assert claim(path) is Fate.LOCKED
        assert taken.read().pairs[b"a"] == b"1"
        taken.begin()
        assert (read_starts(path).count, read_starts(path).unfinished) == (starts, True)
        taken.failed()
        assert (read_starts(path).count, read_starts(path).unfinished) == (starts, False)
        taken.begin()
        taken.excuse()
        assert read_starts(path).count == starts
        taken.close()
    dead = DeadJobs(spool)
    dead.bury(path, "it ended its process 2 times")
    assert spool.scan() == []
    (found,) = dead.list()
    assert (found.name, found.reason) == (path.name, "it ended its process 2 times")
    assert dead.requeue(path.name) == path
    taken = claim(path)
    assert isinstance(taken, Claim)
    taken.begin()
    assert read_starts(path).count == 1
    taken.done()
    taken.close()
    assert (spool.scan(), dead.list(), claim(path)) == ([], [], Fate.GONE)
    assert os.listdir(path.parent) == []  # noqa: PTH208  names


async def test_jobs_are_noticed_wherever_and_however_they_are_written(tmp_path: Path) -> None:
    """Renamed into the directory, written in place, in a new directory of a priority, or due at another time."""
    spool = SpoolDirectory(tmp_path / "spool")
    with watching(spool) as watch, trio.fail_after(30):
        renamed = commit_one(spool, Job(due=4e9))
        assert [entry.path for entry in await watch.wait_changed()] == [renamed]
        in_place = renamed.with_name(renamed.name + "_2")
        in_place.write_bytes(BY_UWSGI)
        assert [entry.path for entry in await watch.wait_changed()] == [in_place]
        first = commit_one(spool, Job(priority=1))
        assert [entry.path for entry in await watch.wait_changed()] == [first]
        os.utime(renamed)
        assert [entry.path for entry in await watch.wait_changed()] == [renamed]
        for path in (renamed, in_place, first):
            path.unlink()
        first.parent.rmdir()
        spool.path.rmdir()
        with pytest.raises(FileNotFoundError, match="removed, moved or unmounted"):
            await watch.wait_changed()


async def test_when_the_kernel_forgot_events_everything_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An overflow of the event queue; a directory of a priority that was made meanwhile is watched from then on."""
    spool = SpoolDirectory(tmp_path / "spool")
    read = Inotify.read
    with watching(spool) as watch, trio.fail_after(30):
        first = commit_one(spool, Job(priority=1))

        def forgetful(inotify: Inotify) -> list[Event]:
            read(inotify)
            return [Event(-1, IN_Q_OVERFLOW, "")]

        with monkeypatch.context() as patch:
            patch.setattr(Inotify, "read", forgetful)
            assert [entry.path for entry in await watch.wait_changed()] == [first]
        second = commit_one(spool, Job(priority=1))
        assert [entry.path for entry in await watch.wait_changed()] == [second]


def test_only_what_nobody_needs_is_removed(tmp_path: Path) -> None:
    """Jobs that were never written to their end, counts and reasons without a job; nothing that is a minute old."""
    spool = SpoolDirectory(tmp_path / "spool")
    kept = commit_one(spool, Job(priority=2))
    gone = commit_one(spool, Job())
    for path in (kept, gone):
        taken = claim(path)
        assert isinstance(taken, Claim)
        taken.begin()
        taken.close()
    dead = commit_one(spool, Job())
    DeadJobs(spool).bury(dead, "why")
    (spool.path / f".new_{gone.name}").touch()
    (spool.path / "dead" / f".reason_{gone.name}").touch()
    gone.unlink()
    before = {path for path in spool.path.rglob("*") if path.is_file()}
    remove_leftovers(spool)
    assert {path for path in spool.path.rglob("*") if path.is_file()} == before
    remove_leftovers(spool, age=-1)
    left = {path for path in spool.path.rglob("*") if path.is_file()}
    assert {path.name.partition("uwsgi")[0] + str(path.parent.name) for path in before - left} == {
        ".new_spool",
        ".starts_spool",
        ".reason_dead",
    }


async def test_many_tasks_write_in_batches_and_may_be_cancelled(tmp_path: Path) -> None:
    """What `write` returned is there; a call that was cancelled before its batch began has written nothing."""
    spool = SpoolDirectory(tmp_path / "spool")
    writer, returned = SpoolWriter(Committer(spool)), set[Path]()

    async def write() -> None:
        returned.add(await writer.write(Job({b"a": b"1"})))

    async with trio.open_nursery() as outer:
        outer.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as cancelled:
            for _ in range(5):
                cancelled.start_soon(write)
            await trio.lowlevel.checkpoint()
            cancelled.cancel_scope.cancel()
        for _ in range(50):
            outer.start_soon(write)
    assert {entry.path for entry in spool.scan()} == returned
    assert 51 <= len(returned) <= 56


async def test_an_error_of_a_batch_reaches_all_its_senders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is; and the next batch is written."""
    spool = SpoolDirectory(tmp_path / "spool")
    writer, failed = SpoolWriter(Committer(spool)), list[str]()

    def commit(*_: object) -> None:
        raise OSError("closing failed")

    async def write() -> None:
        with pytest.raises(OSError, match="closing failed"):
            await writer.write(Job())
        failed.append("so")

    with trio.fail_after(30):
        with monkeypatch.context() as patch:
            patch.setattr(Committer, "commit", commit)
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(write)
        await writer.write(Job())
    assert (len(failed), len(spool.scan())) == (5, 1)


def syncs_of_four(
    spool: SpoolDirectory, write: Callable[[SpoolWriter], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> int:
    """How often four processes that write jobs at the same time wait for the disk."""
    counts, pids = words(), list[int]()

    def counted(process: int, sync: Callable[[int], object]) -> Callable[[int], object]:
        def count(fd: int) -> object:
            counts[process] += 1
            return sync(fd)

        return count

    for process in range(4):
        pids.append(fork())
        if not pids[-1]:
            monkeypatch.setattr(os, "fsync", counted(process, os.fsync))
            monkeypatch.setattr("trisig._spool.committer.syncfs", counted(process, syncfs))
            trio.run(write, SpoolWriter(Committer(spool)))
            os._exit(0)
    assert {os.waitpid(pid, 0)[1] for pid in pids} == {0}
    return sum(counts[:4])


def test_many_jobs_share_their_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From four processes: at most a third of the syncs that they take one by one, and in fact far fewer."""
    spool, job = SpoolDirectory(tmp_path / "spool"), Job({b"trisig_task": b"shop.mail"}, b"x" * 100)

    async def together(writer: SpoolWriter) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(writer.write, job)

    async def each(writer: SpoolWriter) -> None:
        for _ in range(50):
            await writer.write(job)

    assert syncs_of_four(spool, each, monkeypatch) == 400  # the file, and its name
    shared = syncs_of_four(spool, together, monkeypatch)
    assert 0 < shared <= 400 / 3, shared
    assert len(spool.scan()) == 400
