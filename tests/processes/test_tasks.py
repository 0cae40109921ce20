"""Tasks: functions that run elsewhere, with arguments, in order with signals and counted like them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
from witness import PATIENCE, Journal, eventually, pid_of, stopped, words

import trisig


async def settled(master: trisig.Master, count: int) -> trisig.MasterStatistics:
    """The statistics once so many are done or dead-lettered."""

    def enough() -> trisig.MasterStatistics | None:
        now = master.statistics()
        return now if now.done + now.dead_lettered >= count else None

    return await eventually(enough)


@pytest.mark.parametrize("target", ["worker", "worker2", "mule", "farm_busy", "spooler"])
async def test_a_task_runs_in_its_target(target: str, tmp_path: Path) -> None:
    """Plain and async functions run once, in a process of the target, with the arguments that were sent."""
    journal, signals = Journal(tmp_path), trisig.Signals()

    @signals.task(target)
    def plain(path: str, width: int = 80) -> None:
        journal.note("plain", path, width)

    @signals.task(target)
    async def in_trio(path: str, *, exact: bool) -> None:
        await trio.lowlevel.checkpoint()
        journal.note("async", path, exact)

    async with trisig.open_master(signals, workers=2, mules=1, spoolers=1, farms={"busy": (1,)}) as master:
        await plain.send("a.png")
        await in_trio.send("b.png", exact=True)
        plain.send_nowait("c.png", width=3)
        end = await settled(master, 3)
    notes = journal.read()
    assert sorted(note[1:] for note in notes) == [
        ("async", "b.png", True),
        ("plain", "a.png", 80),
        ("plain", "c.png", 3),
    ]
    kind = {"worker2": "worker2", "farm_busy": "mule1"}.get(target, target)
    assert all(note[0].startswith(kind) for note in notes)
    assert (end.accepted, end.done, end.failed, end.signals) == (3, 3, 0, {})
    names = [f"{__name__}.test_a_task_runs_in_its_target.<locals>.{name}" for name in ("plain", "in_trio")]
    assert {name: (one.target, one.accepted, one.done) for name, one in end.tasks.items()} == {
        names[0]: (target, 2, 2),
        names[1]: (target, 1, 1),
    }


async def test_a_task_for_all_runs_in_each(tmp_path: Path) -> None:
    """`workers` is every worker, and the statistics count a task for each."""
    journal, signals = Journal(tmp_path), trisig.Signals()

    @signals.task("workers")
    def note(word: str) -> None:
        journal.note(word)

    async with trisig.open_master(signals, workers=3) as master:
        await note.send("hello")
        await settled(master, 3)
    assert sorted(journal.read()) == [(f"worker{number}", "hello") for number in (1, 2, 3)]


async def test_a_task_is_the_plain_function_where_it_is_called() -> None:
    """Calling it runs it here, with a master or without, and it keeps its name and documentation."""
    signals = trisig.Signals()

    @signals.task("worker")
    def double(number: int) -> int:
        """Twice as much."""
        return 2 * number

    assert (double(4), double.__name__, double.__doc__) == (8, "double", "Twice as much.")
    with pytest.raises(trisig.NoMasterError, match="send"):
        await double.send(4)


async def test_signals_and_tasks_of_one_process_stay_in_order(tmp_path: Path) -> None:
    """From the master and from a child, signal 255 and long arguments among them: they run as they were raised."""
    journal, signals = Journal(tmp_path), trisig.Signals()
    expected = list[list[object]]()

    @signals.handler(255, "mule1")
    @signals.handler(7, "mule1")
    def handle(signum: int) -> None:
        journal.note("signal", signum)

    @signals.task("mule1")
    def run(number: int, data: bytes) -> None:
        journal.note("task", number, len(data))

    def raise_all() -> None:
        for number in range(60):
            run.send_nowait(number, bytes(7000 if number % 10 == 3 else 10))
            for signum in (7, 255)[: number % 3]:
                signals.send_nowait(signum)

    @signals.task("mule2")
    def raise_there() -> None:
        raise_all()

    for number in range(60):
        expected.append(["task", number, 7000 if number % 10 == 3 else 10])
        expected += [["signal", signum] for signum in (7, 255)[: number % 3]]
    async with trisig.open_master(signals, mules=2):
        raise_all()
        await journal.until(len(expected))
        await raise_there.send()
        notes = await journal.until(2 * len(expected))
    assert [list(note[1:]) for note in notes] == 2 * expected


async def test_threads_may_send_tasks(tmp_path: Path) -> None:
    """`send_nowait` works in any thread of the master and of a child, with short and long arguments."""
    journal, signals = Journal(tmp_path), trisig.Signals()

    @signals.task("worker")
    def note(word: str, data: bytes) -> None:
        journal.note(word, len(data))

    def in_threads(word: str) -> None:
        def send_all(name: str) -> None:
            for number in range(20):
                note.send_nowait(name, bytes(100_000 if number % 7 == 0 else 10))

        threads = [threading.Thread(target=send_all, args=(f"{word}{k}",)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @signals.task("mule")
    def there() -> None:
        in_threads("child")

    async with trisig.open_master(signals, workers=2, mules=1):
        await trio.to_thread.run_sync(in_threads, "master")
        await there.send()
        notes = await journal.until(160)
    counts = Counter(note[1] for note in notes)
    assert counts == {f"{word}{k}": 20 for word in ("master", "child") for k in range(4)}
    assert sum(note[2] for note in notes) == 8 * (3 * 100_000 + 17 * 10)


async def test_a_task_that_raises_is_logged_and_counted(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Its process goes on, and the next task runs."""
    journal, signals = Journal(tmp_path), trisig.Signals()

    @signals.task("mule")
    def fail(fine: bool) -> None:  # noqa: FBT001  it is what is sent
        if not fine:
            raise LookupError("not there")
        journal.note("fine")

    async with trisig.open_master(signals, mules=1) as master:
        await fail.send(False)
        await fail.send(True)
        end = await settled(master, 2)
    assert (end.done, end.failed, end.tasks[fail.name].failed) == (2, 1, 1)
    assert [note[:2] for note in journal.read()] == [("mule1", "fine")]


