"""The journal: what was accepted survives the master, and nothing else is ever taken for a journal."""

import errno
import os
import signal
import socket
import stat
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_tools import SOON, files, journal_at, left_in, life, line_of, no_file_longer_than, received, recorder
from stride import FIRST, STEP
from witness import eventually, words

import trisig
from trisig._cli.status_text import status_text
from trisig._ipc import shared_memory
from trisig._ipc.shared_memory import slot_parts
from trisig._journal.layout import (
    BLOCK,
    BLOCK_BYTES,
    HEADER,
    IN_FLIGHT_BYTES,
    IN_FLIGHT_ENTRIES,
    PAGE,
    PUBLISHED,
    SEGMENT,
    SEGMENTS,
    Layout,
    seal,
)
from trisig._journal.lock import JournalLock
from trisig._journal.open import open_journal
from trisig._journal.recovery import Pending, read_header, recover
from trisig._master import journaling
from trisig._master.report import undelivered_report
from trisig._master.restore import is_copy
from trisig._model.lane import ASIDE, DONE, FINISHED, STARTED, WINDOW, Lane, finished_entry
from trisig._model.ledger import Ledger
from trisig._model.queue import Queue
from trisig._model.targets import parse

NOTHING = trisig.MasterStatistics(0, 0, 0, 0, 0, 0, 0, 0, {}, {}, {}, (), (), 0)


# How a program ends that opens a master and raises one signal
RAISES_ONE = """
async def main():
    async with trisig.open_master(signals, workers=1, journal=sys.argv[1]):
        await signals.send(1)
        await trio.sleep_forever()

trio.run(main)
"""


# From one master to the next


async def test_a_clean_end_leaves_nothing_pending(tmp_path: Path) -> None:
    """After an orderly end the journal is there, and the next master finds nothing in it."""
    signals = trisig.Signals()
    signals.register(3, "worker", lambda _signum: None)
    for _ in range(2):
        async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal") as master:
            assert master.statistics().accepted == 0
            await signals.send(3)
    assert files(tmp_path) == {"journal"}


@pytest.mark.parametrize(
    ("undelivered", "unjournaled", "words"),
    [
        (0, 3, []),
        (1, 0, ["stopped with 1 signal undelivered; the journal has what is left for the next master"]),
        (
            5,
            3,
            ["stopped with 5 signals undelivered; the journal has what is left for the next master, but for 3 at most"],
        ),
        (
            2,
            3,
            ["stopped with 2 signals undelivered; the journal has what is left for the next master, but for 2 at most"],
        ),
    ],
)
def test_a_shutdown_says_where_what_is_left_is(undelivered: int, unjournaled: int, words: list[str]) -> None:
    """With a journal nothing that is left is lost, but for what it had no room for."""
    left = replace(NOTHING, queued=undelivered, unjournaled=unjournaled)
    assert list(undelivered_report(left, journaled=True)) == words


def test_a_shutdown_without_a_journal_promises_nothing() -> None:
    """What is left is only counted, one of them in the singular."""
    left = replace(NOTHING, in_flight=1, dead_lettered=1)
    assert list(undelivered_report(left, journaled=False)) == [
        "stopped with 1 signal undelivered",
        "1 signal was dead-lettered",
    ]


async def test_what_the_grace_did_not_suffice_for_is_delivered_by_the_next_master(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Signals that a shutdown left undelivered are accepted again by the next master with the same journal."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal") as master:
        for signum in (9, 8, 9):
            await signals.send(signum)  # nobody waits for them
    assert master.statistics().queued == 3
    assert "stopped with 3 signals undelivered; the journal has what is left for the next master" in caplog.text
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal"):
        assert await received(signals, 3) == [9, 8, 9]


SETS_ASIDE = (
    """
import sys, trio, trisig

signals = trisig.Signals()

@signals.handler(1, target="worker1")
async def note(signum):
    await trio.sleep(0.01)
    with open(sys.argv[2], "a") as file:
        file.write("ran ")

@signals.service("worker1")
async def tell():
    await signals.wait(1)
    print("ended", flush=True)
"""
    + RAISES_ONE
)


async def test_an_async_handler_that_had_ended_does_not_run_again(tmp_path: Path) -> None:
    """A master is killed while it has nothing to do: what an async handler had done by then is done."""
    with life(SETS_ASIDE, tmp_path / "journal", tmp_path / "log") as program:
        assert await line_of(program) == "ended"
    signals = trisig.Signals()
    signals.register(1, "worker1", lambda _signum: (tmp_path / "log").write_text("again"))
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal") as master:
        assert master.statistics().accepted == 0
    assert (tmp_path / "log").read_text() == "ran "


