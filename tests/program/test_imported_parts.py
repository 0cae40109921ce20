"""A run imports what it uses, and nothing else: what only some runs use costs the others neither time nor memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys
import logging, msgspec, trio
theirs = set(sys.modules)
import trisig

signals = trisig.Signals()
{declared}

def report():
    print(os.getpid(), *sorted(sys.modules.keys() - theirs), flush=True)

@signals.on_start("worker1")
def start():
    signals.send_nowait(1)

@signals.handler(1)
async def handle(signum):
    await trio.sleep(0.01)
    report()
    os.kill(os.getppid(), signal.SIGTERM)

print(os.getpid(), flush=True)
trisig.run(signals, workers=2, **dict({options}))
report()
"""

# What a plain run does not use: folders, their modules where a run uses others of the folder, and what those import.
PARTS = {
    "journal": "_journal _master.journaling _master.restore _linux.inotify",
    "spool": "_spool _master.job_feeder _child.job_runner _linux.inotify",
    "cluster": "_cluster _master.cluster_seat _master.leader_services",
    "sockets": "_remote _control _linux.inotify",
    "control": "_control _desk _master.commands _linux.inotify",
    "cheaper": "_master.elastic",
    "handler_timeout": "_master.harakiri",
    "application": (
        "_master.reloader _master.adoption _master.fresh_start _master.reload_watch _model.manifest _api.manifest"
        " _api.removed_task _prefork.interpreter _ipc.orders _sources.files _sources.monitor _linux.inotify sysconfig"
    ),
    "timer": "_sources.timers _sources.cron _sources.jitter _sources.unique",
    "cron": "_sources.cron _sources.jitter _sources.unique _sources.schedule _sources.local_time _sources.watcher"
    " _sources.monitor _linux.inotify zoneinfo sysconfig cronsim",
    "file_monitor": "_sources.files _sources.watcher _sources.monitor _linux.inotify",
    "handlers registered while it runs": "_ipc.handler_pickle pickle",
    "the command": "_cli click _util.log_setup _util.json_log _fresh",
    "other doors": "_lua _testing lua metrics otel postgres remote testing uwsgi",
    "nothing of it": "asyncio concurrent.futures email http multiprocessing sqlite3 urllib xml",
}
EVERY_PART = " ".join(PARTS.values())
ALWAYS = {"_cluster", "_cluster.engine"}  # of the public API: light, and imports nothing else

USED = {
    "": ("", ""),
    "journal": ("", "journal='journal'"),
    "spool": ("", "spool='spool'"),
    "sockets": ("", "sockets=['socket']"),
    "control": ("", "control='control'"),
    "cheaper": ("", "cheaper=1"),
    "handler_timeout": ("", "handler_timeout=5"),
    "application": ("", "application='program.py:signals'"),
    "timer": ("signals.add_timer(9, 60)", ""),
    "cron": ("signals.add_cron(9, '0 0 1 1 *')", ""),
    "file_monitor": ("signals.add_file_monitor(9, '.')", ""),
}


def is_of(module: str, words: str) -> bool:
    """Whether a module is one of those, or in one of those folders."""
    return any(f"{module}.".startswith(f"{word}.") for word in words.split())


@pytest.mark.parametrize("used", USED)
def test_a_run_imports_the_parts_that_it_uses(used: str, tmp_path: Path) -> None:
    """In the master and in a worker there is none of what other options are for; and all of what this one is for."""
    declared, options = USED[used]
    (tmp_path / "program.py").write_text(PROGRAM.format(declared=declared, options=options))
    command = [sys.executable, "-W", "error", "program.py"]
    run = subprocess.run(command, cwd=tmp_path, check=True, timeout=60, stdout=subprocess.PIPE, text=True)
    (master,), *reports = map(str.split, run.stdout.splitlines())
    assert {pid == master for pid, *_ in reports} == {True, False}
    mine = PARTS.get(used, "")
    for pid, *modules in reports:
        short = {name.removeprefix("trisig.") for name in modules} - ALWAYS
        assert {name for name in short if is_of(name, EVERY_PART) and not is_of(name, mine)} == set()
        if pid == master:
            ours = [word for word in mine.split() if word.startswith("_")]  # what measures a test may have the others
            assert [word for word in ours if not any(is_of(name, word) for name in short)] == []


WATCHED = """
import os, sys, threading, trio, trisig

signals = trisig.Signals()

class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            print(name, flush=True)

@signals.service("master")
async def watch(master):
    sys.meta_path.insert(0, Watch())
    master.statistics()
    signals.send_nowait(1)
    await trio.sleep_forever()

@signals.handler(1, target="worker1")
def add(signum):
    signals.add_cron(2, "0 0 1 1 *", timezone="Europe/Vienna")
    signals.add_file_monitor(2, ".")
    signals.add_timer(2, 60)
    signals.send_nowait(3)

@signals.handler(3, target="worker2")
def stop(signum):
    os.kill(os.getppid(), 15)

signals.register(2, "worker", lambda signum: None)
trisig.run(signals, workers=2)
"""


def test_a_master_that_runs_imports_nothing_itself(tmp_path: Path) -> None:
    """What a child adds is imported in a thread meanwhile: the master's own one waits for no disk."""
    (tmp_path / "program.py").write_text(WATCHED)
    command = [sys.executable, "program.py"]
    run = subprocess.run(command, cwd=tmp_path, check=True, timeout=60, stdout=subprocess.PIPE, text=True)
    assert run.stdout.split() == []
