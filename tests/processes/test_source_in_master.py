"""Event sources as an application uses them: through `Signals`, in a real master, from any process."""

import errno
import logging
from pathlib import Path

import pytest
import trio
from witness import Journal, eventually

import trisig


async def test_each_decorator_raises_for_its_event(tmp_path: Path) -> None:
    """A timer, an rb_timer and a file monitor run their handlers where their targets say."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    watched = tmp_path / "watched"
    watched.touch()

    @signals.timer(0.05, target="mule", iterations=2)
    def tick(_signum: int) -> None:
        journal.note("timer")

    @signals.rb_timer(0.05, target="worker2", iterations=1)
    async def once(_signum: int) -> None:
        journal.note("rb_timer")

    @signals.file_monitor(watched, target="workers", iterations=1)
    def changed(_signum: int) -> None:
        journal.note("file")

    async with trisig.open_master(signals, workers=2, mules=1):
        watched.write_text("new")
        notes = await journal.until(5)
    assert sorted(notes) == [
        ("mule1", "timer"),
        ("mule1", "timer"),
        ("worker1", "file"),
        ("worker2", "file"),
        ("worker2", "rb_timer"),
    ]


async def test_decorators_pick_free_numbers_or_take_the_given_one() -> None:
    """Each decorator registers the next free number unless `signum=` is given, and returns the function unchanged."""
    signals = trisig.Signals()

    def handler(_signum: int) -> None: ...

    assert signals.timer(3600)(handler) is handler
    assert signals.rb_timer(3600)(handler) is handler
    assert signals.cron("0 0 1 1 *")(handler) is handler
    assert signals.cron(40, 2, -1, -1, -1, signum=200)(handler) is handler
    assert signals.file_monitor("/", signum=201)(handler) is handler
    registered = [signum for signum in range(256) if signals.is_registered(signum)]
    assert registered == [0, 1, 2, 200, 201]


async def test_a_bad_event_registers_nothing() -> None:
    """What is wrong with an event is said where it is written, and leaves neither entry nor source."""
    signals = trisig.Signals()
    for wrong in (
        lambda: signals.timer(0),
        lambda: signals.timer(float("nan")),
        lambda: signals.rb_timer(-1),
        lambda: signals.cron("61 * * * *"),
        lambda: signals.cron(0, 0, 0, 13, 0),
        lambda: signals.cron("* * * * *", timezone="Europe/Nowhere"),
        lambda: signals.file_monitor("/nowhere/at/all"),
        lambda: signals.file_monitor("a\0b"),
        lambda: signals.add_timer(256, 1),
        lambda: signals.timer(1, signum=-1),
    ):
        with pytest.raises((ValueError, OSError)):
            wrong()
    with pytest.raises(TypeError, match=r"trisig\.EventSource"):
        signals.add_source("timer")  # type: ignore[arg-type]  # the mistake
    assert signals.free_signum() == 0
    async with trisig.open_master(signals) as master:
        assert master.statistics().sources == ()


async def test_a_taken_number_leaves_no_source() -> None:
    """A decorator whose number is registered already adds no source."""
    signals = trisig.Signals()
    signals.register(5, "worker", print)
    with pytest.raises(trisig.SignalTableError):
        signals.timer(1, signum=5)(print)
    async with trisig.open_master(signals) as master:
        assert master.statistics().sources == ()


async def test_a_child_adds_and_removes_built_in_sources(tmp_path: Path) -> None:
    """A worker starts a timer in the master, and any process that knows the source can take it back."""
    signals, journal = trisig.Signals(), Journal(tmp_path)

    @signals.handler(1, target="worker1")
    def add(_signum: int) -> None:
        signals.remove_source(signals.add_timer(3, 3600))
        source = signals.add_timer(2, 0.02)
        removed: list[int] = []

        @signals.handler(2)
        def tick(_signum: int) -> None:
            if not removed:
                signals.remove_source(source)
                removed.append(1)
                journal.note("ticked")

    async with trisig.open_master(signals, workers=1) as master:
        await signals.send(1)
        await journal.until(1)
        await eventually(lambda: not master.statistics().sources)


async def test_a_change_right_after_a_monitor_was_added_counts(tmp_path: Path) -> None:
    """A monitor added to a running master, from the master or a child, misses no change made in the next line."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    first.touch()
    second.touch()
    signals.register(1, "worker1", journal.note)
    signals.register(2, "worker1", journal.note)

    @signals.handler(3, target="worker1")
    def add(_signum: int) -> None:
        signals.add_file_monitor(2, second, iterations=1)
        second.write_text("changed")

    async with trisig.open_master(signals, workers=1) as master:
        signals.add_file_monitor(1, first, iterations=1)
        first.write_text("changed")
        await signals.send(3)
        assert sorted(await journal.until(2)) == [("worker1", 1), ("worker1", 2)]
        signals.remove_source(signals.add_file_monitor(1, first))
        await eventually(lambda: not master.statistics().sources)