@pytest.mark.parametrize("between", [0, 10, IN_FLIGHT_ENTRIES + WINDOW])
def test_an_async_handler_that_ran_for_long_does_not_run_again(tmp_path: Path, between: int) -> None:
    """The same, however many signals its process was given one by one before it ended."""
    journal = journal_at(tmp_path / "journal", ["worker1"])
    ledger, queue = Ledger(3, recorder(journal)), Queue("worker1")
    memory = slot_parts(journal.shared, 0)
    lane = Lane(ledger, "worker1", memory.marks, memory.finished)
    ledger.accept(queue, b"a")
    lane.send(queue, 1)
    memory.marks[0] = ASIDE
    for number in range(1, between + 1):
        ledger.accept(queue, b"p")
        lane.send(queue, 1)
        memory.marks[number % WINDOW] = DONE
        lane.read_marks()
    journal.publish()
    assert left_in(tmp_path / "journal").queues == {"worker1": b"a"}
    memory.finished[0] = finished_entry(0, DONE)
    memory.finished[FINISHED] = 1
    assert left_in(tmp_path / "journal").queues == {}
    journal.close()


def test_an_async_handler_of_a_dead_process_is_not_taken_for_one_of_its_successor(tmp_path: Path) -> None:
    """Numbers begin anew with each process: what the next one has done says nothing of what the last one had begun."""
    journal = journal_at(tmp_path / "journal", ["worker1", "worker2"])
    ledger, queue = Ledger(3, recorder(journal)), Queue("worker1")
    memory = slot_parts(journal.shared, 0)
    lane = Lane(ledger, "worker1", memory.marks, memory.finished)
    ledger.accept(queue, b"a")
    lane.send(queue, 1)
    memory.marks[0] = ASIDE
    lane.read_marks()
    lane.died()
    journal.restart(0)
    memory.clear()
    other = Queue("worker2")
    lane = Lane(ledger, "worker1", memory.marks, memory.finished)
    ledger.accept(other, b"b")
    lane.send(other, 1)
    memory.marks[0] = ASIDE
    memory.finished[0] = finished_entry(0, DONE)
    memory.finished[FINISHED] = 1
    journal.publish()
    assert left_in(tmp_path / "journal").queues == {"worker1": b"a"}
    journal.close()


TAKES_AND_IS_KILLED = """
import os, signal, sys, time, trio, trisig

signals = trisig.Signals()

async def take():
    print(await signals.wait(), flush=True)
    print(await signals.wait(), flush=True)
    os.kill(os.getpid() if trisig.current_process().kind == "master" else os.getppid(), signal.SIGKILL)

if sys.argv[2] == "child":
    @signals.service("worker1")
    async def serve():
        await take()

async def main():
    async with trisig.open_master(signals, workers=1, journal=sys.argv[1]) as master:
        signals.send_nowait(8)
        if sys.argv[2] == "child":
            while (now := master.statistics()).done < 1 or now.waiting < 1:
                await trio.sleep(0.001)
        signals.send_nowait(9)
        if sys.argv[2] == "master":
            await take()
        time.sleep(60)  # the second one is granted, and this master will not read that it was taken

trio.run(main)
"""


@pytest.mark.parametrize(("where", "again"), [("child", [9]), ("master", [])])
async def test_what_a_wait_had_returned_when_the_master_was_killed(
    tmp_path: Path, where: str, again: list[int]
) -> None:
    """In a child, the last one may be returned once more, none before it; in the master, none."""
    with life(TAKES_AND_IS_KILLED, tmp_path / "journal", where) as program:
        assert [await line_of(program), await line_of(program)] == ["8", "9"]
        assert program.wait(SOON) == -signal.SIGKILL
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal") as master:
        assert master.statistics().accepted == len(again)
        assert await received(signals, len(again)) == again


async def test_handlers_that_are_registered_later_find_nothing_pending(tmp_path: Path) -> None:
    """What is pending for a number that has no handler yet when its process is ready waits for `wait`."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal") as master:
        signals.register(5, "worker1", lambda _signum: None)
        await master.cheap(1)
        await signals.send(5)
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal"):
        assert await received(signals, 1) == [5]


KILLS_ITS_PROCESS_THEN_ITS_MASTER = (
    """
import os, signal, sys, trio, trisig

signals = trisig.Signals()

@signals.handler(1, target="worker1")
def note(signum):
    with open(sys.argv[2], "a") as file:
        file.write("x")
    starts = os.path.getsize(sys.argv[2])
    os.kill(os.getppid() if starts == 3 else os.getpid(), signal.SIGKILL)
    while True:
        signal.pause()
