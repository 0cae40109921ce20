"""Another version of an application, under the same master: what `trisig reload`, SIGHUP and saved files do."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from program import SECONDS, TRISIG, read_until, run, running

# Each line of `notes` is one note: what happened, and in which process.
HEAD = """
import os, pathlib, time, trisig
signals = trisig.Signals()
VERSION = {version}

def note(*words):
    with open("notes", "a") as file:
        file.write(" ".join(map(str, words)) + "\\n")
"""
TICKING = """
@signals.timer(0.02, target="mule")
def tick(signum):
    note("tick", VERSION, round(signals.event().due, 4))
"""
SLOW = """
@signals.handler(40, target="worker1")
def slow(signum):
    note("began", VERSION, os.getpid())
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    note("ended", VERSION, os.getpid())
"""
ASKED = """
@signals.handler(41, target="workers")
def asked(signum):
    note("asked", VERSION)
"""
APP = HEAD + TICKING + SLOW + ASKED


class Folder:
    """The folder of an application, and the master that runs it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, version: int, source: str = APP) -> str:
        """Save a version of the application; returns its text."""
        text = source.replace("{version}", str(version))
        (self.path / "app.py").write_text(text)
        return text

    def notes(self, word: str = "") -> list[str]:
        """What was noted, if it begins with a word."""
        path = self.path / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if line.startswith(word)]

    def until(self, look: Callable[[], object]) -> None:
        """Wait for what no descriptor announces."""
        give_up = time.monotonic() + SECONDS
        while not look():
            assert time.monotonic() < give_up, self.notes()[-30:]
            time.sleep(0.01)

    def ask(self, *words: object) -> subprocess.CompletedProcess[str]:
        """A command of the operator."""
        return run(self.path, *words, "--control", "control")

    def reload(self) -> None:
        """Reload, which has to succeed."""
        done = self.ask("reload")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("reloaded in "), done.stdout

    def status(self) -> dict[str, Any]:
        """As JSON."""
        status: dict[str, Any] = json.loads(self.ask("status", "--json").stdout)
        return status


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty one."""
    return Folder(tmp_path)


def test_every_process_runs_the_new_version_and_nothing_is_lost(folder: Folder) -> None:
    """A handler that runs ends in its process, what is queued is handled, and a timer ticks once at each due moment."""
    with running(folder.path, folder.save(1), "--workers=2", "--mules=1", "--grace=60"):
        folder.until(lambda: len(folder.notes("tick 1")) > 3)
        folder.ask("send", 40)
        folder.until(lambda: folder.notes("began"))
        folder.ask("send", 41)  # waits behind the slow one in worker1
        folder.save(2)
        with subprocess.Popen(
            [*TRISIG, "reload", "--control", "control"], cwd=folder.path, stderr=subprocess.PIPE, text=True
        ) as asked:
            assert asked.stderr is not None
            assert any("worker1 is running signal 40" in line for line in asked.stderr)
            assert folder.status()["master"]["state"] == "reloading"
            assert "a reload is under way" in folder.ask("reload").stderr
            (folder.path / "go").touch()
            assert asked.wait(SECONDS) == 0
        folder.ask("send", 41)
        folder.until(lambda: len(folder.notes("asked")) == 4)
        folder.until(lambda: len(folder.notes("tick 2")) > 3)
        status = folder.status()
        assert status["master"]["last_reload"]["error"] == ""
        assert status["accepted"] == status["done"] + status["queued"] + status["in_flight"]
    # Worker2 ran its first one at once; worker1 had one before it could leave, or has left it to the next.
    assert Counter(folder.notes("asked"))["asked 2"] in (2, 3)
    began, ended = folder.notes("began")[0].split()[1:], folder.notes("ended")[0].split()[1:]
    assert began == ended
    due = [float(note.split()[2]) for note in folder.notes("tick")]
    # While the mule is away, ticks are one signal. The wall clock may be slewed meanwhile, so steps are looked at.
    steps = [(after - before) * 50 for before, after in pairwise(due)]
    assert all(round(step) >= 1 and abs(step - round(step)) < 0.25 for step in steps)


def test_a_version_that_does_not_work_changes_nothing(folder: Folder) -> None:
    """The asker sees the traceback, and one line; a process that cannot start has those before it replaced back."""
    with running(folder.path, folder.save(1, HEAD + ASKED), "--workers=2") as app:
        pids = {one["pid"] for one in folder.status()["processes"].values()}
        folder.save(2, HEAD + ASKED + "\nsignals.register(1, 'workers', nothing)\n")
        failed = folder.ask("reload")
        assert failed.returncode == 1
        *traceback, line = failed.stderr.splitlines()
        assert traceback[-1] == "NameError: name 'nothing' is not defined"
        assert line.startswith(
            "trisig: not reloaded, the version of before runs: the new version cannot run (NameError"
        )
        assert {one["pid"] for one in folder.status()["processes"].values()} == pids
        folder.save(2, HEAD + ASKED.replace("workers", "mules"))
        assert "mules" in folder.ask("reload").stderr  # there are none
        folder.save(2, HEAD + ASKED + "\n@signals.on_start('worker2')\ndef start():\n    raise OSError('no room')\n")
        failed = folder.ask("reload")
        assert failed.returncode == 1
        assert "worker2 failed to start (exit status 1): OSError: no room" in failed.stderr.splitlines()[-1]
        read_until(app, "going back to the version of before")
        folder.ask("send", 41)
        folder.until(lambda: len(folder.notes("asked")) == 2)
        assert set(folder.notes("asked")) == {"asked 1"}
        assert "no room" in folder.status()["master"]["last_reload"]["error"]
        folder.save(3, HEAD + ASKED)
        folder.reload()
        folder.ask("send", 41)
        folder.until(lambda: len(folder.notes("asked 3")) == 2)


def test_what_a_version_adds_and_takes_away(folder: Folder) -> None:
    """Numbers and tasks keep their meaning, what is raised early waits for the last process, and the rest goes."""
    old = HEAD + (
        "@signals.timer(0.05, target='mule')\ndef first(signum): note('first', VERSION, signum)\n"
        "@signals.task('worker')\ndef gone(): note('gone')\n"
        "@signals.task('worker1')\ndef kept(): note('kept', VERSION)\n"
    )
    # The new timer stands before the old one, and would take its number; the start hook raises what only new ones know.
    new = HEAD + (
        "@signals.timer(0.05, target='mule')\ndef second(signum): note('second', VERSION, signum)\n"
        "@signals.timer(0.05, target='mule')\ndef first(signum): note('first', VERSION, signum)\n"
        "@signals.task('workers')\ndef added(x: int): note('added', x)\n"
        "@signals.task('worker1')\ndef kept(): note('kept', VERSION)\n"
        "@signals.handler(77, 'worker')\ndef late(signum): note('late', VERSION)\n"
        "@signals.on_start('worker1')\n"
        "async def start():\n"
        "    await added.send(5)\n"
        "    await signals.send(77)\n"
        "    await kept.send()\n"
    )
    last = HEAD + "@signals.handler(77, 'worker')\ndef late(signum): note('last', VERSION)\n"
    with running(folder.path, folder.save(1, old), "--workers=2", "--mules=1"):
        folder.until(lambda: folder.notes("first 1 0"))
        folder.save(2, new)
        folder.reload()
        folder.until(lambda: len(folder.notes("added 5")) == 2 and folder.notes("late 2") and folder.notes("kept 2"))
        folder.until(lambda: folder.notes("first 2 0") and folder.notes("second 2 1"))
        assert not folder.notes("first 2 1")
        assert not folder.notes("second 2 0")
        folder.save(3, last)
        folder.reload()
        status = folder.status()
        assert status["sources"] == []
        assert [signum for signum, one in status["signals"].items() if one["target"]] == ["77"]
        folder.ask("send", 77)
        folder.until(lambda: folder.notes("last 3"))
        assert folder.status()["dead_lettered"] == 0


def test_a_retry_outlives_a_reload(folder: Folder) -> None:
    """A signal whose handler has failed is tried again by the new version, with the attempts that it had."""
    source = HEAD + (
        "@signals.handler(50, target='worker', retry=trisig.Backoff(0.3, 0.3, attempts={attempts}))\n"
        "def restless(signum):\n"
        "    note('tried', VERSION)\n"
        "    raise OSError\n"
    )
    with running(folder.path, folder.save(1, source.replace("{attempts}", "10_000")), "--workers=2"):
        folder.ask("send", 50)
        folder.until(lambda: folder.notes("tried 1"))
        folder.save(2, source.replace("{attempts}", "1"))  # more than that many were made by then
        folder.reload()
        folder.until(lambda: folder.status()["dead_lettered"] == 1)
        [letter] = json.loads(folder.ask("dead-letters", "list", "--json").stdout)
        assert letter["failures"] == len(folder.notes("tried"))
        assert folder.notes("tried")[-1] == "tried 2"


def test_it_reloads_when_it_is_told(folder: Folder) -> None:
    """By SIGHUP where there is no terminal, by a touched file, and with `--reload` by each save that works."""
    options = ("--touch-reload=touched", "--reload", "--workers=1")
    source = HEAD + "note('imported', VERSION)\n"
    with running(folder.path, folder.save(1, source), *options) as app:
        app.send_signal(signal.SIGHUP)
        folder.until(lambda: len(folder.notes("imported 1")) >= 2)
        read_until(app, "master: reloaded in")
        (folder.path / "touched").touch()
        folder.until(lambda: len(folder.notes("imported 1")) >= 3)
        read_until(app, "master: reloaded in")
        folder.save(2, source)
        folder.until(lambda: folder.notes("imported 2"))
        read_until(app, "master: reloaded in")
        folder.save(3, source + "(")
        read_until(app, "SyntaxError: '(' was never closed")
        folder.save(4, source)
        folder.until(lambda: folder.notes("imported 4"))
        read_until(app, "master: reloaded in")


def test_a_file_that_is_saved_twice_within_a_second(folder: Folder) -> None:
    """The second content counts, though the bytecode of the first one has the same time and size."""
    source = "VERSION = {version}\n"
    (folder.path / "version.py").write_text(source.replace("{version}", "1"))
    text = folder.save(1, HEAD.replace("VERSION = {version}", "from version import VERSION") + ASKED)
    with running(folder.path, text, "--workers=1"):
        soon = int(time.time()) + SECONDS  # so that no import comes later than a second after it
        for version in (2, 3):
            path = folder.path / "version.py"
            path.write_text(source.replace("{version}", str(version)))
            os.utime(path, (soon, soon))
            folder.reload()
        folder.ask("send", 41)
        folder.until(lambda: folder.notes("asked"))
        assert folder.notes("asked") == ["asked 3"]


def test_with_a_journal_and_kills(folder: Folder) -> None:
    """Children of the new version note what they raise in the journal, and their zygote is made again when killed."""
    source = HEAD + ASKED + (
        "@signals.handler(42, 'worker1')\n"
        "def raise_more(signum):\n"
        "    for _ in range(200):\n"
        "        signals.send_nowait(90)\n"
        "    note('raised', VERSION, os.getpid())\n"
    )  # fmt: skip
    with running(folder.path, folder.save(1, source), "--workers=2", "--journal=journal") as app:
        folder.save(2, source)
        folder.reload()
        folder.ask("send", 42)
        folder.until(lambda: folder.status()["signals"]["42"]["done"] == 1)  # else it would run again
        for victim in (folder.notes("raised 2")[0].split()[2], zygote_of(app.pid)):
            os.kill(int(victim), signal.SIGKILL)
        pid = int(folder.notes("raised 2")[0].split()[2])
        folder.until(lambda: folder.status()["processes"]["worker1"]["pid"] not in (0, pid))
        folder.ask("send", 42)
        folder.until(lambda: folder.status()["signals"]["42"]["done"] == 2)
        app.kill()
        app.wait(SECONDS)
    with running(folder.path, folder.save(3, source), "--workers=2", "--journal=journal"):
        assert folder.status()["signals"]["90"]["accepted"] == 400


def zygote_of(master: int) -> int:
    """The child of a master that forks the others."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name == "trisig:zygote" and int(rest.split()[1]) == master:
            return int(path.parent.name)
    raise AssertionError("there is no zygote")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_master_that_ends_while_the_application_is_imported(folder: Folder, how: signal.Signals) -> None:
    """It waits for no import, and leaves no process behind."""
    with running(folder.path, folder.save(1, HEAD), "--workers=1") as app:
        folder.save(2, HEAD + "note('importing', os.getpid())\ntime.sleep(600)\n")
        app.send_signal(signal.SIGHUP)
        folder.until(lambda: folder.notes("importing"))
        app.send_signal(how)
        assert app.wait(SECONDS) == (0 if how == signal.SIGTERM else -how)
        pid = int(folder.notes("importing")[0].split()[1])
        folder.until(lambda: not Path(f"/proc/{pid}").exists())