async def test_a_task_whose_process_dies_runs_again(tmp_path: Path) -> None:
    """It keeps its arguments and its place, and what was behind it runs once."""
    journal, signals, died, all_sent = Journal(tmp_path), trisig.Signals(), words(), words()

    @signals.task("mule")
    def run(number: int, data: bytes) -> None:
        journal.note(number, len(data))
        while not all_sent[0]:
            time.sleep(0.001)
        if number == 3 and not died[0]:
            died[0] = 1
            os.kill(os.getpid(), signal.SIGKILL)

    async with trisig.open_master(signals, mules=1) as master:
        for number in range(6):
            await run.send(number, bytes(50_000 * (number % 2)))
        await eventually(lambda: master.statistics().in_flight == 6)
        all_sent[0] = 1
        end = await settled(master, 6)
    assert [note[1:] for note in journal.read()] == [(n, 50_000 * (n % 2)) for n in (0, 1, 2, 3, 3, 4, 5)]
    assert end.redelivered == 3


async def test_a_task_that_kills_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    """After `max_attempts` it is dead-lettered by its name; its neighbours are not touched."""
    signals, ran, letters = trisig.Signals(), words(), list[trisig.DeadLetter]()

    @signals.task("worker")
    def poison() -> None:
        ran[0] += 1
        os.kill(os.getpid(), signal.SIGKILL)

    @signals.task("worker")
    def harmless() -> None:
        ran[1] += 1

    async with trisig.open_master(signals, workers=1, on_dead_letter=letters.append, max_attempts=2) as master:
        for task in (harmless, poison, harmless):
            await task.send()
        end = await settled(master, 3)
    assert (ran[0], ran[1], end.dead_lettered, end.tasks[poison.name].dead_lettered) == (2, 2, 1, 1)
    assert letters == [trisig.DeadLetter(None, "worker1", 2, poison.name)]
    assert f"task {poison.name} ended its process 2 times; dead-lettered" in caplog.text