"""
    + RAISES_ONE
)


async def test_attempts_are_counted_anew_by_the_next_master(tmp_path: Path) -> None:
    """`max_attempts` counts deaths under one master; a death of the master is held against no handler."""
    log = tmp_path / "log"
    with life(KILLS_ITS_PROCESS_THEN_ITS_MASTER, tmp_path / "journal", log) as program:
        assert program.wait(SOON) == -signal.SIGKILL
    signals = trisig.Signals()

    def fail_twice(_signum: int) -> None:
        with log.open("a") as file:
            file.write("x")
        if log.stat().st_size < 6:
            os.kill(os.getpid(), signal.SIGKILL)

    signals.register(1, "worker1", fail_twice)
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal", max_attempts=3) as master:
        await eventually(lambda: master.statistics().done)
    assert (master.statistics().dead_lettered, log.read_text()) == (0, "x" * 6)


# Another topology


async def test_signals_for_a_slot_that_is_gone_are_routed_anew(tmp_path: Path) -> None:
    """Signals that were queued for a worker which the next topology lacks go where the table says then."""
    signals = trisig.Signals()
    hits = words()

    def hit(_signum: int) -> None:
        hits[trisig.current_process().number] += 1

    signals.register(4, "worker2", hit)
    async with trisig.open_master(signals, workers=2, journal=tmp_path / "journal") as master:
        await master.cheap(2)
        await signals.send(4)
    signals.unregister(4)
    signals.register(4, "worker1", hit)
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal"):
        pass
    assert list(hits[:3]) == [0, 1, 0]


async def test_a_signal_for_all_runs_once_in_each_though_they_are_fewer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was left for a worker that there is no more is dropped and told: the others have had their own."""
    signals = trisig.Signals()
    hits = words()

    def hit(_signum: int) -> None:
        hits[trisig.current_process().number] += 1

    signals.register(4, "workers", hit)
    async with trisig.open_master(signals, workers=3, journal=tmp_path / "journal") as master:
        await master.cheap(3)
        await signals.send(4)
        await eventually(lambda: sum(hits[1:3]) == 2)
        await master.cheap(2)
        await signals.send(4)
    assert master.statistics().queued == 3
    async with trisig.open_master(signals, workers=2, journal=tmp_path / "journal") as master:
        assert master.statistics().accepted == 1
    assert list(hits[1:4]) == [2, 2, 0]
    assert "dropped 2 broadcast signals queued for worker3, which no longer exists" in caplog.text


def test_which_signals_are_copies() -> None:
    """Those in the queue of one process whose target is all of its kind; not those of a pool, or of another kind."""
    for target in ("workers", "active-workers"):
        assert is_copy(parse(target), "worker3")
        assert not is_copy(parse(target), "worker")
        assert not is_copy(parse(target), "mule3")
    assert is_copy(parse("mules"), "mule1")
    assert not is_copy(parse("worker3"), "worker3")
    assert not is_copy(parse("worker"), "worker3")


def test_a_journal_of_thousands_of_queues(tmp_path: Path) -> None:
    """A batch that was accepted in part is taken back, however many queues there are."""
    names = [f"worker{number}" for number in range(3000)]
    journal = journal_at(tmp_path / "journal", names)
    ledger, first, last = Ledger(3, recorder(journal)), Queue(names[0]), Queue(names[-1])
    ledger.accept(last, b"x")
    assert journal.outboxes[0].put(ord("y"))
    journal.begin(0)
    ledger.accept(first, b"y")
    ledger.accept(last, b"y")
    journal.publish()
    assert left_in(tmp_path / "journal") == Pending({names[-1]: b"x"}, [b"y"])
    journal.commit(0, 1)
    assert left_in(tmp_path / "journal") == Pending({names[0]: b"y", names[-1]: b"xy"}, [])
    journal.close()


# Who may use it


async def test_two_masters_on_one_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second master on a journal in use is refused at once, by whatever path, and the first goes on."""
    first, second = trisig.Signals(), trisig.Signals()
    (tmp_path / "link").symlink_to("journal")
    async with trisig.open_master(first, workers=1, journal=tmp_path / "journal"):
        monkeypatch.setattr(journaling, "open_journal", partial(open_journal, patience_s=600))  # but not for a master
        for path in ("journal", "link"):
            with trio.fail_after(SOON), pytest.raises(trio.BusyResourceError, match="another master is using it"):
                async with trisig.open_master(second, workers=1, journal=tmp_path / path):
                    pass
        await first.send(1)
        assert await received(first, 1) == [1]
    assert files(tmp_path) == {"journal", "link"}


LEAVES_A_PROCESS = """
import os, subprocess, sys, time, trio, trisig

signals = trisig.Signals()

@signals.handler(1, target="worker1")
def fork(signum):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        time.sleep(60)
        os._exit(0)
    print(pid, flush=True)

@signals.handler(2, target="worker1")
def start(signum):
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    print(program.pid, flush=True)