async def test_a_source_that_was_declared_before_can_be_removed_in_a_child(tmp_path: Path) -> None:
    """A source added before the fork is known to the children, and one of them takes it back."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    source = signals.add_timer(9, 3600)

    @signals.on_start("worker1")
    def remove() -> None:
        signals.remove_source(source)
        try:
            signals.remove_source(source)
        except ValueError as error:
            journal.note(str(error))

    async with trisig.open_master(signals, workers=1) as master:
        assert master.statistics().sources == ()
    assert "not running" in journal.read()[0][1]


class Knocks(trisig.EventSource):
    """An application's own source: raises a signal for each knock on a channel."""

    def __init__(self, signum: int, door: trio.MemoryReceiveChannel[str]) -> None:
        self._signum = signum
        self._door = door

    async def run(self, send: trisig.Send) -> None:
        async for knock in self._door:
            if knock == "too hard":
                raise OSError("the door broke")
            await send(self._signum)


async def test_an_own_source_is_restarted_when_it_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A custom source raises signals; one that fails is logged, started again, and shown; the master goes on."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    knock, door = trio.open_memory_channel[str](10)
    signals.add_source(Knocks(4, door))
    signals.register(4, "worker", journal.note)
    with caplog.at_level(logging.WARNING):
        async with trisig.open_master(signals, workers=1) as master:
            for way in ("softly", "too hard", "softly"):
                await knock.send(way)
            await journal.until(2)
            await eventually(lambda: master.statistics().sources[0].fired == 2)
            (told,) = master.statistics().sources
    assert (told.fired, told.restarts, told.error) == (2, 1, "OSError: the door broke")
    assert "the door broke" in caplog.text


async def test_a_child_cannot_add_a_custom_source(tmp_path: Path) -> None:
    """Only the master can run an application's own source; a child that adds one is told so."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    _, door = trio.open_memory_channel[str](0)

    @signals.on_start("worker1")
    def add() -> None:
        try:
            signals.add_source(Knocks(1, door))
        except TypeError as error:
            journal.note(str(error))

    async with trisig.open_master(signals, workers=1):
        pass
    assert "only be added in the master" in journal.read()[0][1]


async def test_a_source_is_added_once() -> None:
    """Adding a source twice, or removing it twice, is an error."""
    signals = trisig.Signals()
    source = signals.add_timer(1, 3600)
    with pytest.raises(ValueError, match="added already"):
        signals.add_source(source)
    async with trisig.open_master(signals) as master:
        signals.remove_source(source)
        with pytest.raises(ValueError, match="not running"):
            signals.remove_source(source)
        assert master.statistics().sources == ()
        again = signals.add_timer(1, 0.01, iterations=1)
        await eventually(lambda: not master.statistics().sources)
        with pytest.raises(ValueError, match="not running"):
            signals.remove_source(again)


async def test_more_than_64_of_each() -> None:
    """There is no limit of 64 on timers, rb_timers, crons or file monitors."""
    signals = trisig.Signals()
    for _ in range(100):
        signals.add_timer(1, 3600)
        signals.add_rb_timer(1, 3600)
        signals.add_cron(1, "0 0 1 1 *")
        signals.add_file_monitor(1, "/tmp")
    async with trisig.open_master(signals) as master:
        assert len(master.statistics().sources) == 400


async def test_an_error_keeps_its_number_and_path_on_the_way_to_a_child(tmp_path: Path) -> None:
    """A child that adds a monitor of what is not there gets the very error that the master has."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    missing = str(tmp_path / "missing")

    @signals.handler(1, target="mule1")
    def add(_signum: int) -> None:
        try:
            signals.add_file_monitor(2, missing)
        except FileNotFoundError as error:
            journal.note(error.errno, error.filename)

    async with trisig.open_master(signals, mules=1):
        await signals.send(1)
        assert await journal.until(1) == [("mule1", errno.ENOENT, missing)]


def test_the_fields_of_cron_by_name() -> None:
    """As uWSGI names them, for the verb and for the decorator; too few of them are refused, as without names."""
    signals = trisig.Signals()
    signals.add_cron(1, minute=40, hour=2, day=-1, month=-1, weekday=-1)
    signals.cron(minute=-2, hour=-1, day=-1, month=-1, weekday=5, target="worker")(print)
    with pytest.raises(TypeError, match="five numbers"):
        signals.add_cron(1, minute=40, hour=2)  # type: ignore[call-overload]  # the mistake
