"""Tasks and dead letters survive the master: what a journal keeps of them at every moment, and what comes back."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import trio
from bytecode import codes_of
from journal_tools import journal_at, left_in, life, recorder
from steps import at_every_step
from witness import Journal, eventually, pid_of, stopped

import trisig
from trisig._journal.block import Block
from trisig._journal.blocks import Blocks
from trisig._journal.journal import Journal as JournalFile
from trisig._journal.parcels import Crate, Parcels
from trisig._journal.recorder import JournalRecorder
from trisig._journal.recovery import Pending
from trisig._model.invocation import Invocation
from trisig._model.ledger import Ledger
from trisig._model.queue import Queue

WRITERS = (JournalRecorder, JournalFile, Blocks, Block, Crate, Parcels)
NAMES = ["worker1", "later", "dead"]
Steps = Callable[[Ledger, Queue, Queue], object]


def kept_by(pending: Pending) -> list[tuple[str, str, int]]:
    """What is pending: where, which task, and how long its arguments are."""
    tasks = [(name, task.task, len(task.arguments)) for name, place in pending.tasks.items() for task in place.values()]
    assert sum(map(len, pending.queues.values())) == len(tasks), "a task without its arguments would be a signal"
    return tasks + [("dead", str(letter.task), len(letter.arguments)) for letter in pending.letters]


def give_up(ledger: Ledger, queue: Queue, _: Queue) -> None:
    """Its only attempt was one too many."""
    position, data = queue.take(1)
    assert ledger.blame(queue, position, data[0]) is not None


def finish(ledger: Ledger, queue: Queue, _: Queue) -> None:
    """It has run."""
    position, data = queue.take(1)
    ledger.finish(queue, position, data, "worker1")


def fall_due(ledger: Ledger, queue: Queue, later: Queue) -> None:
    """It moves on to the queue of its destination."""
    position, data = later.take(1)
    ledger.move(later, position, data, queue)


def requeue(ledger: Ledger, queue: Queue, _: Queue) -> None:
    """It gets another chance."""
    ledger.requeue(next(iter(ledger.letters)), queue)


def queue_one(size: int) -> Steps:
    """A task with long arguments, or short ones."""
    return lambda ledger, queue, _: ledger.accept_tasks(queue, [Invocation(0, bytes(size))])


LIVES: dict[str, tuple[list[Steps], Steps, list[tuple[str, str, int]], list[tuple[str, str, int]]]] = {
    "queued": ([], queue_one(9), [], [("worker1", "t", 9)]),
    "queued in pieces": ([], queue_one(300_000), [], [("worker1", "t", 300_000)]),
    "finished": ([queue_one(9)], finish, [("worker1", "t", 9)], []),
    "finished in pieces": ([queue_one(300_000)], finish, [("worker1", "t", 300_000)], []),
    "given up": ([queue_one(9)], give_up, [("worker1", "t", 9)], [("dead", "t", 9)]),
    "requeued": ([queue_one(9), give_up], requeue, [("dead", "t", 9)], [("worker1", "t", 9)]),
    "dropped": (
        [queue_one(300_000), give_up],
        lambda ledger, _queue, _later: ledger.forget(next(iter(ledger.letters))),
        [("dead", "t", 300_000)],
        [],
    ),
    "due": (
        [lambda ledger, _, later: ledger.accept_tasks(later, [Invocation(0, b"123")], 5.0, "worker1")],
        fall_due,
        [("later", "t", 3)],
        [("worker1", "t", 3)],
    ),
}


@pytest.mark.sweep
@pytest.mark.parametrize("life_of", LIVES)
def test_a_master_may_be_killed_at_any_step_of_a_task(life_of: str, tmp_path: Path) -> None:
    """Between any two bytecodes the journal holds the task as it was before the step, or as it is after it."""
    before, step, first, last = LIVES[life_of]
    journal = journal_at(tmp_path / "journal", NAMES)
    ledger, queue, later = Ledger(1, recorder(journal), ["t"]), Queue("worker1"), Queue("later", shared=True)
    seen = list[list[tuple[str, str, int]]]()

    def look() -> None:
        seen.append(kept_by(left_in(journal._lock.name)))

    with closing(journal):
        for one in before:
            one(ledger, queue, later)
        look()
        with at_every_step(codes_of(*WRITERS), look):
            step(ledger, queue, later)
        look()
    assert (seen[0], seen[-1]) == (first, last)
    change = seen.index(last)
    assert len(seen) > 50
    assert seen == [first] * change + [last] * (len(seen) - change)


@pytest.mark.sweep
def test_the_sweep_sees_a_place_without_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sweep with a journal that takes the place first."""
    kept = list[tuple[JournalFile, str, int, bytes]]()
    append = JournalFile.append

    def keep_later(journal: JournalFile, name: str, position: int, content: bytes) -> bool:
        kept.append((journal, name, position, content))
        return True

    def append_first(journal: JournalFile, name: str, start: int, data: bytes) -> None:
        append(journal, name, start, data)
        for _, queue, position, content in kept:
            journal._blocks.parcels.keep(journal._queues[queue], position, content)

    monkeypatch.setattr(JournalFile, "keep", keep_later)
    monkeypatch.setattr(JournalFile, "append", append_first)
    with pytest.raises(AssertionError, match="would be a signal"):
        test_a_master_may_be_killed_at_any_step_of_a_task("queued", tmp_path)


