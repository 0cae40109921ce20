"""`trisig run-now`, `pause` and `resume`: an operator and one event source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from program import run, running
from witness import eventually

import trisig

APP = """
import os, trio, trisig
signals = trisig.Signals()

@signals.cron("0 0 1 1 *", target="mule", signum=7, overlap="skip", timezone="UTC")
async def yearly(signum):
    with open("ran", "a") as file:
        print(signals.event(), file=file)
    while not os.path.exists("go"):
        await trio.sleep(0.01)
"""
NAME = "cron of signal 7 at 0 0 1 1 * UTC"


async def test_an_operator_and_a_source(tmp_path: Path) -> None:
    """A source is run by its name or its number, paused or not, says when it is skipped, and goes on."""
    with running(tmp_path, APP, "--mules=1"):
        control = ("--control", "control")
        assert run(tmp_path, "run-now", NAME, *control).returncode == 0
        await eventually((tmp_path / "ran").exists)
        assert run(tmp_path, "pause", "7", *control).returncode == 0
        again = run(tmp_path, "run-now", "7", *control)
        said = "trisig: skipped, because overlap= allows no further signal while one waits or runs\n"
        assert (again.returncode, again.stderr) == (0, said)
        status = json.loads(run(tmp_path, "status", "--json", *control).stdout)
        (source,) = status["sources"]
        assert (source["state"], source["fired"], status["skipped"]) == ("paused", 0, 1)
        assert run(tmp_path, "resume", NAME, *control).returncode == 0
        (tmp_path / "go").touch()
    assert (tmp_path / "ran").read_text() == f"{trisig.Event(NAME)}\n"


async def test_what_an_application_wrote_cannot_be_run() -> None:
    """A source of its own may raise any signal; the error says what to do instead. One that is paused can be run."""
    signals = trisig.Signals()

    class Bell(trisig.EventSource):
        async def run(self, send: trisig.Send) -> None:
            await send(1)
            await send(2)

    source = signals.add_timer(3, 3600)
    async with trisig.open_master(signals) as master:
        signals.pause_source(source)
        assert await master.run_now("3")
        assert await signals.wait(3) == 3
        signals.add_timer(3, 7200)
        with pytest.raises(
            ValueError, match="2 sources are called '3'; expected one of: timer of signal 3 every 3600 s"
        ):
            await master.run_now("3")
        signals.add_source(Bell())
        with pytest.raises(ValueError, match="Bell says which signal only when it raises it; send that signal"):
            await master.run_now("Bell")
