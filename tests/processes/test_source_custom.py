"""Event sources that an application writes itself: what it may do wrong, and what the master makes of it."""

import dataclasses
import logging
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from witness import PATIENCE, Journal, eventually, unhandled

import trisig

DOCUMENTED = Path(__file__).parents[2] / "docs" / "event-sources.md"


class Idle(trisig.EventSource):
    """Runs until it is cancelled; counts its runs."""

    def __init__(self) -> None:
        self.started = self.runs = self.most = 0

    async def run(self, _send: trisig.Send) -> None:
        self.started += 1
        self.runs += 1
        self.most = max(self.most, self.runs)
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.01)  # closing takes a moment
            self.runs -= 1


class Fragile(trisig.EventSource):
    """Fails when it is cancelled, in a task of its own."""

    async def run(self, _send: trisig.Send) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            await trio.sleep_forever()

    async def _read(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise OSError("the connection was closed already")


class Once(trisig.EventSource):
    """Raises one signal and ends."""

    async def run(self, send: trisig.Send) -> None:
        await send(5)


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of sources that failed."""
    return [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]


# Failing


async def test_a_cleanup_that_fails_is_logged_when_the_source_is_removed(caplog: pytest.LogCaptureFixture) -> None:
    """An error that comes together with the cancellation is logged, and neither ends the master nor starts it again."""
    signals = trisig.Signals()
    source = signals.add_source(Fragile())
    async with trisig.open_master(signals) as master:
        await trio.testing.wait_all_tasks_blocked()
        signals.remove_source(source)
        await eventually(lambda: failures(caplog))
        await signals.send(3)
        assert master.statistics().accepted == 1
        assert await unhandled(signals) == 3
    assert failures(caplog) == ["Fragile failed while it was stopped"]
    assert "the connection was closed already" in caplog.text


async def test_a_cleanup_that_fails_at_shutdown_costs_no_signal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is queued is delivered, whatever a source does when it is stopped."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.add_source(Fragile())

    @signals.handler(1, target="worker1")
    async def slow(signum: int) -> None:
        await trio.sleep(0.05)
        journal.note(signum)

    async with trisig.open_master(signals) as master:
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(5):
            await signals.send(1)
    assert len(journal.read()) == master.statistics().done == 5
    assert failures(caplog) == ["Fragile failed while it was stopped"]


class Fatal(BaseException):
    """Not an `Exception`."""


@pytest.mark.parametrize("error", [SystemExit(3), Fatal(), BaseExceptionGroup("", [SystemExit(3), OSError()])])
async def test_what_is_no_exception_ends_the_master(error: BaseException) -> None:
    """A SystemExit and its like come out of `open_master`, as out of any task."""

    class Ends(trisig.EventSource):
        async def run(self, _send: trisig.Send) -> None:
            raise error

    signals = trisig.Signals()
    signals.add_source(Ends())
    with pytest.raises((SystemExit, Fatal)), trio.fail_after(PATIENCE):
        async with trisig.open_master(signals):
            await trio.sleep_forever()


# One run at a time, and again


async def test_an_object_runs_once_at_a_time() -> None:
    """Removed and added again, even twice and at once, it is started when its last run has ended."""
    signals = trisig.Signals()
    source = Idle()
    signals.add_source(source)
    async with trisig.open_master(signals) as master:
        await eventually(lambda: source.runs)
        for _ in range(3):
            signals.remove_source(source)
            signals.add_source(source)
        await eventually(lambda: source.started == 2)
        assert source.most == 1
        assert [told.source for told in master.statistics().sources] == ["Idle"]
        with pytest.raises(ValueError, match="Idle has been added already"):
            signals.add_source(source)


async def test_a_source_that_has_ended_may_be_added_again() -> None:
    """It is not running any more, so removing it is an error and adding it is none."""
    signals = trisig.Signals()
    source = signals.add_source(Once())
    async with trisig.open_master(signals) as master:
        await eventually(lambda: not master.statistics().sources)
        signals.add_source(source)
        await eventually(lambda: not master.statistics().sources)
        with pytest.raises(ValueError, match="has ended by itself"):
            signals.remove_source(source)
        signals.add_source(source)
        await eventually(lambda: not master.statistics().sources)
        assert master.statistics().accepted == source.fired == 3
        for _ in range(3):
            assert await unhandled(signals) == 5


async def test_declared_sources_run_with_each_master_and_others_do_not() -> None:
    """What was added to a running master is not run by the next one, and nothing is counted twice."""
    signals = trisig.Signals()
    declared = signals.add_rb_timer(1, 0.001, iterations=2)
    removed = signals.add_timer(1, 3600)
    async with trisig.open_master(signals) as master:
        for _ in range(100):
            signals.add_rb_timer(2, 0.001, iterations=1)
        signals.add_timer(2, 3600)
        signals.remove_source(removed)
        await eventually(lambda: len(master.statistics().sources) == 1)
        assert master.statistics().accepted == 102
        for _ in range(102):
            await unhandled(signals)
    async with trisig.open_master(signals) as master:
        # It may have ended already, and so is told of no more.
        assert {told.source for told in master.statistics().sources} <= {"rb_timer of signal 1 every 0.001 s"}
        await eventually(lambda: not master.statistics().sources)
        assert (master.statistics().accepted, declared.fired) == (2, 4)
        for _ in range(2):
            await unhandled(signals)


# What may be a source


class Plain(trisig.EventSource):
    def run(self, send: trisig.Send) -> None:  # type: ignore[override]  # the mistake
        """Not async."""


class Yields(trisig.EventSource):
    async def run(self, _send: trisig.Send) -> Any:
        yield 1


class Deaf(trisig.EventSource):
    async def run(self) -> None:  # type: ignore[override]  # the mistake
        """Takes no `send`."""


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Plain(), "Plain.run must be async: write `async def run(self, send)`"),
        (Yields(), "Yields.run must not yield: write `await send(signum)`"),
        (Deaf(), "Deaf.run must take one argument: write `async def run(self, send)`"),
        (Once, "an instance of trisig.EventSource, not <class"),
        (None, "an instance of trisig.EventSource, not None"),
    ],
)
async def test_what_cannot_run_is_refused_where_it_is_added(source: Any, said: str) -> None:
    """The mistake is named before and while a master runs, and leaves nothing behind."""
    signals = trisig.Signals()
    with pytest.raises(TypeError, match=re.escape(said)):
        signals.add_source(source)
    async with trisig.open_master(signals) as master:
        with pytest.raises(TypeError, match=re.escape(said)):
            signals.add_source(source)
        assert master.statistics().sources == ()


@dataclasses.dataclass
class Unhashable(trisig.EventSource):
    signum: int

    async def run(self, send: trisig.Send) -> None:
        await send(self.signum)
        await trio.sleep_forever()


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen(trisig.EventSource):
    signum: int

    async def run(self, send: trisig.Send) -> None:
        await send(self.signum)
        await trio.sleep_forever()


@pytest.mark.parametrize("kind", [Unhashable, Frozen])
async def test_dataclasses_are_sources(kind: Callable[[int], trisig.EventSource]) -> None:
    """Also unhashable, frozen and slotted ones; equal objects are different sources, each counted."""
    signals = trisig.Signals()
    first, second, third = kind(7), kind(7), kind(7)
    signals.add_source(first)
    signals.add_source(second)
    async with trisig.open_master(signals) as master:
        signals.add_source(third)
        for _ in range(3):
            assert await unhandled(signals) == 7
        await eventually(lambda: [told.fired for told in master.statistics().sources] == [1, 1, 1])
        signals.remove_source(second)
        assert [first.fired, second.fired, third.fired] == [1, 1, 1]
        assert len(master.statistics().sources) == 2


class Nameless(Idle):
    @property
    def name(self) -> str:
        raise LookupError


class TwoLines(Idle):
    @property
    def name(self) -> str:
        return "first\nsecond"


class Breaks(TwoLines):
    async def run(self, _send: trisig.Send) -> None:
        raise ValueError("one\ntwo")


class SpeechlessError(Exception):
    def __str__(self) -> str:
        raise LookupError


class BreaksSilently(Idle):
    async def run(self, _send: trisig.Send) -> None:
        raise SpeechlessError


async def test_names_are_taken_once_and_fit_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """A name that cannot be told is the class's, an error likewise; line ends in them are shown escaped."""
    signals = trisig.Signals()
    for source in (Nameless(), TwoLines(), Breaks(), BreaksSilently()):
        signals.add_source(source)
    with caplog.at_level(logging.ERROR):
        async with trisig.open_master(signals) as master:
            await eventually(lambda: all(one.error for one in master.statistics().sources[2:]))
            told = master.statistics().sources
    assert [one.source for one in told] == ["Nameless", r"first\nsecond", r"first\nsecond", "BreaksSilently"]
    assert [one.error for one in told[2:]] == [r"ValueError: one\ntwo", "SpeechlessError: SpeechlessError"]
    assert r"first\nsecond failed, next try in 0.1 s" in failures(caplog)


async def test_another_thread_of_the_master_is_refused() -> None:
    """Only the master's own thread starts and stops sources there; the error says how to get into it."""
    signals = trisig.Signals()
    said: list[str] = []

    def add() -> None:
        for wrong in (
            lambda: signals.add_timer(1, 1),
            lambda: signals.add_source(Idle()),
            lambda: signals.remove_source(source),
            lambda: signals.timer(1)(print),
        ):
            try:
                wrong()
            except RuntimeError as error:
                said.append(str(error))

    async with trisig.open_master(signals) as master:
        source = signals.add_timer(1, 3600)
        thread = threading.Thread(target=add)
        thread.start()
        thread.join()
        assert ["trio.from_thread.run_sync" in one for one in said] == [True] * 4
        assert len(master.statistics().sources) == 1
        assert signals.free_signum() == 0
        await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(signals.add_timer, 1, 3600))
        assert len(master.statistics().sources) == 2


