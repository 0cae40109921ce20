"""What was given up: it is listed, runs again when it is requeued, and is gone when it is dropped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import trio
from program import SECONDS, read_until, run, running
from witness import Journal, eventually, words

import trisig


async def test_what_was_given_up_is_listed_requeued_and_dropped(tmp_path: Path) -> None:
    """Signals and tasks, each with what it was; requeued with all attempts again, and the account holds throughout."""
    kills, notes, signals = words(), Journal(tmp_path), trisig.Signals()

    @signals.task("worker")
    def risky(text: str) -> None:
        if not kills[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        notes.note("task", text)

    @signals.handler(9, "worker2")
    def handle(signum: int) -> None:
        if not kills[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        notes.note("signal", signum)

    def balanced() -> trisig.MasterStatistics:
        now = master.statistics()
        assert now.accepted == now.done + now.queued + now.in_flight + now.dead_lettered
        return now

    async with trisig.open_master(signals, workers=2, max_attempts=2) as master:
        await risky.send("a")
        await eventually(lambda: balanced().dead_lettered == 1)
        await signals.send(9)
        await risky.send("b")
        await eventually(lambda: balanced().dead_lettered == 3)
        letters = {str(one.arguments or one.signum): one for one in await master.dead_letters.list()}
        first, second, third = letters["b'\\x91\\xa1a'"], letters["9"], letters["b'\\x91\\xa1b'"]
        assert (first.task, first.signum, first.destination, first.attempts) == (risky.name, None, "worker", 2)
        assert (second.task, second.signum, second.destination) == (None, 9, "worker2")
        assert 0 < first.at <= second.at <= third.at + 60
        again = await master.dead_letters.requeue(first.id)
        await eventually(lambda: balanced().dead_lettered == 3 and balanced().redelivered >= 4)  # it killed twice again
        kills[0] = 1
        (last,) = [one for one in await master.dead_letters.list() if one.arguments == again.arguments]
        await master.dead_letters.requeue(last.id)
        await master.dead_letters.requeue(second.id)
        assert await master.dead_letters.drop(third.id) == third
        await eventually(lambda: len(notes.read()) == 2)
        end = await eventually(lambda: now if not (now := balanced()).in_flight else None)
        assert (end.dead_lettered, end.signals[9].dead_lettered, end.tasks[risky.name].dead_lettered) == (1, 0, 1)
        assert await master.dead_letters.list() == ()
        for verb in (master.dead_letters.requeue, master.dead_letters.drop):
            with pytest.raises(LookupError, match=f"there is no dead letter '{last.id}'"):
                await verb(last.id)
        with pytest.raises(RuntimeError, match="dead letters are listed"):
            await trio.to_thread.run_sync(trio.run, master.dead_letters.list)
    assert sorted(note[1:] for note in notes.read()) == [("signal", 9), ("task", "a")]


APP = """
import os, signal
from pathlib import Path
import trisig
signals = trisig.Signals()

@signals.task("mule")
def risky(text: str) -> None:
    if not Path("safe").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    Path("ran").write_text(text)

@signals.handler(6, target="mule", retry=trisig.Backoff(0.01, 0.01, attempts=2))
def broken(signum: int) -> None:
    raise ValueError("not today")

@signals.handler(5, target="worker")
async def send(signum: int) -> None:
    await risky.send("a")
    await risky.send("b")
"""


async def test_the_command_lists_requeues_and_drops(tmp_path: Path) -> None:
    """`trisig dead-letters` in words and for programs; an unknown id is a failure that names it, and stops no other."""

    def asked(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run(tmp_path, "dead-letters", *arguments, "--control", "control")

    with running(tmp_path, APP, "--mules=1", "--max-attempts=1") as app:
        assert run(tmp_path, "send", "5", "--control", "control").returncode == 0
        for _ in range(2):
            read_until(app, "dead-letter")
        first, second = asked("list").stdout.splitlines()
        assert first.startswith("0  20")
        assert first.endswith("app.risky for mule1, 3 bytes of arguments: ended its process once")
        assert '"destination": "mule1"' in asked("list", "--json").stdout
        (tmp_path / "safe").touch()
        assert asked("requeue", "0").stderr == "trisig: requeued task app.risky for mule1\n"
        await eventually((tmp_path / "ran").exists)
        gone = asked("drop", "nope", second.split()[0])
        assert (gone.returncode, gone.stdout) == (1, "")
        assert gone.stderr == "trisig: there is no dead letter 'nope'\ntrisig: dropped task app.risky for mule1\n"
        assert run(tmp_path, "send", "6", "--control", "control").returncode == 0
        log = "".join(read_until(app, "failed 2 times"))
        assert "ValueError: not today" in log
        assert [line.count("app.py") for line in log.splitlines() if " File " in line] == [1, 1], log
        assert asked("list").stdout.endswith("signal 6 for mule1: failed 2 times\n")
        app.terminate()
        assert app.wait(SECONDS) == 0


async def test_dead_jobs_are_listed_requeued_and_dropped_too(tmp_path: Path) -> None:
    """A job in `dead` is a dead letter of the spool: with its reason, by the name of its file."""
    safe, notes, signals, spool = words(), Journal(tmp_path), trisig.Signals(), tmp_path / "spool"

    @signals.task("spooler", durable=True)
    def risky(text: str) -> None:
        if not safe[0]:
            raise ValueError("not yet")
        notes.note(text)

    def dead() -> int:
        now = master.statistics().spool
        return now.dead_lettered if now else 0

    async with trisig.open_master(signals, workers=0, spoolers=1, spool=spool) as master:
        await risky.send("a")
        await eventually(lambda: dead() == 1)
        (letter,) = await master.dead_letters.list()
        assert (letter.task, letter.destination, letter.signum) == (risky.name, "spool", None)
        assert (letter.reason, letter.attempts) == ("it has raised ValueError: not yet", 1)
        assert (spool / "dead" / letter.id).exists()
        assert abs(letter.at - time.time()) < SECONDS
        await risky.send("b")
        await eventually(lambda: dead() == 2)
        safe[0] = 1
        second = next(one for one in await master.dead_letters.list() if one.id != letter.id)
        assert await master.dead_letters.requeue(letter.id) == letter
        await eventually(lambda: [text for _, text in notes.read()] == ["a"])
        assert await master.dead_letters.drop(second.id) == second
        assert await master.dead_letters.list() == ()
        assert os.listdir(spool / "dead") == []  # noqa: PTH208  only names are wanted
        with pytest.raises(LookupError, match="there is no dead letter"):
            await master.dead_letters.requeue(f"../{letter.id}")
