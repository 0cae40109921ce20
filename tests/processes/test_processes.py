"""The children: what they begin with, what runs in them beside handlers, and what happens when one dies."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
import trio.testing
from witness import PATIENCE, Journal, Trail, eventually, logging_to, pid_of, stopped, until_equal

import trisig

# What they begin with


async def test_children_have_the_closures_of_the_master(tmp_path: Path) -> None:
    """A handler registered before the master opens runs in children with everything it closes over, locks included."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    lock, words = threading.Lock(), ["before"]

    @signals.handler(1, target="workers")
    def closure(signum: int) -> None:
        with lock:
            words.append(trisig.current_process().name)
            journal.note(words)

    async with trisig.open_master(signals, workers=2) as master:
        words.append("too late")
        await signals.send(1)
        await journal.until(2)
        os.kill(pid_of(master.processes, "worker1"), signal.SIGKILL)
        await eventually(lambda: master.statistics().processes["worker1"].respawns == 1)
        await signals.send(1)
    notes = journal.read()
    first = ["before", "worker1"], ["before", "worker2"]
    assert sorted(notes[:2]) == [("worker1", first[0]), ("worker2", first[1])]
    # The new worker1 begins where the first one did; worker2 remembers.
    assert sorted(notes[2:]) == [("worker1", first[0]), ("worker2", ["before", "worker2", "worker2"])]
    assert words == ["before", "too late"]


async def test_every_child_is_a_process_of_its_own(tmp_path: Path) -> None:
    """Handlers run in the pids that `processes` tells, children of the master, never in the master itself."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "workers", lambda signum: journal.note(os.getpid(), os.getppid()))
    async with trisig.open_master(signals, workers=3) as master:
        await signals.send(1)
        notes = await journal.until(3)
        assert {name: pid for name, pid, _ in notes} == {
            process.name: process.pid for process in master.processes if process.kind == "worker"
        }
    assert {parent for _, _, parent in notes} == {os.getpid()}


def command_of(pid: int) -> str:
    """What `ps -o comm` shows."""
    return Path(f"/proc/{pid}/comm").read_text().rstrip()


async def test_ps_and_top_show_which_child_is_which() -> None:
    """The kernel knows each child by the name that trisig gives it."""
    async with trisig.open_master(trisig.Signals(), workers=2, mules=1, spoolers=1) as master:
        shown = {process.name: command_of(process.pid) for process in master.processes[1:]}
    assert shown == {name: f"trisig:{name}" for name in ("worker1", "worker2", "mule1", "spooler1")}


# Start hooks


async def test_start_hooks_run_in_order_before_the_first_signal(tmp_path: Path) -> None:
    """Hooks, plain and async, run in the order of declaration, before services and before the first signal."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "worker", lambda signum: journal.note("signal"))
    signals.on_start()(lambda: journal.note("first"))

    @signals.service("worker1")
    async def serve(task_status: trio.TaskStatus[None]) -> None:
        await trio.lowlevel.checkpoint()
        journal.note("service")
        task_status.started()

    @signals.on_start("workers")
    async def second() -> None:
        await signals.send(1)
        await trio.sleep(0.05)
        journal.note("second")

    @signals.on_start("mules")
    def elsewhere() -> None:
        journal.note("elsewhere")

    async with trisig.open_master(signals, mules=1):
        pass
    notes = journal.read()
    assert [word for name, word in notes if name == "worker1"] == ["first", "second", "service", "signal"]
    assert [word for name, word in notes if name == "mule1"] == ["first", "elsewhere"]


