"""Durable jobs: files before `send` returns, run once they are due, in order, tried again, given up with a reason."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from witness import Journal, eventually, wait_in_vain, words

import trisig
from trisig._spool.committer import Committer
from trisig._spool.directory import SpoolDirectory
from trisig._spool.job import Job
from trisig._spool.starts import Starts


def files(spool: Path) -> list[str]:
    """What is in a spool, by its path there."""
    return sorted(str(path.relative_to(spool)) for path in spool.rglob("*") if path.is_file())


def reasons(spool: Path) -> list[str]:
    """Why jobs were given up."""
    return sorted(path.read_text() for path in (spool / "dead").glob(".reason_*"))


def at_rest(master: trisig.Master) -> trisig.MasterStatistics | None:
    """The statistics of a master whose jobs have all come back; those of an attempt may come before its outcome."""
    now = master.statistics()
    return now if now.spool and not now.in_flight + now.spool.running else None


HOLDER = """
import fcntl, sys
with open(sys.argv[1], "wb") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    file.write(bytes.fromhex(sys.argv[2]))
    file.flush()
    print("held", flush=True)
    sys.stdin.read()
"""


async def empty(spool: Path) -> None:
    """Wait until no job is left outside of `dead`."""
    await eventually(lambda: not [name for name in files(spool) if not name.startswith("dead/")])


async def test_a_job_is_a_file_until_it_has_run(tmp_path: Path) -> None:
    """From every process and both ways to send; plain and async functions, in processes of their targets."""
    journal, signals, spool, may_run = Journal(tmp_path), trisig.Signals(), tmp_path / "spool", words()

    @signals.task("spooler", durable=True)
    def plain(word: str, *, count: int = 1) -> None:
        journal.note("plain", word, count)

    @signals.task("mule", durable=True)
    async def in_trio(word: bytes) -> None:
        await trio.lowlevel.checkpoint()
        journal.note("async", word.decode())
        plain.send_nowait("from a job")

    @signals.service("worker1")
    async def send() -> None:
        await eventually(lambda: may_run[0])
        await plain.send("from a worker", count=2)

    async with trisig.open_master(signals, mules=1, spoolers=1, spool=spool) as master:
        await plain.configure(delay=1e6).send("never")
        [later] = files(spool)
        await plain.send("from the master")
        await in_trio.send(b"x" * 1000)
        may_run[0] = 1
        await journal.until(4)
        await eventually(lambda: files(spool) == [later])
        end = await eventually(lambda: at_rest(master))
    assert sorted(journal.read()) == [
        ("mule1", "async", "x" * 1000),
        ("spooler1", "plain", "from a job", 1),
        ("spooler1", "plain", "from a worker", 2),
        ("spooler1", "plain", "from the master", 1),
    ]
    assert (end.accepted, end.done, end.failed, end.dead_lettered) == (4, 4, 0, 0)
    assert end.spool == trisig.SpoolStatistics(path=str(spool), waiting=1, running=0, dead_lettered=0)
    assert (later, (spool / later).stat().st_mode & 0o777) == (later, 0o600)


async def test_jobs_run_when_they_are_due(tmp_path: Path) -> None:
    """By a timer: never early, hardly later than a task that is sent at that moment; a later one holds up no other."""
    signals, jobs, tasks = trisig.Signals(), words().cast("B").cast("d"), words().cast("B").cast("d")

    @signals.task("spooler", durable=True)
    def job(number: int, due: float) -> None:
        jobs[number] = time.time() - due

    @signals.task("spooler")
    def task(number: int, due: float) -> None:
        tasks[number] = time.time() - due

    async def send_task(number: int, due: float) -> None:
        await trio.sleep(due - time.time())
        await task.send(number, due)

    async with trisig.open_master(signals, workers=0, spoolers=1, spool=tmp_path / "spool") as master:
        await job.configure(delay=3600).send(99, 0.0)
        async with trio.open_nursery() as nursery:
            for number in range(5):
                due = datetime.now(UTC) + timedelta(seconds=0.2 + 0.05 * number)
                await job.configure(at=due).send(number, due.timestamp())
                nursery.start_soon(send_task, number, due.timestamp())
        await eventually(lambda: all(jobs[:5]) and all(tasks[:5]))
        await eventually(lambda: at_rest(master))
    assert min(jobs[:5]) > 0
    # What holds up the master or the spooler holds up both; the best of five, as it may come between them.
    assert min(late - control for late, control in zip(jobs[:5], tasks[:5], strict=True)) < 0.05
    assert jobs[99] == 0


async def test_urgent_jobs_run_first(tmp_path: Path) -> None:
    """Lower numbers first, those without one last; one that comes late overtakes all that wait."""
    journal, signals, held = Journal(tmp_path), trisig.Signals(), words()

    @signals.task("spooler", durable=True)
    async def note(word: str) -> None:
        journal.note(word)
        if word == "first":
            await eventually(lambda: held[0])

    async with trisig.open_master(signals, workers=0, spoolers=1, spool=tmp_path / "spool") as master:
        await note.send("first")
        await journal.until(1)
        for priority in (None, 20, 3, 100):
            await note.configure(priority=priority).send(str(priority))
        await note.configure(priority=0).send("0")
        await eventually(lambda: (now := master.statistics().spool) and now.waiting == 5)  # it knows of all of them
        held[0] = 1
        notes = await journal.until(6)
    assert [word for _, word in notes] == ["first", "0", "3", "20", "100", "None"]


async def test_what_fails_is_tried_again_and_then_given_up(tmp_path: Path) -> None:
    """After pauses that double, up to so many starts; it raises or ends its process; without `retry`, once."""
    journal, signals, spool = Journal(tmp_path), trisig.Signals(), tmp_path / "spool"
    backoff = trisig.Backoff(0.1, 0.2, attempts=4)

    def fail(how: str) -> None:
        journal.note(how, time.time())
        if how == "dies":
            os._exit(1)
        raise {"raises": ValueError("no luck"), "leaves": SystemExit(1)}[how]

    @signals.task("spooler1", durable=True, retry=backoff)
    def patient(how: str) -> None:
        fail(how)

    @signals.task("spooler2", durable=True, retry=backoff)
    async def aside(how: str) -> None:
        await trio.lowlevel.checkpoint()
        fail(how)

    @signals.task("spooler1", durable=True)
    def impatient(how: str) -> None:
        fail(how)

    @signals.task("spooler1", durable=True, retry=backoff)
    def lucky() -> None:
        journal.note("lucky", time.time())
        assert [note[1] for note in journal.read()].count("lucky") == 3

    letters = list[trisig.DeadLetter]()
    async with trisig.open_master(signals, workers=0, spoolers=2, spool=spool, on_dead_letter=letters.append) as master:
        await impatient.send("raises")
        await journal.until(1)
        await patient.send("raises")
        await aside.send("dies")
        await aside.send("leaves")
        await lucky.send()
        await empty(spool)
        end = await eventually(lambda: at_rest(master))
    times: dict[str, list[float]] = {}
    for _, how, when in journal.read()[1:]:
        times.setdefault(how, []).append(when)
    assert {how: len(starts) for how, starts in times.items()} == {"raises": 4, "dies": 4, "leaves": 4, "lucky": 3}
    for starts in times.values():
        assert_pauses(starts, 0.1, 0.2, 0.2)
    assert reasons(spool) == [
        "it has ended its process 4 times",
        "it has ended its process 4 times",
        "it has raised ValueError: no luck",
        "it has raised ValueError: no luck",
    ]
    assert end.spool is not None
    assert (end.spool.waiting, end.spool.running, end.spool.dead_lettered) == (0, 0, 4)
    assert end.accepted == end.done + end.dead_lettered
    assert sorted((str(letter).rpartition(".")[2], letter.attempts) for letter in letters) == [
        ("aside", 4),
        ("aside", 4),
        ("impatient", 1),
        ("patient", 4),
    ]


def assert_pauses(times: list[float], *least: float) -> None:
    """At least so many seconds lie between some times."""
    assert all(after - before >= pause for (before, after), pause in zip(pairwise(times), least, strict=False))


async def test_a_job_that_ends_its_process_is_not_tried_for_ever(tmp_path: Path) -> None:
    """Without `retry`, three starts; its neighbours run meanwhile."""
    journal, signals, spool = Journal(tmp_path), trisig.Signals(), tmp_path / "spool"

    @signals.task("spooler", durable=True)
    def note(number: int) -> None:
        journal.note(number)
        if not number:
            os._exit(1)

    async with trisig.open_master(signals, workers=0, spoolers=1, max_attempts=1, spool=spool):
        for number in range(5):
            await note.send(number)
        await empty(spool)
    assert sorted(number for _, number in journal.read()) == [0, 0, 0, 1, 2, 3, 4]
    assert reasons(spool) == ["it has ended its process 3 times"]


async def runs_of_two_masters(spool: Path, jobs: int) -> list[int]:
    """How often each of some jobs runs in four spoolers of two masters."""
    runs, tasks = words(), list[trisig.Task[[int], None, None]]()

    def application() -> trisig.Signals:
        signals = trisig.Signals()

        @signals.task("spooler", durable=True)
        def note(number: int) -> None:
            time.sleep(0.002)
            runs[number] += 1

        tasks.append(note)
        return signals

    async with (
        trisig.open_master(application(), workers=0, spoolers=2, spool=spool),
        trisig.open_master(application(), workers=0, spoolers=2, spool=spool),
    ):
        async with trio.open_nursery() as nursery:
            for number in range(jobs):
                nursery.start_soon(tasks[number % 2].send, number)
        # Not for an empty spool: a job that runs twice may leave its count of starts behind.
        await eventually(lambda: all(runs[:jobs]))
    return list(runs[:jobs])


async def test_two_masters_share_a_spool_and_run_no_job_twice(tmp_path: Path) -> None:
    """Each job is run once, by one of them."""
    assert await runs_of_two_masters(tmp_path / "spool", 60) == [1] * 60
    assert files(tmp_path / "spool") == []


async def test_a_job_that_runs_twice_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with locks that keep nobody out, and starts that are forgotten."""
    monkeypatch.setattr(Starts, "unfinished", False)
    monkeypatch.setattr("trisig._spool.claim.try_lock_file", lambda _fd: True)
    monkeypatch.setattr("trisig._spool.claim.is_locked_file", lambda _fd: False)
    monkeypatch.setattr("trisig._spool.sorter.is_locked_file", lambda _fd: False)
    assert max(await runs_of_two_masters(tmp_path / "spool", 30)) > 1


