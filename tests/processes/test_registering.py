"""The table while everything runs: registered by the master, by children, by several at once."""

import functools
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from witness import Journal, Trail, eventually, logging_to, pid_of, until_equal

import trisig


def at_module_level(signum: int) -> None:
    """Note, by the one way that a module-level function has, where it ran."""
    with Path(os.environ["TRISIG_TEST_NOTES"]).open("a") as notes:
        notes.write(f"{trisig.current_process().name} {signum}\n")


class Bound:
    """Something with a method to register."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    def handle(self, signum: int) -> None:
        self.journal.note("bound", signum)


# By the master


async def test_a_module_level_function_registered_while_the_master_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module-level function registered in the running master runs in the processes that exist already."""
    notes = tmp_path / "notes"
    monkeypatch.setenv("TRISIG_TEST_NOTES", str(notes))
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=2) as master:
        signals.register(5, "workers", at_module_level)
        assert signals.is_registered(5)
        assert master.statistics().signals[5].target == "workers"
        await signals.send(5)
    assert sorted(notes.read_text().splitlines()) == ["worker1 5", "worker2 5"]


async def test_closures_lambdas_methods_and_async_functions_registered_while_it_runs(tmp_path: Path) -> None:
    """So do closures, lambdas, bound methods and async functions, with what they close over."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    async with trisig.open_master(signals, workers=1):
        offset = 40

        def closure(signum: int) -> None:
            journal.note("closure", signum + offset)

        async def patient(signum: int) -> None:
            await trio.lowlevel.checkpoint()
            journal.note("async", signum + offset)

        async def chained(signum: int) -> None:
            await signals.send(1)

        signals.register(1, "worker", closure)
        signals.register(2, "worker", lambda signum: journal.note("lambda", signum))
        signals.register(3, "worker", Bound(journal).handle)
        signals.register(4, "worker", patient)
        signals.handler(5)(chained)
        for signum in (1, 2, 3, 4, 5):
            await signals.send(signum)
    assert [tuple(words) for _, *words in journal.read()] == [
        ("closure", 41),
        ("lambda", 2),
        ("bound", 3),
        ("async", 44),
        ("closure", 41),
    ]


async def test_a_registration_is_in_force_for_the_very_next_signal(tmp_path: Path) -> None:
    """A signal sent right after `register` is handled by every process, none has it too late."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    async with trisig.open_master(signals, workers=3) as master:
        for signum in range(100):
            signals.register(signum, "workers", journal.note)
            signals.send_nowait(signum)
    for name in ("worker1", "worker2", "worker3"):
        assert [signum for process, signum in journal.read() if process == name] == [*range(100)]
    assert master.statistics().done == 300


async def test_a_handler_wrapped_by_a_decorator_of_another_module_has_the_globals_of_its_own(tmp_path: Path) -> None:
    """`functools.wraps` changes what a function says of its module, and not where it looks for names."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @functools.wraps(textwrap.dedent)
    def wrapped(signum: int) -> None:
        journal.note(at_module_level.__name__, signum)

    async with trisig.open_master(signals, workers=1):
        signals.register(5, "worker", wrapped)
        await signals.send(5)
        assert await journal.until(1) == [("worker1", "at_module_level", 5)]


async def test_a_handler_with_globals_of_no_module_is_refused(tmp_path: Path) -> None:
    """Over there it would have others, or none."""
    scope: dict[str, Any] = {}
    exec("def handler(signum): pass", scope)
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=1):
        with pytest.raises(TypeError, match="globals of its own"):
            signals.register(5, "worker", scope["handler"])
        assert not signals.is_registered(5)


async def test_a_number_registered_anew_runs_the_new_handler(tmp_path: Path) -> None:
    """After `unregister`, what was sent is still delivered, and a new registration has the new handler and target."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "worker1", lambda signum: journal.note("old"))
    async with trisig.open_master(signals, workers=2):
        await signals.send(1)
        await journal.until(1)
        signals.unregister(1)
        assert not signals.is_registered(1)
        signals.register(1, "worker2", lambda signum: journal.note("new"))
        await signals.send(1)
    assert journal.read() == [("worker1", "old"), ("worker2", "new")]


