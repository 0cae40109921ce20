"""The journal: what was accepted survives the master, and nothing else is ever taken for a journal."""

import mmap
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import trisig
from trisig._journal import Journal
from trisig._ledger import Ledger, Queue
from trisig._recovery import recover
from trisig._shared import shared_bytes

APP = Path(__file__).parent / "apps" / "journaled.py"
KINDS = 200


def make_tally(path: Path) -> Path:
    """A tally that counts nothing yet."""
    path.write_bytes(bytes(8 * 256 * 3))
    return path


def read_tally(path: Path) -> tuple[int, list[int]]:
    """How many signals were raised, and how often each number was handled."""
    words = memoryview(path.read_bytes()).cast("Q")
    return words[0], [words[256 + k] + words[512 + k] for k in range(KINDS)]


@contextmanager
def life(tmp_path: Path, count: int) -> Iterator[subprocess.Popen[str]]:
    """One life of the application, killed at the end of the block if it still runs."""
    arguments = [sys.executable, str(APP), str(tmp_path / "journal"), str(tmp_path / "tally"), str(count)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as app:
        try:
            assert app.stdout is not None
            assert app.stdout.readline() == "ready\n", app.stderr and app.stderr.read()
            yield app
        finally:
            app.kill()


def run_with_kills(tmp_path: Path, count: int, kills: int, seed: int) -> tuple[int, int]:
    """(lost, repeated) by signal number, over several lives."""
    random.seed(seed)
    tally = make_tally(tmp_path / "tally")
    for _ in range(kills):
        with life(tmp_path, count) as app:
            try:
                app.wait(random.uniform(0.01, 0.25))
            except subprocess.TimeoutExpired:
                os.kill(app.pid, signal.SIGKILL)
    with life(tmp_path, count) as app:
        assert app.wait(60) == 0, app.stderr and app.stderr.read()
    raised, handled = read_tally(tally)
    assert raised == count
    wanted = [count // KINDS + (k < count % KINDS) for k in range(KINDS)]
    lost = sum(max(0, want - have) for want, have in zip(wanted, handled, strict=True))
    return lost, sum(max(0, have - want) for want, have in zip(wanted, handled, strict=True))


def test_nothing_accepted_is_lost_when_masters_are_killed(tmp_path: Path) -> None:
    """Signals that were accepted are handled although the master is killed again and again, and few are repeated."""
    kills = 12
    lost, repeated = run_with_kills(tmp_path, 30_000, kills, seed=7)
    assert lost == 0
    # A handler that ran in each worker, one raise that had not returned, and what was just being retired.
    assert repeated <= 6 * kills


def test_without_the_journal_of_the_life_before_signals_are_lost(tmp_path: Path) -> None:
    """The counting sees a loss: with a fresh journal for each life, what was queued is gone."""
    tally = make_tally(tmp_path / "tally")
    lost = 0
    for _ in range(20):
        with life(tmp_path, 10_000_000) as app:
            with pytest.raises(subprocess.TimeoutExpired):
                app.wait(0.1)
            os.kill(app.pid, signal.SIGSTOP)
            app.kill()
        raised, handled = read_tally(tally)
        lost += max(0, raised - sum(handled))
        (tmp_path / "journal").unlink()
        if lost:
            break
    assert lost


async def test_a_clean_end_leaves_nothing_pending(tmp_path: Path) -> None:
    """After an orderly end the journal is there, and the next master finds nothing in it."""
    signals = trisig.Signals()
    signals.register(3, "worker", lambda _signum: None)
    for _ in range(2):
        async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal") as master:
            assert master.statistics().accepted == 0
            await signals.send(3)
    assert [entry.name for entry in os.scandir(tmp_path)] == ["journal"]


async def test_what_the_grace_did_not_suffice_for_is_delivered_by_the_next_master(tmp_path: Path) -> None:
    """Signals that a shutdown left undelivered are accepted again by the next master with the same journal."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal") as master:
        for signum in (9, 8, 9):
            await signals.send(signum)  # nobody waits for them
    assert master.statistics().queued == 3
    async with trisig.open_master(signals, workers=1, journal=tmp_path / "journal"):
        assert [await signals.wait() for _ in range(3)] == [9, 8, 9]


async def test_signals_for_a_slot_that_is_gone_are_routed_anew(tmp_path: Path) -> None:
    """Signals that were queued for a worker which the next topology lacks go where the table says then."""
    signals = trisig.Signals()
    hits = memoryview(mmap.mmap(-1, 4096)).cast("Q")

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


async def test_two_masters_on_one_journal(tmp_path: Path) -> None:
    """The second master on a journal in use is refused at once, and the first goes on."""
    first, second = trisig.Signals(), trisig.Signals()
    async with trisig.open_master(first, workers=1, journal=tmp_path / "journal"):
        with trio.fail_after(2), pytest.raises(trio.BusyResourceError, match="another master is using it"):
            async with trisig.open_master(second, workers=1, journal=tmp_path / "journal"):
                pass
        await first.send(1)
        assert await first.wait() == 1


@pytest.mark.parametrize("content", [b"something else entirely", b"\0" * 20_000, b"trisig journal 1" + b"\7" * 9000])
async def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    """What is not a journal is refused with a clear error and stays as it is."""
    path = tmp_path / "precious"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"precious: .*; move it away, or name another file"):
        async with trisig.open_master(trisig.Signals(), workers=1, journal=path):
            pass
    assert path.read_bytes() == content
    assert [entry.name for entry in os.scandir(tmp_path)] == ["precious"]


async def test_a_journal_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A journal that cannot be made is an OSError, and nothing is left behind."""
    with pytest.raises(FileNotFoundError):
        async with trisig.open_master(trisig.Signals(), workers=1, journal=tmp_path / "no" / "journal"):
            pass


def written(path: Path) -> bytes:
    """The bytes of a journal with 70,000 signals in one queue, some of them done, and 3 in another."""
    journal = Journal(path, ["worker1", "wait"], 1, shared_bytes(1))
    ledger, worker, wait = Ledger(3, journal), Queue("worker1"), Queue("wait")
    ledger.accept(worker, bytes(range(250)) * 280)
    ledger.accept(wait, b"abc")
    start, data = worker.take(100)
    ledger.finish(worker, start, data)
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
    journal = Journal(tmp_path / "journal", ["worker1", "worker2", "wait"], 2, shared_bytes(2))
    ledger = Ledger(3, journal)
    ledger.accept(Queue("worker1"), b"x")
    for signum in b"pq":
        assert journal.outboxes[1].put(signum)
    journal.begin(1)
    journal.append("worker2", 0, b"pq")
    journal.publish()
    journal.close()
    pending = recover(memoryview((tmp_path / "journal").read_bytes()))
    assert (pending.queues, pending.raised) == ({"worker1": b"x"}, [b"pq"])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_journal_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever happens to the bytes, recovery ends with signals or with a ValueError, nothing else."""
    good = bytearray(written(tmp_path_factory.mktemp("journal") / "journal"))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.one_of(st.integers(0, 5000), st.integers(0, len(good) - 1)))
        good[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(good)), st.integers(0, len(good))))
    try:
        recover(memoryview(bytes(good[:cut])))
    except ValueError:
        pass