async def test_a_task_over_the_timeout_is_killed() -> None:
    """`handler_timeout` ends the process of a task that takes longer."""
    signals = trisig.Signals()

    @signals.task("mule")
    async def hang() -> None:
        await trio.sleep_forever()

    async with trisig.open_master(signals, mules=1, handler_timeout=0.3, max_attempts=1) as master:
        await hang.send()
        end = await settled(master, 1)
    assert end.dead_lettered == 1


async def test_cores_are_for_tasks_too(tmp_path: Path) -> None:
    """With `cores=3` three async tasks run at a time, and the fourth waits; the statistics name those that run."""
    signals, running = trisig.Signals(), words()

    @signals.task("mule")
    async def wait() -> None:
        running[0] += 1
        running[1] = max(running[1], running[0])
        await eventually(lambda: running[2])
        running[0] -= 1

    async with trisig.open_master(signals, mules=1, cores=3) as master:
        for _ in range(4):
            await wait.send()
        await eventually(lambda: running[0] == 3)
        await eventually(lambda: master.statistics().processes["mule1"].running_tasks == (wait.name,) * 3)
        assert master.statistics().processes["mule1"].running == ()
        running[2] = 1
        await settled(master, 4)
    assert running[1] == 3


async def test_nobody_waits_behind_a_stopped_worker(tmp_path: Path) -> None:
    """Tasks that a stopped worker was given are taken back with their arguments and run in the other one."""
    journal, signals = Journal(tmp_path), trisig.Signals()

    @signals.task("worker")
    def note(number: int, data: bytes) -> None:
        journal.note(number, len(data))

    async with trisig.open_master(signals, workers=2) as master:
        for number in range(200):  # the workers are quick now, so they are given several at a time
            await note.send(number, bytes(100))
        await journal.until(200)
        with stopped(pid_of(master.processes, "worker1")):
            for number in range(200, 230):
                await note.send(number, bytes(30_000))
            notes = await journal.until(230)
        await settled(master, 230)
    assert sorted(note[1] for note in notes) == list(range(230))
    assert {note[2] for note in notes[200:]} == {30_000}


async def test_back_pressure_counts_bytes() -> None:
    """At `max_queued_bytes` of pending arguments `send_nowait` raises WouldBlock and `send` waits; nothing is lost."""
    signals, ran = trisig.Signals(), words()

    @signals.task("mule")
    def run(data: bytes) -> None:
        ran[0] += len(data)

    async with trisig.open_master(signals, mules=1, max_queued_bytes=100_000) as master:
        with stopped(pid_of(master.processes, "mule1")):
            sent = 0
            with pytest.raises(trio.WouldBlock):
                while sent < 100:
                    run.send_nowait(bytes(10_000))
                    sent += 1
            assert sent == 10
            with trio.move_on_after(0.05) as waited:
                await run.send(bytes(10_000))
            assert waited.cancelled_caught
        with trio.fail_after(PATIENCE):
            await run.send(bytes(10_000))
        end = await settled(master, 11)
    assert (end.accepted, ran[0]) == (11, 110_000)


async def test_a_task_runs_later() -> None:
    """With `delay` and `at` not before they are due, in the order in which they are due; what is past runs at once."""
    signals, when = trisig.Signals(), words()

    @signals.task("mule")
    def run(number: int) -> None:
        when[number] = time.monotonic_ns()

    async with trisig.open_master(signals, mules=1) as master:
        begin = time.monotonic_ns()
        await run.configure(delay=0.4).send(1)
        await run.configure(at=datetime.now(UTC) + timedelta(seconds=0.2)).send(2)
        await run.configure(at=datetime(2020, 1, 1, tzinfo=UTC)).send(3)
        run.configure(delay=0.6).send_nowait(4)
        now = master.statistics()
        assert now.accepted == 4 == now.queued + now.in_flight + now.done
        await settled(master, 4)
    assert [when[number] for number in (3, 2, 1, 4)] == sorted(when[number] for number in range(1, 5))
    assert [when[number] - begin >= least * 1e6 for number, least in ((1, 400), (2, 199), (4, 600))] == [True] * 3