async def test_start_hooks_run_in_every_new_process(tmp_path: Path) -> None:
    """A respawned and a woken child run their start hooks again."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.on_start()(lambda: journal.note(os.getpid()))
    async with trisig.open_master(signals) as master:
        os.kill(pid_of(master.processes, "worker1"), signal.SIGKILL)
        await journal.until(2)
        await eventually(lambda: master.statistics().processes["worker1"].state == "ready")
        await master.cheap(1)
        await master.wake(1)
    assert len({pid for _, pid in journal.read()}) == len(journal.read()) == 3


def test_the_decorators_return_what_they_decorate() -> None:
    """`on_start` and `service` give the function back unchanged, so they can be stacked."""
    signals = trisig.Signals()

    async def function() -> None: ...

    assert signals.on_start()(function) is function
    assert signals.service("workers")(signals.service("mules")(function)) is function


# Services


async def test_a_master_is_ready_when_its_services_have_started(tmp_path: Path) -> None:
    """A service that takes `task_status` holds up readiness until it says started; one that does not, does not."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    shown = Trail(10)

    @signals.service("worker1")
    async def slow(task_status: trio.TaskStatus[int]) -> None:
        await trio.sleep(0.1)
        journal.note("started")
        task_status.started(8080)
        await trio.sleep_forever()

    @signals.service("worker1")
    async def forever() -> None:
        shown.mark(1)
        await trio.sleep_forever()

    async with trisig.open_master(signals):
        assert journal.read() == [("worker1", "started")]
        await eventually(shown.total)


async def test_handlers_and_services_of_a_process_share_it(tmp_path: Path) -> None:
    """A service sees what a handler of its process did, and runs while handlers run."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    news: list[int] = []
    arrived = trio.Event()

    @signals.handler(1, target="worker1")
    def handle(signum: int) -> None:
        news.append(signum)
        arrived.set()

    @signals.service("workers")
    async def serve() -> None:
        await arrived.wait()
        journal.note(news)

    async with trisig.open_master(signals, workers=2):
        await signals.send(1)
        await journal.until(1)
    assert journal.read() == [("worker1", [1])]


async def test_a_service_may_end(tmp_path: Path) -> None:
    """A service that returns is over; its process goes on and runs signals."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "worker", lambda signum: journal.note("signal"))

    @signals.service("workers")
    async def brief() -> None:
        await trio.lowlevel.checkpoint()
        journal.note("over")

    async with trisig.open_master(signals) as master:
        await journal.until(1)
        await signals.send(1)
    assert journal.read() == [("worker1", "over"), ("worker1", "signal")]
    assert master.statistics().processes["worker1"].respawns == 0


async def test_services_are_cancelled_at_shutdown_and_may_clean_up(tmp_path: Path) -> None:
    """At shutdown services are cancelled first and may clean up within the grace; what they raise then is delivered."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "mule", lambda signum: journal.note("signal"))

    @signals.service("worker1")
    async def serve() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.05)
                await signals.send(1)
                journal.note("cleaned up")

    async with trisig.open_master(signals, mules=1, grace=600):
        leaves = trio.current_time()
    assert trio.current_time() - leaves < PATIENCE
    assert sorted(journal.read()) == [("mule1", "signal"), ("worker1", "cleaned up")]


async def test_a_service_that_does_not_end_costs_the_grace() -> None:
    """A service that shields itself from the end, or whose process is stopped, is cut off after the grace."""
    trail = Trail(10)
    signals = trisig.Signals()
    signals.register(1, "mule", trail.mark)

    @signals.service("workers")
    async def serve() -> None:
        if trisig.current_process().number == 1:
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()
        await trio.sleep_forever()

    with ExitStack() as held:
        async with trisig.open_master(signals, workers=2, mules=1, grace=0.3) as master:
            held.enter_context(stopped(pid_of(master.processes, "worker2")))
            await signals.send(1)
            leaves = trio.current_time()
        assert 0.25 < trio.current_time() - leaves < PATIENCE
    assert trail.of("mule1") == b"\1"


async def test_a_service_that_crashes_takes_its_process_which_is_replaced(tmp_path: Path) -> None:
    """A service that raises later ends its process with a logged traceback; a new one serves, and no signal is lost."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "worker1", lambda signum: journal.note("signal", os.getpid()))
    crash = Trail(10)

    @signals.service("worker1")
    async def fragile() -> None:
        first = not crash.total()
        journal.note("serves", os.getpid())
        if first:
            while not crash.total():  # noqa: ASYNC110  the test is another process
                await trio.sleep(0.002)
            raise LookupError("fell off")
        await trio.sleep_forever()

    with logging_to(journal):
        async with trisig.open_master(signals) as master:
            await signals.send(1)
            await journal.until(2)
            await eventually(lambda: master.statistics().done == 1)
            crash.mark(1)
            for _ in range(100):
                await signals.send(1)
            await eventually(lambda: master.statistics().done == 101)
            await eventually(lambda: master.statistics().processes["worker1"].respawns == 1)
            await eventually(lambda: sum(note[1] == "serves" for note in journal.read()) == 2)
    notes = journal.read()
    assert sum(note[1] == "signal" for note in notes) in {101, 102}
    [(_, _, message, *_)] = [note for note in notes if note[:2] == ("worker1", "ERROR")]
    assert "worker1" in message
    assert "in fragile" in message + "".join(map(str, notes))
    assert "LookupError: fell off" in message + "".join(map(str, notes))
    assert len({note[2] for note in notes if note[1] == "serves"}) == 2