async def main():
    async with trisig.open_master(signals, workers=1, journal=sys.argv[1]):
        await signals.send(int(sys.argv[2]))
        if sys.argv[3] == "ends":
            return
        await trio.sleep_forever()

trio.run(main)
"""
FORKS, STARTS = 1, 2


@contextmanager
def ended_by_us(pid: int) -> Iterator[None]:
    """A process that nobody else ends."""
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)


async def test_a_process_that_a_handler_has_forked_holds_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it outlives its killed master the next one is refused, which says why; then that opens."""
    monkeypatch.setattr(journaling, "open_journal", partial(open_journal, patience_s=0.5))
    with life(LEAVES_A_PROCESS, tmp_path / "journal", FORKS, "goes on") as program:
        left = int(await line_of(program))
    with (
        ended_by_us(left),
        pytest.raises(trio.BusyResourceError, match="its master has ended, but another process holds it"),
    ):
        async with trisig.open_master(trisig.Signals(), workers=1, journal=tmp_path / "journal"):
            pass
    with trio.fail_after(SOON):
        async with trisig.open_master(trisig.Signals(), workers=1, journal=tmp_path / "journal"):
            pass


@pytest.mark.parametrize(("leave", "then"), [(FORKS, "ends"), (STARTS, "goes on")], ids=["orderly end", "program"])
async def test_a_process_that_does_not_hold_the_journal(tmp_path: Path, leave: int, then: str) -> None:
    """Neither what is left after an orderly end, nor a program that a handler started, keeps the next master out."""
    with life(LEAVES_A_PROCESS, tmp_path / "journal", leave, then) as program:
        left = int(await line_of(program))
        if then == "ends":
            assert program.wait(SOON) == 0
    # As long as a process of its master holds it, the next one waits, and is refused in the end.
    with ended_by_us(left), trio.fail_after(SOON):
        async with trisig.open_master(trisig.Signals(), workers=1, journal=tmp_path / "journal"):
            pass


async def test_what_a_killed_master_left_beside_is_in_nobodys_way(tmp_path: Path) -> None:
    """A master that was killed while it opened leaves a file; the next one uses it, with the same pid or another."""
    beside, signals = tmp_path / "journal.trisig-lock", trisig.Signals()
    content = bytes(killed(tmp_path / "journal"))
    content = content[:PUBLISHED] + bytes(8) + content[PUBLISHED + 8 :]  # it had not taken its place
    for left in (content, content + bytes(SEGMENT), content[:5000], b""):
        (tmp_path / "journal").unlink()
        beside.write_bytes(left)
        async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal") as master:
            assert master.statistics().accepted == 0
            await signals.send(1)
            assert left_in(tmp_path / "journal") == Pending({"wait": b"\1"}, [])
        assert files(tmp_path) == {"journal"}


# What is no journal


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"something else entirely", "not a trisig journal"),
        (b"\0" * 20_000, "not a trisig journal"),
        (b"", "the file is empty"),
        (b"trisig journal 2" + b"\7" * 9000, "another version of trisig"),
        (b"trisig journal 5" + b"\7" * 9000, "its header is damaged"),
        (b"trisig journal 5", "its header is damaged"),
    ],
)
async def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes, why: str) -> None:
    """What is not a journal is refused with a clear error and stays as it is."""
    path = tmp_path / "precious"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"precious: .*{why}.*; move it away, or name another file"):
        async with trisig.open_master(trisig.Signals(), workers=1, journal=path):
            pass
    assert path.read_bytes() == content
    assert files(tmp_path) == {"precious"}