def test_the_service_manager_hears_of_it(folder: Folder) -> None:
    """RELOADING with the time in one message, and READY when it is over, whether it succeeded or not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder.path / "notify"))
        manager.settimeout(SECONDS)
        os.environ["NOTIFY_SOCKET"] = str(folder.path / "notify")
        try:
            with running(folder.path, folder.save(1, HEAD), "--workers=1") as app:
                assert manager.recv(65_536).startswith(b"READY=1\n")
                before = time.monotonic_ns() // 1000
                app.send_signal(signal.SIGHUP)
                reloading, moment, _ = manager.recv(65_536).decode().split("\n")
                assert reloading == "RELOADING=1"
                assert before <= int(moment.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
                assert manager.recv(65_536).startswith(b"READY=1\n")
        finally:
            del os.environ["NOTIFY_SOCKET"]


def test_what_cannot_be_reloaded_says_so(folder: Folder) -> None:
    """A program that opens its master itself has to say where its application is."""
    (folder.path / "own.py").write_text(
        "import sys, trisig\n"
        "signals = trisig.Signals()\n"
        "if __name__ == '__main__':\n"
        "    where = dict(application='own') if sys.argv[1:] else {}\n"
        "    sys.exit(trisig.run(signals, control='control', **where))\n"
    )
    for words in ((), ("with",)):
        with subprocess.Popen([TRISIG[0], "-P", "own.py", *words], cwd=folder.path) as own:
            folder.until((folder.path / "control").exists)
            folder.until(lambda: "starting" not in folder.ask("status").stderr)
            asked = folder.ask("reload")
            if words:
                assert asked.returncode == 0, asked.stderr
            else:
                assert asked.returncode == 1
                assert asked.stderr.startswith("trisig: this master does not know where its application is")
            own.terminate()
            assert own.wait(SECONDS) == 0