async def test_what_was_queued_when_it_was_unregistered_is_still_delivered() -> None:
    """1,000 signals raised before `unregister` all run their handler."""
    trail = Trail(2000)
    signals = trisig.Signals()
    signals.register(1, "mule", trail.mark)
    async with trisig.open_master(signals, mules=1) as master:
        for _ in range(1000):
            signals.send_nowait(1)
        signals.unregister(1)
    assert trail.of("mule1") == b"\1" * 1000
    assert master.statistics().done == 1000


async def test_late_handlers_reach_processes_that_are_made_later(tmp_path: Path) -> None:
    """A respawned or woken worker has the handlers that were registered while the master ran."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    async with trisig.open_master(signals, workers=2) as master:
        signals.register(1, "workers", lambda signum: journal.note("late"))
        await master.cheap(2)
        await master.wake(2)
        os.kill(pid_of(master.processes, "worker1"), signal.SIGKILL)
        await eventually(lambda: master.statistics().processes["worker1"].respawns == 1)
        await signals.send(1)
    assert sorted(journal.read()) == [("worker1", "late"), ("worker2", "late")]


async def test_a_handler_larger_than_a_message_travels(tmp_path: Path) -> None:
    """What a late handler closes over may be large, and there may be many: running and new processes have them all."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    ballast = "x" * 400_000
    async with trisig.open_master(signals) as master:
        signals.register(0, "workers", lambda signum: journal.note(signum, len(ballast)))

        def large(signum: int, word: str = "y" * 1000) -> None:
            journal.note(signum, len(word))

        for number in range(1, 256):
            signals.register(number, "workers", large)
        signals.send_nowait(0)
        await eventually(lambda: master.statistics().done == 1)
        os.kill(pid_of(master.processes, "worker1"), signal.SIGKILL)
        for number in range(256):
            signals.send_nowait(number)
        notes = await journal.until(257)
    assert notes[1:] == [("worker1", 0, 400_000), *(("worker1", number, 1000) for number in range(1, 256))]


def version_of_now(_signum: int) -> str:
    """What is replaced below."""
    return "at the fork"


async def test_a_function_that_has_changed_since_the_fork_is_sent_as_it_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler is its code, not its name: a module-level function that was defined anew runs as it is now."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    module = sys.modules[__name__]
    async with trisig.open_master(signals):

        def version_of_now(signum: int) -> None:
            journal.note("now")

        version_of_now.__qualname__ = "version_of_now"
        monkeypatch.setattr(module, "version_of_now", version_of_now)
        signals.register(1, "worker", version_of_now)
        await signals.send(1)
    assert journal.read() == [("worker1", "now")]


async def test_what_exists_only_here_cannot_be_sent() -> None:
    """A handler that holds a lock or a socket is TypeError when registered late, and nothing is registered."""
    signals = trisig.Signals()
    lock = threading.Lock()
    with socket.socket() as endpoint:
        holding: list[Any] = [
            lambda signum: lock.locked(),
            lambda signum: endpoint.fileno(),
            lambda signum, held=lock: held,
            endpoint.listen,
        ]
        async with trisig.open_master(signals) as master:
            for handler in holding:
                with pytest.raises(TypeError) as caught:
                    signals.register(1, "worker", handler)
                assert "\n" not in str(caught.value)
                assert "before the master opens" in str(caught.value)
                assert not signals.is_registered(1)
            assert master.statistics().signals == {}
            signals.register(1, "worker", print)
        assert signals.is_registered(1)