def make_fifo(path: Path) -> None:
    """A named pipe."""
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    """A socket that nobody listens at."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_link(path: Path) -> None:
    """A link to a named pipe."""
    make_fifo(path.with_name("fifo"))
    path.symlink_to("fifo")


async def test_a_directory_in_the_way_of_a_new_journal_is_named(tmp_path: Path) -> None:
    """And nothing of the journal is left."""
    in_the_way = tmp_path / "journal.trisig-new"
    in_the_way.mkdir()
    with pytest.raises(OSError, match=r"journal\.trisig-new is a directory: remove it"):
        async with trisig.open_master(trisig.Signals(), journal=tmp_path / "journal"):
            pass
    assert files(tmp_path) == {in_the_way.name}


@pytest.mark.parametrize("make", [make_fifo, make_socket, make_link, Path.mkdir])
async def test_what_is_not_a_regular_file_is_refused_and_left_alone(tmp_path: Path, make: Any) -> None:
    """A pipe, a socket, a directory, a link to such: refused in one line, and not replaced by a file."""
    path = tmp_path / "thing"
    make(path)
    before, kind = files(tmp_path), path.stat().st_mode
    with pytest.raises(ValueError, match="it is not a regular file; name another one") as caught:
        async with trisig.open_master(trisig.Signals(), workers=1, journal=path):
            pass
    assert "\n" not in str(caught.value)
    assert (files(tmp_path), path.stat().st_mode) == (before, kind)


async def test_a_link_stands_for_what_it_leads_to(tmp_path: Path) -> None:
    """The journal is made, and made anew, where the link leads; the link stays."""
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/journal")
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "link"):
        await signals.send(1)
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "link"):
        assert await received(signals, 1) == [1]
    assert (tmp_path / "link").is_symlink()
    assert stat.S_ISREG((tmp_path / "there" / "journal").lstat().st_mode)
    assert files(tmp_path / "there") == {"journal"}


async def test_a_journal_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A journal that cannot be made is an OSError, and nothing is left behind."""
    with pytest.raises(FileNotFoundError, match=r"^journal .*: there is no directory .*no; make it") as caught:
        async with trisig.open_master(trisig.Signals(), workers=1, journal=tmp_path / "no" / "journal"):
            pass
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize(
    ("journal", "error", "words"),
    [
        ("a\0b", ValueError, "journal is a path, .* no NUL"),
        ("", ValueError, "journal is a path, .* empty"),
        (5, TypeError, "journal is a path, not 5"),
    ],
)
async def test_a_journal_that_is_no_path(journal: Any, error: type[Exception], words: str) -> None:
    """What no file can be called is refused by the name of the argument."""
    with pytest.raises(error, match=words):
        async with trisig.open_master(trisig.Signals(), workers=1, journal=journal):
            pass


@pytest.mark.parametrize(("control", "error"), [("a\0b", ValueError), ("", ValueError), (5, TypeError)])
def test_a_control_socket_that_is_no_path(control: Any, error: type[Exception]) -> None:
    """So is a control socket that cannot be."""
    with pytest.raises(error, match="control is a path, not "):
        trisig.run(trisig.Signals(), workers=1, control=control)


async def test_a_journal_that_cannot_be_put_in_its_place(tmp_path: Path) -> None:
    """The master is not opened, nothing is left open, and the journal is what it was."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal"):
        await signals.send(7)
    before = (tmp_path / "journal").read_bytes()
    with patch.object(JournalLock, "publish", side_effect=OSError(5, "cannot")), pytest.raises(OSError, match="cannot"):
        async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal"):
            pass
    assert (tmp_path / "journal").read_bytes() == before
    assert files(tmp_path) == {"journal"}
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal"):
        assert await received(signals, 1) == [7]


# A full disk


async def test_a_journal_that_there_is_no_room_for(tmp_path: Path) -> None:
    """A journal that could not keep a signal is not opened; nothing is left behind."""
    with (
        no_file_longer_than(SEGMENT),
        pytest.raises(OSError, match=r"journal: File too large: it needs \d+ bytes beside"),
    ):
        async with trisig.open_master(trisig.Signals(), workers=1, journal=tmp_path / "journal"):
            pass
    assert files(tmp_path) == set()


async def test_a_disk_that_is_full_when_the_next_master_opens(tmp_path: Path) -> None:
    """If there is no room for all that was pending, the master is not opened, and the journal stays as it is."""
    path, names = tmp_path / "journal", [*(f"worker{number}" for number in range(1, 10)), "worker", "wait"]
    journal = journal_at(path, names, 9)
    ledger = Ledger(3, recorder(journal))
    for name in names:
        ledger.accept(Queue(name), b"x")
    journal.publish()
    journal.close()
    before = path.read_bytes()
    signals = trisig.Signals()
    with (
        no_file_longer_than(len(before) - SEGMENT),
        pytest.raises(OSError, match=r"journal: File too large: it needs \d+ bytes beside"),
    ):
        async with trisig.open_master(signals, workers=9, journal=path):
            pass
    assert path.read_bytes() == before
    assert files(tmp_path) == {"journal"}
    async with trisig.open_master(signals, workers=9, journal=path) as master:
        assert master.statistics().accepted == len(names)


async def test_a_disk_that_is_full_while_the_master_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signals go on without the journal, which is told once and counted, and with it again once there is room."""
    monkeypatch.setattr(journaling, "open_journal", partial(open_journal, retry_s=0.0))
    path, signals = tmp_path / "journal", trisig.Signals()
    for number in range(1, 11):
        signals.register(number, f"worker{number}", lambda _signum: None)
    async with trisig.open_master(signals, workers=10, journal=path) as master:
        for number in range(1, 11):
            await master.cheap(number)
        with no_file_longer_than(path.stat().st_size):
            for number in range(1, 11):
                await signals.send(number)
            await signals.send(10)
            assert master.statistics().unjournaled == 3
            assert "unjournaled 3" in status_text(asdict(master.statistics()))
            assert sorted(left_in(path).queues) == sorted(f"worker{number}" for number in range(1, 9))
            assert caplog.text.count("the journal has no room") == 1
            for number in range(1, 11):
                await master.wake(number)
            await eventually(lambda: master.statistics().done == 11)
            # The disk is still full; what is done makes room, in blocks that were filled only in part.
            for number in (9, 10):
                await master.cheap(number)
                await signals.send(number)
            assert left_in(path).queues == {"worker9": bytes((9,)), "worker10": bytes((10,))}
            assert master.statistics().unjournaled == 3
        for number in range(1, 9):
            await master.cheap(number)
            await signals.send(number)
        assert len(left_in(path)) == 10
        assert "the journal has room again; 3 signals were accepted without it" in caplog.text
        assert master.statistics().unjournaled == 3