# Who they are


async def test_a_process_replaced_during_the_shutdown_starts_no_services(tmp_path: Path) -> None:
    """Its handlers deliver what is queued, but what serves, and goes on raising, is not begun again."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    trail = Trail(10_000)
    signals.register(1, "worker1", trail.mark)

    @signals.service("worker1")
    async def serve() -> None:
        journal.note("serves")
        try:
            while True:
                await signals.send(1)
        finally:
            os._exit(3)

    async with trisig.open_master(signals, grace=600) as master:
        await eventually(lambda: trail.total() > 100)
        leaves = trio.current_time()
    assert trio.current_time() - leaves < PATIENCE
    end = master.statistics()
    assert (end.queued, end.in_flight, end.processes["worker1"].respawns) == (0, 0, 1)
    assert journal.read() == [("worker1", "serves")]


async def test_hooks_and_services_are_declared_before_the_fork() -> None:
    """What could have no effect any more is refused where it is written, in the master and in a child."""
    signals = trisig.Signals()

    async def declare_each() -> None:
        verbs: tuple[Callable[[], object], ...] = (signals.on_start, lambda: signals.service("workers"))
        for verb in verbs:
            with pytest.raises(RuntimeError, match="before the master opens"):
                verb()

    signals.on_start("worker1")(declare_each)
    async with trisig.open_master(signals):
        await declare_each()
    signals.service("workers")(trio.sleep_forever)


async def test_current_process_tells_who_runs(tmp_path: Path) -> None:
    """`current_process` is right in hooks, services, plain and async handlers, their tasks and threads, and here."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    def note(where: str) -> None:
        process = trisig.current_process()
        journal.note(where, process.kind, process.number, process.pid == os.getpid(), process.farms, process.name)

    async def note_later(where: str) -> None:
        await trio.lowlevel.checkpoint()
        note(where)

    signals.on_start("mule2")(lambda: note("hook"))

    @signals.service("mule2")
    async def serve(task_status: trio.TaskStatus[None]) -> None:
        await note_later("service")
        task_status.started()

    @signals.handler(1, target="mule2")
    def plain(signum: int) -> None:
        note("handler")
        thread = threading.Thread(target=note, args=("plain thread",))
        thread.start()
        thread.join()

    @signals.handler(2, target="mule2")
    async def patient(signum: int) -> None:
        await note_later("async handler")
        async with trio.open_nursery() as nursery:
            for where in ("task", "other task"):
                nursery.start_soon(note_later, where)
        await trio.to_thread.run_sync(note, "thread")

    assert trisig.current_process() == trisig.ProcessInfo("master", 0, os.getpid())
    async with trisig.open_master(signals, mules=2, farms={"busy": (2,), "all": (1, 2)}) as master:
        assert trisig.current_process() == master.processes[0]
        assert await trio.to_thread.run_sync(trisig.current_process) == master.processes[0]
        await signals.send(1)
        await signals.send(2)
    assert trisig.current_process() == trisig.ProcessInfo("master", 0, os.getpid())
    told = {where: tuple(words) for _, where, *words in journal.read()}
    places = ("hook", "service", "handler", "plain thread", "async handler", "task", "other task", "thread")
    assert told == dict.fromkeys(places, ("mule", 2, True, ["busy", "all"], "mule2"))


# When one dies