async def test_what_was_registered_late_holds_for_the_next_master_too(tmp_path: Path) -> None:
    """A registration in the running master is there when the same `Signals` is opened again."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    async with trisig.open_master(signals):
        signals.register(1, "workers", journal.note)
    async with trisig.open_master(signals, workers=2):
        await signals.send(1)
    assert sorted(journal.read()) == [("worker1", 1), ("worker2", 1)]


async def test_late_mistakes_are_the_same_errors() -> None:
    """In the running master a taken number, a bad target and a bad handler are refused as before it opened."""
    signals = trisig.Signals()
    signals.register(1, "worker", print)
    async with trisig.open_master(signals):
        with pytest.raises(trisig.SignalTableError):
            signals.register(1, "worker", print)
        with pytest.raises(trisig.TargetError):
            signals.register(2, "worker9", print)
        with pytest.raises(TypeError):
            signals.register(2, "worker", 3)  # type: ignore[arg-type]  # the mistake
        with pytest.raises(trisig.SignalTableError):
            signals.unregister(2)
        assert signals.free_signum() == 0
        signals.unregister(1)
        assert not signals.is_registered(1)


# By a child


async def test_a_child_registers_for_itself(tmp_path: Path) -> None:
    """What a worker registers is in force everywhere when `register` returns, and only that worker runs it."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker2")
    def act(signum: int) -> None:
        secret = threading.Lock()  # need not be sent anywhere
        signals.register(50, "workers", lambda signum: journal.note("mine", signum, secret.locked()))
        journal.note("registered", signals.is_registered(50), signals.free_signum())

    @signals.handler(2, target="mule")
    def look(signum: int) -> None:
        journal.note("seen", signals.is_registered(50))

    async with trisig.open_master(signals, workers=3, mules=1) as master:
        await signals.send(1)
        assert await journal.until(1) == [("worker2", "registered", True, 0)]
        assert signals.is_registered(50)
        told = master.statistics().signals[50]
        assert (told.target, told.owner) == ("workers", "worker2")
        with pytest.raises(trisig.SignalTableError):
            signals.register(50, "worker", print)
        await signals.send(2)
        for _ in range(3):
            await signals.send(50)
    assert sorted(journal.read()[1:]) == [("mule1", "seen", True)] + [("worker2", "mine", 50, False)] * 3


@pytest.mark.parametrize("target", ["worker1", "worker", "workers", "mule", "mules", "farm_busy", "spooler1", ""])
async def test_only_the_owner_runs_it_whatever_the_target_says(target: str) -> None:
    """A signal registered in mule2 runs in mule2 only, once for each raise, whoever the target names."""
    trail = Trail(100)
    signals = trisig.Signals()

    @signals.on_start("mule2")
    def register() -> None:
        signals.register(9, target, trail.mark)

    async with trisig.open_master(signals, workers=2, mules=2, spoolers=1, farms={"busy": (1, 2)}):
        for _ in range(20):
            await signals.send(9)
    assert trail.of("mule2") == b"\x09" * 20
    assert trail.total() == 20


async def test_the_entry_ends_with_its_process(tmp_path: Path) -> None:
    """When the worker that registered a number dies, the number is free for everybody again."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    def act(signum: int) -> None:
        signals.register(50, "worker", lambda signum: journal.note("mine"))
        journal.note("registered")

    async with trisig.open_master(signals, workers=2) as master:
        await signals.send(1)
        await journal.until(1)
        os.kill(pid_of(master.processes, "worker1"), signal.SIGKILL)
        await eventually(lambda: not signals.is_registered(50))
        signals.register(50, "workers", lambda signum: journal.note("master's"))
        await eventually(lambda: master.statistics().processes["worker1"].state == "ready")
        await signals.send(50)
    assert sorted(journal.read()[1:]) == [("worker1", "master's"), ("worker2", "master's")]


async def test_signals_left_without_their_owner_wait_for_somebody(tmp_path: Path) -> None:
    """What was queued for an owner that died is not lost: it waits, like any unregistered signal."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    def act(signum: int) -> None:
        signals.register(50, "worker", lambda signum: os.kill(os.getpid(), signal.SIGKILL))
        journal.note("registered")

    with logging_to(journal):
        async with trisig.open_master(signals, workers=1) as master:
            await signals.send(1)
            await journal.until(1)
            for _ in range(3):
                signals.send_nowait(50)
            await eventually(lambda: master.statistics().processes["worker1"].respawns == 1)
            with trio.fail_after(10):
                assert [await signals.wait() for _ in range(3)] == [50] * 3
    end = master.statistics()
    assert (end.accepted, end.done, end.queued + end.in_flight) == (4, 4, 0)