def test_a_full_disk_is_asked_again_only_now_and_then(tmp_path: Path) -> None:
    """Some file systems take long to say no: they are not asked for every signal."""
    journal = journal_at(tmp_path / "journal", [f"mule{number}" for number in range(20)])
    journal.publish()
    ledger = Ledger(3, recorder(journal))
    with patch.object(os, "posix_fallocate", side_effect=OSError(28, "full")) as asked:
        for number in range(20):
            ledger.accept(Queue(f"mule{number}"), b"x")
    assert asked.call_count == 1
    assert journal.missed == 12
    journal.close()


def test_after_a_full_disk_all_blocks_are_used_again(tmp_path: Path) -> None:
    """Whatever an episode left half full is as good as new once it is done: nothing more is missed, or allocated."""
    journal = journal_at(tmp_path / "journal", ["a", "b"])
    journal.publish()
    ledger, queues = Ledger(3, recorder(journal)), [Queue("a"), Queue("b")]
    size = (tmp_path / "journal").stat().st_size
    with no_file_longer_than(size):
        for episode in range(3):
            for queue in queues:
                ledger.accept(queue, bytes(4 * BLOCK + 7 * episode + 5))
            assert journal.missed > 0 or not episode
            missed = journal.missed
            for queue in queues:
                while len(queue):
                    ledger.finish(queue, *queue.take(BLOCK), "worker1")
            for queue in queues:
                ledger.accept(queue, bytes(3 * BLOCK))
            assert journal.missed == missed
            for queue in queues:
                while len(queue):
                    ledger.finish(queue, *queue.take(BLOCK), "worker1")
    journal.close()


# What is in it


def written(path: Path) -> bytes:
    """The bytes of a journal with 70,000 signals in one queue, some of them done, and 3 in another."""
    journal = journal_at(path, ["worker1", "wait"])
    ledger, worker, wait = Ledger(3, recorder(journal)), Queue("worker1"), Queue("wait")
    ledger.accept(worker, bytes(range(250)) * 280)
    ledger.accept(wait, b"abc")
    start, data = worker.take(100)
    ledger.finish(worker, start, data, "worker1")
    journal.publish()
    journal.close()
    return path.read_bytes()


def test_recovery_finds_what_is_pending_in_order(tmp_path: Path) -> None:
    """What was appended and not finished is recovered, by queue and in order."""
    pending = recover(memoryview(written(tmp_path / "journal")))
    assert pending.queues == {"worker1": (bytes(range(250)) * 280)[100:], "wait": b"abc"}
    assert pending.raised == []


def test_a_batch_that_was_accepted_in_part_is_taken_back(tmp_path: Path) -> None:
    """A master killed between the queues of one batch: the batch is in the outbox still, and nowhere twice."""
    journal = journal_at(tmp_path / "journal", ["worker1", "worker2", "wait"], 2)
    ledger = Ledger(3, recorder(journal))
    ledger.accept(Queue("worker1"), b"x")
    for signum in b"pq":
        assert journal.outboxes[1].put(signum)
    journal.begin(1)
    journal.append("worker2", 0, b"pq")
    journal.publish()
    assert left_in(tmp_path / "journal") == Pending({"worker1": b"x"}, [b"pq"])
    journal.close()


def test_an_outbox_goes_round(tmp_path: Path) -> None:
    """However much a process has raised, what was not accepted is recovered in order; what was not raised is not."""
    journal = journal_at(tmp_path / "journal", ["worker1"])
    journal.publish()
    outbox = journal.outboxes[0]
    outbox._words[0] = outbox._words[1] = seal(2**32 - 3)
    for signum in b"abcdef":
        assert outbox.put(signum)
    outbox.undo()
    outbox.accepted(1)
    assert left_in(tmp_path / "journal").raised == [b"bcde"]
    journal.restart(0)
    assert left_in(tmp_path / "journal").raised == []
    journal.close()


# Damage