async def test_what_a_killed_process_had_not_finished_is_run_by_its_successor() -> None:
    """SIGKILL in the middle of 2,000 signals: all are run, in order, and only the one that was running twice."""
    trail = Trail(10_000)
    signals = trisig.Signals()
    deaths = (200, 700, 1500)

    def run(signum: int) -> None:
        trail.mark(signum)
        while trail.total() in deaths:
            time.sleep(1)  # until it is killed

    for signum in range(200):
        signals.register(signum, "mule", run)
    sent = bytes(range(200)) * 10
    async with trisig.open_master(signals, mules=1, grace=60) as master:
        for signum in sent:
            signals.send_nowait(signum)
        for kills, place in enumerate(deaths, 1):
            await until_equal(trail.total, place)
            os.kill(pid_of(master.processes, "mule1"), signal.SIGKILL)
            await until_equal(lambda: master.statistics().processes["mule1"].respawns, kills)
        await eventually(lambda: master.statistics().done == len(sent))
    # Each death adds one that was run twice, side by side, and moves the later ones by one place.
    places = [place - 1 - earlier for earlier, place in enumerate(deaths)]
    again = dict.fromkeys(places, 2)
    assert trail.of("mule1") == b"".join(bytes([one]) * again.get(place, 1) for place, one in enumerate(sent))
    assert master.statistics().dead_lettered == 0


async def test_a_signal_whose_process_was_killed_in_the_handler_is_run_again(tmp_path: Path) -> None:
    """The handler of a process that is killed while it runs is run once more, before what was raised after it."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    tries = Trail(10)

    @signals.handler(1, target="mule")
    async def interrupted(signum: int) -> None:
        tries.mark(signum)
        journal.note("begins", signum)
        if tries.total() == 1:
            await trio.sleep_forever()
        journal.note("ends", signum)

    signals.register(2, "mule", lambda signum: journal.note("ends", signum))
    async with trisig.open_master(signals, mules=1) as master:
        await signals.send(1)
        await signals.send(2)
        await journal.until(1)
        os.kill(pid_of(master.processes, "mule1"), signal.SIGKILL)
        await eventually(lambda: master.statistics().done == 2)
    assert [tuple(words) for _, *words in journal.read()] == [("begins", 1), ("begins", 1), ("ends", 1), ("ends", 2)]
    end = master.statistics()
    assert (end.accepted, end.done, end.dead_lettered) == (2, 2, 0)
    assert end.redelivered >= 1


async def test_what_a_killed_process_had_raised_is_not_lost(tmp_path: Path) -> None:
    """Every signal that a child had raised before it was killed arrives."""
    trail, journal = Trail(50_000), Journal(tmp_path)
    signals = trisig.Signals()
    signals.register(2, "mule", trail.mark)

    @signals.handler(1, target="worker1")
    def burst(signum: int) -> None:
        for _ in range(5000):
            signals.send_nowait(2)
        journal.note("raised")
        os.kill(os.getpid(), signal.SIGKILL)

    async with trisig.open_master(signals, mules=1, max_attempts=1, grace=60) as master:
        await signals.send(1)
        await eventually(lambda: master.statistics().dead_lettered == 1)
    assert journal.read() == [("worker1", "raised")]
    assert trail.of("mule1") == b"\2" * 5000


async def test_a_pool_goes_on_without_its_killed_member() -> None:
    """What a killed worker held for "any worker" is run by the other one, each signal at least once."""
    trail = Trail(20_000)
    signals = trisig.Signals()
    for signum in range(200):
        signals.register(signum, "worker", trail.mark)
    async with trisig.open_master(signals, workers=2, grace=60) as master:
        with stopped(pid_of(master.processes, "worker2")):
            for signum in bytes(range(200)) * 5:
                signals.send_nowait(signum)
            os.kill(pid_of(master.processes, "worker2"), signal.SIGKILL)
        await eventually(lambda: master.statistics().done == 1000)
        await eventually(lambda: master.statistics().processes["worker2"].respawns == 1)
    counts = [(trail.of("worker1") + trail.of("worker2")).count(signum) for signum in range(200)]
    assert min(counts) == 5
    assert sum(counts) <= 1001


async def test_sigterm_lets_a_process_finish_its_handler(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever sends it, to one process or to all: what runs ends as it should, what waits runs in the next process."""
    caplog.set_level("INFO", "trisig")
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="workers")
    async def slow(signum: int) -> None:
        journal.note("begins", os.getpid())
        await eventually((tmp_path / "go").exists)
        for _ in range(3):
            await trio.lowlevel.checkpoint()  # the process reads that it shall leave
        journal.note("ends", os.getpid())

    async with trisig.open_master(signals, workers=2) as master:
        for _ in range(2):
            await signals.send(1)
        before = await journal.until(2)
        for process in master.processes[1:]:
            os.kill(process.pid, signal.SIGTERM)
        await eventually(lambda: caplog.text.count("got SIGTERM") == 2)
        await trio.testing.wait_all_tasks_blocked()  # they have been asked to leave
        (tmp_path / "go").touch()
        await eventually(lambda: master.statistics().done == 4)
        assert [process.respawns for process in master.statistics().processes.values()] == [1, 1]
    begun = [(name, pid) for name, what, pid in journal.read() if what == "begins"]
    assert sorted(begun) == sorted((name, pid) for name, what, pid in journal.read() if what == "ends")
    assert len(set(begun)) == 4
    assert {pid for _, _, pid in before} <= {pid for _, pid in begun}