async def test_a_job_that_another_holds_waits_for_it(tmp_path: Path) -> None:
    """Somebody who locks the file as uWSGI does runs it; if it lets go of it, it is run here at once."""
    journal, signals, spool = Journal(tmp_path), trisig.Signals(), SpoolDirectory(tmp_path / "spool")

    @signals.task("spooler", durable=True)
    def note(word: str) -> None:
        journal.note(word)

    held = Job({b"ud_spool_func": b"note", b"word": b"held"}).packet().encode()
    with subprocess.Popen(  # noqa: ASYNC220  a moment, in a test
        [sys.executable, "-c", HOLDER, spool.path / "uwsgi_spoolfile_on_elsewhere", held.hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        async with trisig.open_master(signals, workers=0, spoolers=1, spool=spool.path):
            await note.send("free")
            await journal.until(1)
            await wait_in_vain(0.2)
            assert [word for _, word in journal.read()] == ["free"]
            holder.kill()
            await journal.until(2)
    assert [word for _, word in journal.read()] == ["free", "held"]


async def test_what_cannot_run_is_given_up_with_a_reason(tmp_path: Path) -> None:
    """Files that are no jobs, tasks that do not exist, arguments that do not fit: each once, and the others run."""
    journal, signals, spool = Journal(tmp_path), trisig.Signals(), SpoolDirectory(tmp_path / "spool")

    @signals.task("spooler", durable=True)
    def note(word: str, count: int = 0, when: datetime | None = None, body: bytes = b"") -> None:
        journal.note(word, count, when.isoformat() if when else "", body.decode())

    by_uwsgi = {b"ud_spool_func": b"note"}
    wanted = {
        "arguments that are not its own": "its arguments are not those of",
        "cut off": "cut off: 3 bytes, and the header alone takes 4",
        "no number": "argument 'count': ",
        "no task": "no task: it has neither trisig_task nor ud_spool_func among its pairs",
        "pickled": "its arguments are pickled, which is not read here; write them as pairs",
        "strange": "not a job: it begins with 120, and a job with 17",
        "unknown": "no durable task here has the task shop.pay",
        "unknown function": "no durable task here has the function pay",
    }
    contents = {
        "arguments that are not its own": Job({b"trisig_task": b"elsewhere.note"}, b"\x92\x01\x02").packet().encode(),
        "cut off": b"\x11\0\0",
        "no number": Job({**by_uwsgi, b"word": b"a", b"count": b"many"}).packet().encode(),
        "no task": Job({b"a": b"1"}).packet().encode(),
        "pickled": Job({**by_uwsgi, b"args": b"\x80\x04)."}).packet().encode(),
        "strange": b"xxxxxxxx",
        "unknown": Job({b"trisig_task": b"shop.pay"}).packet().encode(),
        "unknown function": Job({b"ud_spool_func": b"pay"}).packet().encode(),
    }
    for name, content in contents.items():
        (spool.path / f"uwsgi_spoolfile_on_{name}").write_bytes(content)
    pairs = {**by_uwsgi, b"word": b"good", b"count": b"7", b"when": b"2026-11-28T12:00:00Z", b"at": b"1"}
    Committer(spool).commit([Job(pairs, b"all", priority=3, due=1.0)])
    async with trisig.open_master(signals, workers=0, spoolers=1, spool=spool.path):
        await empty(spool.path)
        (spool.path / "uwsgi_spoolfile_on_late").write_bytes(b"zzzz")
        await note.send("also good")
        await journal.until(2)
        await empty(spool.path)
    found = {path.name.removeprefix(".reason_uwsgi_spoolfile_on_"): path for path in (spool.path / "dead").iterdir()}
    for name, reason in wanted.items():
        assert reason in found[name].read_text(), name
    assert found["late"].read_text() == "not a job: it begins with 122, and a job with 17"
    assert sorted(journal.read()) == [
        ("spooler1", "also good", 0, "", ""),
        ("spooler1", "good", 7, "2026-11-28T12:00:00+00:00", "all"),
    ]


async def test_a_spool_that_is_removed_is_made_again(tmp_path: Path) -> None:
    """By the master, or by whoever sends a job before."""
    journal, signals, spool = Journal(tmp_path), trisig.Signals(), tmp_path / "spool"

    @signals.task("spooler", durable=True)
    def note(word: str) -> None:
        journal.note(word)

    async with trisig.open_master(signals, workers=0, spoolers=1, spool=spool):
        await note.send("before")
        await empty(spool)
        await journal.until(1)
        spool.rename(tmp_path / "moved")
        await note.send("after")
        await journal.until(2)
        await empty(spool)
        spool.rename(tmp_path / "moved again")
        await eventually(spool.exists)
        await note.send("in the end")
        await journal.until(3)
    assert [word for _, word in journal.read()] == ["before", "after", "in the end"]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    """In the line that declares it, or sends it, or opens the master."""
    signals = trisig.Signals()
    with pytest.raises(trisig.TargetError, match="target 'workers': a durable task runs in one process"):
        signals.task("workers", durable=True)
    with pytest.raises(ValueError, match="write durable=True beside retry"):
        signals.task("spooler", retry=trisig.Backoff(1, 2))
    with pytest.raises(TypeError, match=r"retry is a trisig\.Backoff"):
        signals.task("spooler", durable=True, retry=3)  # type: ignore[call-overload]  # which is the test

    @signals.task("spooler", durable=True)
    def job(word: str) -> None: ...

    @signals.task("spooler")
    def plain(word: str) -> None: ...

    for priority, error in ((-1, ValueError), (10**9, ValueError), (True, TypeError), (1.5, TypeError)):
        with pytest.raises(error, match="priority is a"):
            job.configure(priority=priority)  # type: ignore[arg-type]  # which is the test

    async def open_it(spool: Path | None, body: Callable[[], object] = lambda: None) -> None:
        async with trisig.open_master(signals, workers=0, spoolers=1, spool=spool):
            with pytest.raises(TypeError, match=r"is durable: .* write send, not call"):
                await job.call("x")
            with pytest.raises(TypeError, match="argument 'word'"):
                await job.send(1)  # type: ignore[arg-type]  # which is the test

    with pytest.raises(ValueError, match="is durable: give its jobs a directory with spool=DIR"):
        trio.run(open_it, None)
    with pytest.raises(NotADirectoryError, match="this is not a directory; name another path"):
        trio.run(open_it, Path("/dev/null"))
    with pytest.raises(OSError, match=r"it cannot be made: No such file or directory; make .*nothing first") as caught:
        trio.run(open_it, tmp_path / "nothing" / "spool")
    assert caught.value.errno == errno.ENOENT
    trio.run(open_it, tmp_path / "spool")