def killed(path: Path) -> memoryview:
    """What a master leaves that was killed while it accepted a batch, and had not read all marks of its process.

    Before that, it has buried a process that had finished as many async handlers as its list has room for.
    """
    journal = journal_at(path, ["worker1", "wait"])
    ledger, worker, wait = Ledger(3, recorder(journal)), Queue("worker1"), Queue("wait")
    memory = slot_parts(journal.shared, 0)
    memory.finished[:FINISHED] = array("Q", [finished_entry(number, DONE) for number in range(FINISHED)])
    memory.finished[FINISHED] = FINISHED
    journal.restart(0)
    memory.clear()
    lane = Lane(ledger, "worker1", memory.marks, memory.finished)
    ledger.accept(worker, b"0123456789")
    ledger.accept(wait, b"ABC")
    ledger.finish(wait, *wait.take(1), "worker1")
    lane.send(worker, 2)
    lane.send(worker, 4)
    memory.marks[0] = DONE
    memory.marks[1] = ASIDE
    lane.read_marks()
    memory.marks[2] = DONE
    memory.marks[3] = ASIDE
    memory.marks[4] = STARTED
    memory.finished[0] = finished_entry(1, DONE)
    memory.finished[FINISHED] = 1
    for signum in b"xyz":
        journal.outboxes[0].put(signum)
    journal.begin(0)
    journal.append("wait", 3, b"x")
    journal.publish()
    journal.close()
    return memoryview(bytearray(path.read_bytes()))


def losses(data: memoryview, good: Pending) -> Counter[object]:
    """What is missing in a journal, unless that is refused."""
    try:
        pending = recover(data)
    except ValueError:
        return Counter()
    return signals_of(good) - signals_of(pending)


def signals_of(pending: Pending) -> Counter[object]:
    """All of them, by where they are."""
    queues = ((name, signum) for name, queue in pending.queues.items() for signum in queue)
    return Counter([*queues, *(signum for raised in pending.raised for signum in raised)])


def unprotected(data: memoryview) -> list[range]:
    """Where damage cannot be told from what is meant: in the signals themselves, and in the marks of processes."""
    layout = read_header(data).layout
    rings = [range(layout.outbox(slot) + PAGE, layout.outbox(slot) + layout.outbox_bytes) for slot in range(2)]
    blocks = [range(at + PAGE, at + PAGE + BLOCK) for at in range(layout.segments, len(data), BLOCK_BYTES)]
    return [marks_of(layout), *rings, *blocks]


def marks_of(layout: Layout) -> range:
    """Where the marks of the only process are; the list of its finished handlers is behind them."""
    at = layout.shared + shared_memory._HEADER + shared_memory._WORDS
    return range(at, at + WINDOW)


def words_of(layout: Layout) -> Iterator[range]:
    """Whatever is in use of what is neither a signal nor a mark."""
    yield range(128)
    yield range(SEGMENTS, SEGMENTS + 8)
    yield range(layout.names, layout.names + 40)
    finished = marks_of(layout).stop
    yield range(finished, finished + 8 * 8)
    yield range(finished + 8 * (FINISHED - 1), finished + 8 * (FINISHED + 1))
    yield range(layout.in_flight_logs, layout.in_flight_logs + 16)
    yield range(layout.in_flight_logs + PAGE, layout.in_flight_logs + PAGE + 2 * IN_FLIGHT_BYTES)
    yield range(
        layout.in_flight_logs + PAGE + IN_FLIGHT_ENTRIES * IN_FLIGHT_BYTES,
        layout.in_flight_logs + PAGE + (IN_FLIGHT_ENTRIES + 1) * IN_FLIGHT_BYTES,
    )
    yield from (range(layout.outbox(slot), layout.outbox(slot) + 16) for slot in range(2))
    yield range(layout.intent, layout.intent + 8 * layout.intent_words)
    for block in range(layout.segments, layout.segments + 8 * BLOCK_BYTES, BLOCK_BYTES):
        yield range(block, block + 32)
        yield range(block + PAGE + BLOCK, block + PAGE + BLOCK + 10)


def test_a_killed_master_leaves_what_the_damage_tests_damage(tmp_path: Path) -> None:
    """The batch is in the outbox, and what its process has done is done: there is something to lose everywhere."""
    pending = recover(killed(tmp_path / "journal"))
    assert pending == Pending({"worker1": b"3456789", "wait": b"BC"}, [b"xyz"])


def test_any_bit_that_is_flipped_is_seen_or_loses_nothing(tmp_path: Path) -> None:
    """In every word that recovery goes by: the journal is refused, or all that was pending is still found."""
    data = killed(tmp_path / "journal")
    good, losing = recover(data), []
    bits = [(at, bit) for places in words_of(read_header(data).layout) for at in places for bit in range(8)]
    for at, bit in bits[FIRST - 1 :: STEP]:
        data[at] ^= 1 << bit
        if losses(data, good):
            losing.append((at, bit))
        data[at] ^= 1 << bit
    assert losing == []
    assert recover(data) == good


