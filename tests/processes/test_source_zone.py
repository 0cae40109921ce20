"""The system's time zone changes while a cron job without a zone waits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import TZPATH

import pytest
import trio
import trio.testing
from fake_wall import FakeWall, Times
from source_tools import run_on
from trio.testing import MockClock
from witness import eventually

from trisig._sources import open_engines
from trisig._sources.cron import CronSource
from trisig._sources.local_time import LocalTime

ROME, NEW_YORK, TOKYO = "Europe/Rome", "America/New_York", "Asia/Tokyo"
NOON = "0 12 * * *"


@pytest.fixture(autouse=True)
def _same_zone_afterwards() -> Iterator[None]:
    """Other tests have the zone that they began with."""
    before = os.environ.get("TZ")
    yield
    if before is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = before
    time.tzset()


def set_zone(name: str) -> None:
    """As an application does."""
    os.environ["TZ"] = name
    time.tzset()


async def noons(nursery: trio.Nursery, at: str, timezone: str | None = None) -> Times:
    """Start a job that is due at noon; returns what it raises."""
    times = Times(FakeWall(at))

    async def run() -> None:
        async with open_engines(wall_clock=times.wall) as engines:
            await run_on(engines, CronSource(1, NOON, timezone=timezone), times.send)

    nursery.start_soon(run)
    await trio.testing.wait_all_tasks_blocked()
    return times


async def test_a_later_noon_is_the_only_one(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """From Rome to New York before noon: the noon of Rome does not fire, and that of New York does, each day once."""
    set_zone(ROME)
    times = await noons(nursery, "2026-06-15T07:00")
    set_zone(NEW_YORK)
    await trio.sleep(2 * 86400)
    assert times.seen == ["2026-06-15T16:00:00", "2026-06-16T16:00:00"]


async def test_an_earlier_noon_fires_when_the_clock_is_woken(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """From New York to Rome: noon comes sooner; whoever waits is woken by the change and raises on the minute."""
    set_zone(NEW_YORK)
    times = await noons(nursery, "2026-06-15T07:00")
    set_zone(ROME)
    times.wall.set("2026-06-15T07:00:01")  # wakes the waiting, as a new /etc/localtime does
    await trio.sleep(2 * 86400)
    assert times.seen == ["2026-06-15T10:00:00", "2026-06-16T10:00:00"]


async def test_noon_that_has_fired_does_not_fire_for_what_lies_behind(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Noon of New York has fired; in Rome noon was hours ago, so the next one is tomorrow's."""
    set_zone(NEW_YORK)
    times = await noons(nursery, "2026-06-15T15:00")
    await trio.sleep(2 * 3600)
    set_zone(ROME)
    times.wall.set("2026-06-15T17:00:01")
    await trio.sleep(86400)
    assert times.seen == ["2026-06-15T16:00:00", "2026-06-16T10:00:00"]


async def test_a_job_with_a_zone_does_not_notice(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """The negative control: what has a zone goes by that."""
    set_zone(NEW_YORK)
    times = await noons(nursery, "2026-06-15T07:00", TOKYO)
    set_zone(ROME)
    times.wall.set("2026-06-15T07:00:01")
    await trio.sleep(86400)
    assert times.seen == ["2026-06-16T03:00:00"]


def zone_file(name: str) -> Path:
    """A file of the zone database."""
    for folder in TZPATH:
        if (found := Path(folder) / name).exists():
            return found
    pytest.skip("no zone database")


@pytest.mark.parametrize("how", ["link", "file"])
async def test_a_new_localtime_is_taken_over(tmp_path: Path, how: str, nursery: trio.Nursery) -> None:
    """The file that says which zone the system has is replaced: the C library reads it anew, and waiters are woken."""
    localtime = tmp_path / "localtime"
    localtime.symlink_to(zone_file(ROME))
    changes: list[tuple[str, str]] = []
    async with open_engines() as engines:
        nursery.start_soon(
            LocalTime(lambda: engines.watcher, lambda: changes.append(time.tzname), str(localtime)).drive
        )
        await trio.testing.wait_all_tasks_blocked()
        new = tmp_path / "new"
        if how == "link":
            new.symlink_to(zone_file(TOKYO))
        else:
            new.write_bytes(zone_file(TOKYO).read_bytes())
        new.replace(localtime)
        await eventually(lambda: changes)
        nursery.cancel_scope.cancel()


FOLLOWS = """
import os, sys, time, trio, trisig

signals = trisig.Signals()
signals.add_cron(1, "0 12 * * *")
signals.add_cron(2, "0 12 * * *", timezone="Europe/Rome")

def link(name):
    os.symlink(name, "/etc/localtime.new")
    os.replace("/etc/localtime.new", "/etc/localtime")

async def main():
    link(sys.argv[1])
    time.tzset()  # the interpreter has read what was there before
    async with trisig.open_master(signals) as master:
        rome = master.statistics().sources[1].next_due
        assert master.statistics().sources[0].next_due == rome
        link(sys.argv[2])
        with trio.fail_after(20):
            while master.statistics().sources[0].next_due == rome:
                await trio.sleep(0.01)
        local, other = master.statistics().sources
        print(round(local.next_due - rome) % 86400, other.next_due == rome)

trio.run(main)
"""


def test_a_master_follows_the_zone_of_the_system(tmp_path: Path) -> None:
    """In a mount namespace with an /etc of its own: noon of Tokyo is eight hours or seven before noon of Rome."""
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "localtime").touch()
    inside = 'mount --bind "$1" /etc && shift && exec "$@"'
    program = [sys.executable, "-W", "error", "-c", FOLLOWS, str(zone_file(ROME)), str(zone_file(TOKYO))]
    environment = {name: value for name, value in os.environ.items() if name != "TZ"}
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", inside, "sh", str(etc), *program],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("needs the right to mount")
    assert done.returncode == 0, done.stderr
    hours, other = done.stdout.split()
    assert int(hours) // 3600 in (24 - 8, 24 - 7)
    assert other == "True"