@pytest.mark.parametrize("plain", [True, False])
async def test_a_unix_signal_reaches_a_handler_that_computes(tmp_path: Path, *, plain: bool) -> None:
    """Whoever sends it, the Python function for it runs at once, though the handler never waits for the system."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    def compute() -> None:
        arrived: list[int] = []
        signal.signal(signal.SIGALRM, lambda number, _: arrived.append(number))
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        give_up = time.monotonic() + PATIENCE / 2
        while not arrived and time.monotonic() < give_up:
            pass
        in_time = time.monotonic() < give_up
        journal.note(in_time)

    @signals.handler(1, target="worker1")
    def block(signum: int) -> None:
        compute()

    @signals.handler(2, target="worker1")
    async def go_on(signum: int) -> None:
        compute()

    async with trisig.open_master(signals):
        await signals.send(1 if plain else 2)
    assert journal.read() == [("worker1", True)]


async def test_sigterm_to_the_whole_tree_is_an_orderly_end(tmp_path: Path) -> None:
    """As a supervisor sends it: children that leave at once are replaced until everything is delivered."""
    trail, signals = Trail(1000), trisig.Signals()

    @signals.handler(1, target="workers")
    def slow(signum: int) -> None:
        time.sleep(0.01)
        trail.mark(signum)

    async with trisig.open_master(signals, workers=2, grace=30) as master:
        for _ in range(50):
            await signals.send(1)
        for process in master.processes[1:]:
            os.kill(process.pid, signal.SIGTERM)
    assert trail.of("worker1") == trail.of("worker2") == b"\1" * 50
    assert master.statistics().done == 100


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGKILL])
async def test_a_process_that_is_killed_is_replaced_and_the_log_says_how(
    number: signal.Signals, tmp_path: Path
) -> None:
    """Whatever unix signal ends a child, a new one takes its place with the same name, and the log has a line."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "spooler1", lambda signum: None)
    with logging_to(journal):
        async with trisig.open_master(signals, spoolers=1) as master:
            old = pid_of(master.processes, "spooler1")
            await signals.send(1)
            await eventually(lambda: master.statistics().done == 1)
            os.kill(old, number)
            await eventually(lambda: master.statistics().processes["spooler1"].respawns == 1)
            await signals.send(1)
            await eventually(lambda: master.statistics().done == 2)
            assert pid_of(master.processes, "spooler1") != old
    said = [note[2] for note in journal.read() if note[0] == "master"]
    assert any("spooler1" in line and (number.name in line or f"signal {number}" in line) for line in said), said


async def test_interrupts_from_the_terminal_do_not_reach_the_children() -> None:
    """SIGINT, which a terminal sends to everybody, does not end a child."""
    async with trisig.open_master(trisig.Signals(), workers=1, mules=1) as master:
        before = master.processes
        for process in before[1:]:
            os.kill(process.pid, signal.SIGINT)
        await trio.sleep(0.05)
        assert master.processes == before