def test_any_bit_of_the_header_is_seen(tmp_path: Path) -> None:
    """Whatever the header says of the file, and of who wrote it, is believed only if all of it is sound."""
    data = killed(tmp_path / "journal")
    for at in range(HEADER.size + 8):
        for bit in range(8):
            data[at] ^= 1 << bit
            with pytest.raises(ValueError, match=r"header is damaged|not a trisig journal|another version"):
                read_header(data)
            data[at] ^= 1 << bit


def test_a_page_that_is_lost_is_seen_or_loses_nothing(tmp_path: Path) -> None:
    """The same for whole pages that come back as zeros."""
    data = killed(tmp_path / "journal")
    good, losing = recover(data), []
    for at in range(0, len(data), PAGE):
        if any(at in where for where in unprotected(data)):
            continue
        kept = bytes(data[at : at + PAGE])
        data[at : at + PAGE] = bytes(PAGE)
        if losses(data, good):
            losing.append(at)
        data[at : at + PAGE] = kept
    assert losing == []


@pytest.mark.parametrize("missing", [1, 1000, BLOCK_BYTES, SEGMENT - 1, SEGMENT, SEGMENT + 1])
async def test_a_journal_that_is_cut_short_is_refused_and_left_alone(tmp_path: Path, missing: int) -> None:
    """Wherever a journal ends too early, it is refused with a clear error and stays as it is."""
    path = tmp_path / "journal"
    path.write_bytes(killed(path)[:-missing])
    before = path.read_bytes()
    with pytest.raises(ValueError, match="it is cut short; move it away"):
        async with trisig.open_master(trisig.Signals(), workers=1, journal=path):
            pass
    assert path.read_bytes() == before


@pytest.mark.parametrize("flights", [3, IN_FLIGHT_ENTRIES - 1, IN_FLIGHT_ENTRIES, 2 * IN_FLIGHT_ENTRIES + 5])
def test_a_note_that_was_written_only_in_part_is_no_damage(tmp_path: Path, flights: int) -> None:
    """A master was killed while it noted a flight, or an async handler: its journal is sound, and all is found."""
    journal = journal_at(tmp_path / "journal", ["worker1"])
    journal.publish()
    ledger, queue = Ledger(3, recorder(journal)), Queue("worker1")
    memory = slot_parts(journal.shared, 0)
    lane = Lane(ledger, "worker1", memory.marks, memory.finished)
    for number in range(flights):
        ledger.accept(queue, b"d")
        lane.send(queue, 1)
        memory.marks[number % WINDOW] = DONE
        if number < flights - 2:
            lane.read_marks()
    ledger.accept(queue, b"pq")
    lane.send(queue, 1)
    good = left_in(tmp_path / "journal")
    assert good.queues == {"worker1": b"pq"}
    noted = journal.in_flight_logs[0]
    at = noted._written % IN_FLIGHT_ENTRIES * IN_FLIGHT_BYTES
    noted._ring[at : at + 12] = b"\7" * 12
    noted._table[:12] = b"\7" * 12
    assert left_in(tmp_path / "journal") == good
    noted._words[1] = seal(1)
    assert left_in(tmp_path / "journal") == good
    journal.close()


def test_a_journal_that_was_about_to_grow_is_read(tmp_path: Path) -> None:
    """A master that was killed between making room and saying so has lost nothing."""
    data = killed(tmp_path / "journal")
    assert recover(memoryview(bytes(data) + bytes(1000))) == recover(data)


@pytest.fixture(scope="module")
def damageable(tmp_path_factory: pytest.TempPathFactory) -> memoryview:
    """A journal that is not changed by any test."""
    return killed(tmp_path_factory.mktemp("journal") / "journal").toreadonly()


@settings(max_examples=100)
@given(drawn=st.data())
def test_a_damaged_journal_is_refused_or_loses_nothing(damageable: memoryview, drawn: st.DataObject) -> None:
    """Whatever happens to the bytes, recovery ends with all signals or with a ValueError, and in no other way."""
    data, good = memoryview(bytearray(damageable)), recover(damageable)
    words = st.sampled_from([at for words in words_of(read_header(data).layout) for at in words])
    anywhere = st.integers(0, len(data) - 1)
    damage = dict(drawn.draw(st.lists(st.tuples(st.one_of(words, anywhere), st.integers(0, 255)), max_size=6)))
    free = unprotected(data)
    allowed = sum(any(at in where for where in free) and data[at] != byte for at, byte in damage.items())
    for at, byte in damage.items():
        data[at] = byte
    cut = drawn.draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    assert losses(data[:cut], good).total() <= allowed