# From children


async def test_children_take_back_what_only_the_master_runs(tmp_path: Path) -> None:
    """A source of one's own is removed by a child that was forked with it, or that got it with a late handler."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    declared, late = Unhashable(1), Frozen(2)
    signals.add_source(declared)

    @signals.handler(10, target="worker1")
    def remove_declared(_signum: int) -> None:
        signals.remove_source(declared)

    async with trisig.open_master(signals) as master:
        signals.add_source(late)

        def remove_late(_signum: int) -> None:
            signals.remove_source(late)
            try:
                signals.add_source(late)
            except TypeError as error:
                journal.note(str(error))

        signals.register(11, "worker1", remove_late)
        assert sorted([await unhandled(signals), await unhandled(signals)]) == [1, 2]
        for signum in (10, 11):
            await signals.send(signum)
        [(_, said)] = await journal.until(1)
        assert "Frozen(signum=2)" not in said
        assert "can only be added in the master" in said
        await eventually(lambda: not master.statistics().sources)


# What the documentation shows


async def connected(path: Path) -> trio.SocketStream:
    """A connection to a socket, once somebody listens there."""
    with trio.fail_after(PATIENCE):
        while True:
            try:
                return await trio.open_unix_socket(path)
            except (FileNotFoundError, ConnectionRefusedError):
                await trio.sleep(0.005)


async def test_the_documented_source_works_and_works_again(tmp_path: Path) -> None:
    """The socket that an earlier run left does not keep the example from starting."""
    examples = re.findall(r"```python\n(.*?)```", DOCUMENTED.read_text(), re.DOTALL)
    [example] = [one for one in examples if "class LineSource" in one]
    path = tmp_path / "lines"
    known: dict[str, Any] = {}
    [there] = re.findall(r'LineSource\(30, "(.*)"\)', example)
    exec(example.replace(there, str(path)), known)
    signals: trisig.Signals = known["signals"]
    for _ in range(2):
        async with trisig.open_master(signals) as master:
            async with await connected(path) as stream:
                await stream.send_all(b"one\ntwo\n")
                for _ in range(2):
                    assert await unhandled(signals) == 30
            [told] = master.statistics().sources
            assert (told.error, told.restarts) == (None, 0)


async def test_a_killed_child_leaves_the_master_s_own_sources_alone() -> None:
    """Only what the child added ends with it."""
    signals = trisig.Signals()
    source = signals.add_source(Idle())
    async with trisig.open_master(signals) as master:
        before = next(process.pid for process in master.processes if process.kind == "worker")
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: master.statistics().processes["worker1"].pid not in (0, before))
        assert [told.source for told in master.statistics().sources] == [str(source)]
