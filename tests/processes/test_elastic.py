"""Workers that come when signals wait, and go when they have nothing to do."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import trio
from witness import Journal, eventually

import trisig


def there(master: trisig.Master) -> list[int]:
    """The numbers of the workers that are not away."""
    workers = [one for one in master.statistics().processes.values() if one.kind == "worker"]
    return [one.number for one in workers if one.state != "cheap"]


async def test_workers_come_and_go(tmp_path: Path) -> None:
    """One at first; all while handlers are slow; one again; no handler is cut off, and active-workers follow."""
    signals, journal, gate = trisig.Signals(), Journal(tmp_path), tmp_path / "gate"

    @signals.handler(1)
    async def slow(signum: int) -> None:
        journal.note("began", os.getpid())
        while not gate.exists():  # noqa: ASYNC110  another process makes it
            await trio.sleep(0.01)
        journal.note("ended")

    @signals.handler(2, "active-workers")
    def active(signum: int) -> None:
        journal.note("active")

    async with trisig.open_master(signals, workers=3, cheaper=1, cheaper_idle=0.3) as master:
        assert there(master) == [1]
        for _ in range(4):
            await signals.send(1)
        await eventually(lambda: there(master) == [1, 2, 3])
        await eventually(lambda: len(journal.read()) == 3)
        await trio.sleep(0.5)  # longer than the idle time: busy workers stay
        assert there(master) == [1, 2, 3]
        await signals.send(2)  # and stay active
        gate.touch()
        await eventually(lambda: master.statistics().done == 4 + 3)
        await eventually(lambda: len(there(master)) == 1)
        await signals.send(2)
        await eventually(lambda: master.statistics().done == 4 + 3 + 1)
        words = Counter(note[1] for note in journal.read())
        assert words == {"began": 4, "ended": 4, "active": 3 + 1}
        assert not master.statistics().failed


async def test_a_signal_for_a_worker_that_is_away_fetches_it(tmp_path: Path) -> None:
    """Nothing waits for ever; one that an operator has stopped stays stopped."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(1, "workers", lambda signum: journal.note(trisig.current_process().name))
    signals.register(2, "worker3", lambda signum: journal.note("third"))
    async with trisig.open_master(signals, workers=4, cheaper=1, cheaper_initial=2, cheaper_idle=60) as master:
        assert there(master) == [1, 2]
        await signals.send(2)
        await eventually(lambda: there(master) == [1, 2, 3] and len(journal.read()) == 1)
        await master.cheap(2)
        await signals.send(1)
        await eventually(lambda: there(master) == [1, 3, 4] and len(journal.read()) == 4)
        await master.wake(2)
        await eventually(lambda: len(journal.read()) == 5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": 2, "cheaper": 2}, "cheaper is less than workers, which is 2, not 2"),
        ({"workers": 4, "cheaper": 2, "cheaper_initial": 1}, "from cheaper to workers, 2 to 4, not 1"),
        ({"workers": 4, "cheaper_initial": 1}, "cheaper_initial goes with cheaper"),
    ],
)
async def test_numbers_that_contradict_each_other(options: dict[str, int], words: str) -> None:
    """They are an error before anything starts."""
    with pytest.raises(ValueError, match=words):
        async with trisig.open_master(trisig.Signals(), **options):  # type: ignore[arg-type]
            raise AssertionError