async def test_a_cheaped_owner_gives_its_numbers_back(tmp_path: Path) -> None:
    """A worker that is cheaped ends, and its entries with it; woken, it can register them again."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.on_start("worker2")
    def own() -> None:
        signals.register(7, "worker", journal.note)

    async with trisig.open_master(signals, workers=2) as master:
        assert signals.is_registered(7)
        await master.cheap(2)
        assert not signals.is_registered(7)
        await master.wake(2)
        assert signals.is_registered(7)
        await signals.send(7)
    assert journal.read() == [("worker2", 7)]


async def test_a_child_is_told_its_mistakes(tmp_path: Path) -> None:
    """In a child every mistake is the same error with the same one line as in the master, and registers nothing."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    mistakes: list[tuple[Any, Any, Any]] = [
        (1, "worker", print),
        (2, "worker9", print),
        (2, "farm_lazy", print),
        (2, "wroker", print),
        (2, None, print),
        (2, "worker", 3),
        (256, "worker", print),
        (True, "worker", print),
    ]

    def tell() -> list[tuple[str, str]]:
        told = []
        for mistake in mistakes:
            with pytest.raises((TypeError, ValueError)) as caught:
                signals.register(*mistake)
            told.append((type(caught.value).__name__, str(caught.value)))
        with pytest.raises(trisig.SignalTableError) as refused:
            signals.unregister(2)
        return [*told, (type(refused.value).__name__, str(refused.value))]

    @signals.handler(1)
    def act(signum: int) -> None:
        journal.note(tell(), signals.is_registered(2))

    async with trisig.open_master(signals) as master:
        here = tell()
        await signals.send(1)
        [(_, there, registered)] = await journal.until(1)
        assert [tuple(line) for line in there] == here
        assert not registered
        assert list(master.statistics().signals) == [1]
    assert [name for name, _ in here] == [
        "SignalTableError",
        *["TargetError"] * 3,
        *["TypeError"] * 2,
        "ValueError",
        "TypeError",
        "SignalTableError",
    ]
    assert not any("\n" in line for _, line in here)


async def test_a_failed_registration_keeps_the_handler_that_is_there(tmp_path: Path) -> None:
    """A child that tries to register a number that it can run already goes on running the first handler."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(2, "worker", lambda signum: journal.note("first"))

    @signals.handler(1)
    def act(signum: int) -> None:
        with pytest.raises(trisig.SignalTableError):
            signals.register(2, "worker", lambda signum: journal.note("second"))

    async with trisig.open_master(signals) as master:
        await signals.send(1)
        await signals.send(2)
    assert journal.read() == [("worker1", "first")]
    assert master.statistics().failed == 0


async def test_a_refused_handler_never_runs(tmp_path: Path) -> None:
    """Not even while its registration is under way in a thread: the number's own handler runs, each time."""
    trail, signals, journal = Trail(20_000), trisig.Signals(), Journal(tmp_path)
    signals.register(1, "worker1", trail.mark)
    wrong = Trail(20_000)

    @signals.service("worker1")
    async def insist() -> None:
        await trio.to_thread.run_sync(try_often)
        journal.note("refused")

    def try_often() -> None:
        for _ in range(500):
            with pytest.raises(trisig.SignalTableError):
                signals.register(1, "worker1", wrong.mark)

    async with trisig.open_master(signals) as master:
        while not journal.read():
            for _ in range(50):
                await signals.send(1)
            await eventually(lambda: not master.statistics().in_flight)
        sent = master.statistics().accepted
    assert (trail.total(), wrong.total()) == (sent, 0)