async def test_what_is_not_due_is_reported_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """A shutdown does not wait for it, and counts it."""
    signals = trisig.Signals()

    @signals.task("mule")
    def run() -> None: ...

    async with trisig.open_master(signals, mules=1) as master:
        await run.configure(delay=3600).send()
    end = master.statistics()
    assert (end.accepted, end.done, end.queued) == (1, 0, 1)
    assert "stopped with 1 task undelivered" in caplog.text


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"delay": -1}, ValueError),
        ({"delay": 1e10}, ValueError),
        ({"delay": float("nan")}, ValueError),
        ({"delay": "1"}, TypeError),
        ({"delay": True}, TypeError),
        ({"at": 5}, TypeError),
        ({"delay": 1, "at": datetime(2026, 1, 1, tzinfo=UTC)}, ValueError),
    ],
)
def test_a_time_that_cannot_be_is_refused(options: dict[str, object], error: type[Exception]) -> None:
    """Where it is configured."""
    signals = trisig.Signals()

    @signals.task("worker")
    def run() -> None: ...

    with pytest.raises(error):
        run.configure(**options)  # type: ignore[arg-type]  # the mistake


class Shop:
    """Has methods, which are no tasks."""

    def ship(self, number: int) -> None: ...


def test_what_is_no_function_is_refused() -> None:
    """Methods, classes, builtins, lambdas' siblings that yield: a TypeError that says what to write instead."""
    signals = trisig.Signals()

    def many() -> object:
        yield 1

    for wrong, message in (
        (Shop.ship, "is a method"),
        (Shop().ship, "a task is a function"),
        (Shop, "a task is a function"),
        (print, "a task is a function"),
        (many, "yields"),
    ):
        with pytest.raises(TypeError, match=message):
            signals.task("worker")(wrong)
    with pytest.raises(trisig.TargetError):
        signals.task("nobody")


async def test_tasks_are_declared_before_the_fork() -> None:
    """Once a master is open there is no process that would have it; two of one name could not be told apart."""
    signals = trisig.Signals()

    def run() -> None: ...

    signals.task("worker")(run)
    with pytest.raises(ValueError, match="already"):
        signals.task("mule")(run)
    async with trisig.open_master(signals):
        with pytest.raises(RuntimeError, match="before the master opens"):
            signals.task("worker")


async def test_a_target_that_the_topology_lacks_is_refused_when_the_master_opens() -> None:
    """As it is for handlers."""
    signals = trisig.Signals()

    @signals.task("worker9")
    def run() -> None: ...

    with pytest.raises(trisig.TargetError):
        async with trisig.open_master(signals, workers=2):
            pass


async def test_an_instrument_is_told_of_tasks() -> None:
    """It hears of the name and the arguments before the place is queued, and of the place as of any other."""
    signals, heard = trisig.Signals(), list[tuple[object, ...]]()

    @signals.task("mule")
    def run(number: int) -> None: ...

    class Watch(trisig.Instrument):
        def task_queued(self, destination: str, position: int, task: trisig.QueuedTask) -> None:
            heard.append(("task", destination, position, task.task, task.arguments))

        def queued(self, destination: str, position: int, signals: bytes) -> None:
            heard.append(("queued", destination, position, signals))

    async with trisig.open_master(signals, mules=1, instruments=[Watch()]):
        await run.send(5)
    assert heard == [("task", "mule1", 0, run.name, b"\x91\x05"), ("queued", "mule1", 0, b"\0")]