def test_a_task_that_waits_for_long_keeps_no_block_for_itself(tmp_path: Path) -> None:
    """While many come and go, the few that stay move on: the journal does not grow, and has them all."""
    journal = journal_at(tmp_path / "journal", NAMES)
    ledger, queue, later = Ledger(1, recorder(journal), ["t"]), Queue("worker1"), Queue("later", shared=True)
    for number in range(400):
        if number % 10 == 0:
            ledger.accept_tasks(later, [Invocation(0, bytes(1 + number))], 5.0, "worker1")
        queue_one(30_000)(ledger, queue, later)
        finish(ledger, queue, later)
    assert kept_by(left_in(journal._lock.name)) == [("later", "t", 1 + number) for number in range(0, 400, 10)]
    assert os.fstat(journal._lock.fd).st_size < 3_500_000
    journal.close()


async def test_the_next_master_runs_what_was_pending(tmp_path: Path) -> None:
    """Queued tasks in order with signals, long ones, delayed ones and what was given up are there again."""
    notes, signals = Journal(tmp_path), trisig.Signals()

    @signals.task("mule")
    def run(number: int, data: bytes) -> None:
        notes.note("task", number, len(data))

    @signals.task("worker")
    def poison(text: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @signals.handler(9, "mule")
    def handle(signum: int) -> None:
        notes.note("signal", signum, 0)

    path, copy = tmp_path / "kept", tmp_path / "copy"
    async with trisig.open_master(signals, mules=1, journal=path, max_attempts=1) as master:
        await poison.send("x")
        await eventually(lambda: master.statistics().dead_lettered == 1)
        (letter,) = await master.dead_letters.list()
        with stopped(pid_of(master.processes, "mule1")):
            for number, size in enumerate((0, 100, 700_000)):
                await run.send(number, bytes(size))
                await signals.send(9)
            await run.configure(delay=0.3).send(7, b"later")
            shutil.copy(path, copy)  # what a kill would leave now
            assert master.statistics().unjournaled == 0
    before = len(notes.read())
    async with trisig.open_master(signals, mules=1, journal=copy, max_attempts=1) as master:
        await eventually(lambda: len(notes.read()) == before + 7)
        assert (await master.dead_letters.list()) == (letter,)
        assert (await master.dead_letters.list())[0].arguments == letter.arguments
        await eventually(lambda: not (master.statistics().queued or master.statistics().in_flight))
        now = master.statistics()
    assert [note[1:] for note in notes.read()[before:]] == [
        *(("task", 0, 0), ("signal", 9, 0), ("task", 1, 100), ("signal", 9, 0), ("task", 2, 700_000)),
        *(("signal", 9, 0), ("task", 7, 5)),
    ]
    assert (now.accepted, now.done, now.dead_lettered) == (8, 7, 1)


async def test_a_task_that_the_next_application_lacks_is_a_dead_letter(tmp_path: Path) -> None:
    """It is kept with its arguments and the reason, and cannot be requeued; one for another mule finds a new place."""
    signals, other, notes = trisig.Signals(), trisig.Signals(), Journal(tmp_path)
    path, copy = tmp_path / "kept", tmp_path / "copy"

    @signals.task("mule2")
    def gone(text: str) -> None: ...

    @signals.task("mule")
    def moves() -> None: ...

    async with trisig.open_master(signals, mules=2, journal=path) as master:
        with stopped(pid_of(master.processes, "mule1")), stopped(pid_of(master.processes, "mule2")):
            await gone.send("x")
            await moves.send()
            shutil.copy(path, copy)

    def moves_here() -> None:
        notes.note("moved")

    moves_here.__qualname__ = moves.name.removeprefix(f"{__name__}.")
    other.task("mule")(moves_here)
    async with trisig.open_master(other, mules=1, journal=copy) as master:
        (letter,) = await master.dead_letters.list()
        assert (letter.task, letter.destination, letter.reason) == (gone.name, "mule2", "no such task")
        with pytest.raises(ValueError, match="there is no task"):
            await master.dead_letters.requeue(letter.id)
        await eventually(notes.read)


MASTER = """
import sys, trio, trisig
from pathlib import Path
signals = trisig.Signals()
directory, count = Path(sys.argv[1]), int(sys.argv[2])

@signals.task("worker")
def run(number: int, data: bytes) -> None:
    with (directory / "ran").open("a") as file:
        file.write(f"{number} {len(data)}\\n")

@signals.service("mule1")
async def send() -> None:
    for number in range(count):
        if number % 5:
            await run.send(number, bytes(number * 50))
        else:
            run.send_nowait(number, bytes(number * 50))
        with (directory / "sent").open("a") as file:
            file.write(f"{number}\\n")

async def main():
    async with trisig.open_master(signals, mules=1, journal=directory / "journal") as master:
        if count:
            await trio.sleep_forever()
        while master.statistics().queued + master.statistics().in_flight:
            await trio.sleep(0.01)

trio.run(main)
"""


async def test_what_was_sent_runs_though_the_master_is_killed(tmp_path: Path) -> None:
    """A mule's `send` and `send_nowait` have returned: what they sent runs once the next master is there."""
    sent, ran = tmp_path / "sent", tmp_path / "ran"
    await trio.to_thread.run_sync(_kill_a_master, tmp_path)
    numbers = {int(line) for line in sent.read_text().splitlines()}
    assert numbers
    await trio.run_process([sys.executable, "-c", MASTER, str(tmp_path), "0"])
    lines = ran.read_text().splitlines()
    assert {int(line.split()[0]) for line in lines} >= numbers
    assert all(int(size) == 50 * int(number) for number, size in map(str.split, lines))


def _kill_a_master(directory: Path) -> None:
    with life(MASTER, directory, 100_000) as program:
        while not (directory / "ran").exists() or len((directory / "ran").read_text().splitlines()) < 100:
            time.sleep(0.01)
        program.kill()
        program.wait()