async def test_what_was_registered_late_does_not_replace_what_a_child_registered_since(tmp_path: Path) -> None:
    """However late the message is read: the table says whose entry it is, and that one's handler runs."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    began, resume = Trail(10), Trail(10)

    @signals.handler(1, target="worker1")
    def act(signum: int) -> None:
        began.mark(1)
        while not resume.total():
            time.sleep(0.001)
        signals.register(50, "worker1", lambda signum: journal.note("the child's"))

    async with trisig.open_master(signals) as master:
        await signals.send(1)
        await eventually(began.total)
        signals.register(50, "worker1", lambda signum: journal.note("the master's"))
        signals.unregister(50)
        resume.mark(1)
        await eventually(lambda: signals.is_registered(50))
        assert master.statistics().signals[50].owner == "worker1"
        await signals.send(50)
    assert journal.read() == [("worker1", "the child's")]


async def test_what_a_child_raised_before_it_unregisters_is_delivered() -> None:
    """The two take different ways to the master, and keep their order all the same."""
    trail, signals = Trail(1000), trisig.Signals()
    signals.register(2, "worker2", trail.mark)

    @signals.handler(1, target="worker1")
    async def act(signum: int) -> None:
        for _ in range(100):
            await signals.send(2)
        signals.unregister(2)

    async with trisig.open_master(signals, workers=2) as master:
        await signals.send(1)
        await eventually(lambda: not signals.is_registered(2))
        await eventually(lambda: not (now := master.statistics()).in_flight + now.queued)
    assert trail.of("worker2") == bytes((2,)) * 100


async def test_what_a_child_unregisters_is_forgotten(tmp_path: Path) -> None:
    """An entry of the master that a child has removed does not come back with the next master."""
    signals = trisig.Signals()
    signals.register(2, "workers", print)
    signals.register(1, "worker1", lambda signum: signals.unregister(2))
    async with trisig.open_master(signals):
        await signals.send(1)
    assert not signals.is_registered(2)
    async with trisig.open_master(signals):
        assert not signals.is_registered(2)


async def test_an_argument_that_no_message_can_hold(tmp_path: Path) -> None:
    """A target of absurd length is an error of the line that wrote it, in a child too."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    def act(signum: int) -> None:
        for size in (300_000, 60_000):
            try:
                signals.register(2, "farm_" + "é" * size, print)
            except ValueError as error:
                journal.note(type(error).__name__, len(str(error)) < 10_000)

    async with trisig.open_master(signals):
        await signals.send(1)
    assert journal.read() == [("worker1", "ValueError", True), ("worker1", "ValueError", True)]


