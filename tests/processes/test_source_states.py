"""What the statistics say of each source: what it waits for, when it is due next, and why it failed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from witness import eventually, unhandled

import trisig
from trisig._model.statistics import SourceStatistics
from trisig._sources.raised import Raised
from trisig._sources.runner import Sources


class Broken(trisig.EventSource):
    """Fails whenever it runs."""

    async def run(self, _send: trisig.Send) -> None:
        raise OSError("out of order")


class Works(trisig.EventSource):
    """Waits for something that does not happen."""

    async def run(self, _send: trisig.Send) -> None:
        await trio.sleep_forever()


def of(master: trisig.Master, start: str) -> SourceStatistics:
    """The source whose name begins like this."""
    return next(source for source in master.statistics().sources if source.source.startswith(start))


async def test_schedules_say_when_they_are_due() -> None:
    """A timer's next tick lies within its interval; a cron job's next minute is exact; file monitors know no time."""
    signals = trisig.Signals()
    signals.add_timer(1, 500)
    signals.add_rb_timer(2, 500)
    signals.add_cron(3, "0 0 1 1 *", timezone="UTC")
    signals.add_file_monitor(4, "/etc")
    async with trisig.open_master(signals) as master:
        await eventually(lambda: all(of(master, kind).next_due for kind in ("timer", "rb_timer")))
        now = time.time()
        for kind in ("timer", "rb_timer"):
            due = of(master, kind).next_due
            assert due is not None
            assert now < due <= now + 500
        year = datetime.now(UTC).year + 1
        assert of(master, "cron").next_due == datetime(year, 1, 1, tzinfo=UTC).timestamp()
        assert of(master, "file").next_due is None
        assert {source.state for source in master.statistics().sources} == {"waiting"}


async def test_a_monitor_says_that_its_path_is_missing(tmp_path: Path) -> None:
    """`missing` until the path appears, and again when it has gone."""
    signals = trisig.Signals()
    path = tmp_path / "file"
    signals.add_file_monitor(1, path, missing_ok=True)
    async with trisig.open_master(signals) as master:
        assert of(master, "file").state == "missing"
        path.touch()
        await unhandled(signals)
        await eventually(lambda: of(master, "file").state == "waiting")
        path.unlink()
        await eventually(lambda: of(master, "file").state == "missing")


async def test_a_source_that_failed_says_so() -> None:
    """`failed` between two tries, with the error; one that works is `running`."""
    signals = trisig.Signals()
    signals.add_source(Broken())
    signals.add_source(Works())
    async with trisig.open_master(signals) as master:
        await eventually(lambda: of(master, "Broken").state == "failed")
        assert of(master, "Broken").error == "OSError: out of order"
        assert (of(master, "Works").state, of(master, "Works").error) == ("running", None)


async def test_sources_are_starting_until_the_children_are_ready() -> None:
    """Armed and not yet allowed to raise signals, a source is `starting`."""
    async with trio.open_nursery() as nursery:
        raised, taken = trio.open_memory_channel[Raised](0)
        sources = Sources(raised, {"key": Works()})
        await nursery.start(sources.run)
        assert [source.state for source in sources.statistics()] == ["starting"]
        await sources.go()
        assert [source.state for source in sources.statistics()] == ["running"]
        sources.stop()
        async with taken:
            assert [one async for one in taken] == []  # the channel ends with the last source


async def test_a_source_that_waits_for_room_says_so() -> None:
    """While the master's queue is full a timer is `sending`, and `waiting` again once there is room."""
    signals = trisig.Signals()
    signals.add_timer(7, 0.001)
    async with trisig.open_master(signals, max_queued=3) as master:
        await eventually(lambda: of(master, "timer").state == "sending")
        signals.add_timer(8, 500)
        for _ in range(10):
            assert await unhandled(signals) == 7


async def test_a_server_that_cannot_be_reached_is_shown() -> None:
    """A PostgreSQL source is `connecting`, with the reason, while there is no server."""
    postgres = pytest.importorskip("trisig.postgres")
    signals = trisig.Signals()
    postgres.add_postgres(signals, 1, "orders", "host=127.0.0.1 port=1 user=nobody dbname=none")
    async with trisig.open_master(signals) as master:
        source = of(master, "postgres")
        assert source.state == "connecting"
        assert source.error is not None
        assert "the server cannot be reached" in source.error