async def test_a_child_unregisters_and_registers_again(tmp_path: Path) -> None:
    """A child can remove an entry of the master and put its own in place, from a thread too."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(2, "workers", lambda signum: journal.note("master's"))

    @signals.handler(1, target="worker2")
    async def act(signum: int) -> None:
        signals.unregister(2)
        await trio.to_thread.run_sync(signals.register, 2, "worker", lambda signum: journal.note("child's"))
        await signals.send(2)

    async with trisig.open_master(signals, workers=2) as master:
        await signals.send(1)
        await journal.until(1)
        assert master.statistics().signals[2].owner == "worker2"
    assert journal.read() == [("worker2", "child's")]


# By several at once

ROUNDS = 100


async def test_two_threads_of_a_child_register_one_number_at_the_same_moment(tmp_path: Path) -> None:
    """One of them gets it, each other one is told who has it, and the handler that runs is the winner's."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    def try_to_register(name: str, start: threading.Barrier) -> None:
        start.wait()
        try:
            signals.register(7, "worker1", lambda _signum: journal.note("ran", name))
        except trisig.SignalTableError:
            journal.note("refused", name)
        else:
            journal.note("registered", name)

    @signals.handler(1, target="worker1")
    def race(_signum: int) -> None:
        start = threading.Barrier(4)
        threads = [threading.Thread(target=try_to_register, args=(name, start)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    async with trisig.open_master(signals, workers=1):
        for turn in range(1, 21):
            await signals.send(1)
            await journal.until(5 * turn - 1)
            await signals.send(7)
            notes = (await journal.until(5 * turn))[-5:]
            assert [what for _, what, _ in notes].count("refused") == 3
            (winner,) = [name for _, what, name in notes if what == "registered"]
            assert notes[-1] == ("worker1", "ran", winner)
            signals.unregister(7)


async def test_two_children_that_register_one_number_at_the_same_moment(tmp_path: Path) -> None:
    """100 numbers, two workers at the same moment: each time one wins, the other is told, and the winner runs it."""
    signals, journal, trail = trisig.Signals(), Journal(tmp_path), Trail(1000)
    ready = Trail(ROUNDS + 1)

    @signals.service("workers")
    async def compete() -> None:
        outcome = []
        for number in range(ROUNDS):
            ready.mark(0)
            while ready.total() < 2 * (number + 1):
                os.sched_yield()  # the two of them leave this line together
            try:
                signals.register(number, "worker", trail.mark)
            except trisig.SignalTableError:
                outcome.append(0)
            else:
                outcome.append(1)
        journal.note(outcome)
        await trio.sleep_forever()

    async with trisig.open_master(signals, workers=2) as master:
        outcomes = dict(await journal.until(2))
        assert [sum(pair) for pair in zip(*outcomes.values(), strict=True)] == [1] * ROUNDS
        owners = [master.statistics().signals[number].owner for number in range(ROUNDS)]
        assert owners == ["worker1" if won else "worker2" for won in outcomes["worker1"]]
        for number in range(ROUNDS):
            await signals.send(number)
    for me, outcome in outcomes.items():
        assert trail.of(me) == bytes(number for number, won in enumerate(outcome) if won)
    assert 0 < sum(outcomes["worker1"]) < ROUNDS, "one worker won always: they did not compete"


async def test_a_child_killed_in_the_middle_of_registering_leaves_the_table_whole(tmp_path: Path) -> None:
    """However a process that registers all the time is killed, the table stays usable and no entry of it remains."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.service("worker1")
    async def churn() -> None:
        while True:
            for signum in range(100, 120):
                signals.register(signum, "worker", print)
            await trio.lowlevel.checkpoint()
            for signum in range(100, 120):
                signals.unregister(signum)

    signals.register(2, "worker1", lambda signum: None)

    @signals.handler(1, target="worker2")
    def use(signum: int) -> None:
        number = signals.free_signum()
        signals.register(number, "worker", print)
        signals.unregister(number)
        journal.note(number)

    async with trisig.open_master(signals, workers=2) as master:
        for turn in range(1, 6):
            # It has done something, so it is replaced at once and without a pause.
            signals.send_nowait(2)
            await until_equal(lambda: master.statistics().signals[2].done, turn)
            await trio.sleep(0.002 * turn)
            os.kill(pid_of(master.processes, "worker1"), signal.SIGKILL)
            await until_equal(lambda: master.statistics().processes["worker1"].respawns, turn)
            await signals.send(1)
            await journal.until(turn)
        await master.cheap(1)
        assert [signum for signum in range(256) if signals.is_registered(signum)] == [1, 2]
        assert list(master.statistics().signals) == [1, 2]
    assert journal.read() == [("worker2", 0)] * 5


def test_a_packed_handler_runs_in_another_process(tmp_path: Path) -> None:
    """What was packed here runs where only the module is known, with the globals that the module has there."""
    (tmp_path / "application.py").write_text(
        "where = 'here'\ndef make(word):\n    return lambda signum: (where, word, signum)\n"
    )
    (tmp_path / "packs.py").write_text(
        "import application, sys; from trisig._ipc.handler_pickle import pack\n"
        "sys.stdout.buffer.write(pack(application.make('sent'), None))\n"
    )
    (tmp_path / "runs.py").write_text(
        "import application, sys; from trisig._ipc.handler_pickle import unpack\n"
        "application.where = 'there'\n"
        "print(unpack(sys.stdin.buffer.read(), None)(5))\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"}

    def run(program: str, given: bytes = b"") -> bytes:
        command = [sys.executable, str(tmp_path / program)]
        return subprocess.run(command, input=given, env=environment, capture_output=True, check=True, timeout=30).stdout

    assert run("runs.py", run("packs.py")) == b"('there', 'sent', 5)\n"
