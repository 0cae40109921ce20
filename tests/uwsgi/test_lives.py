"""How processes of `trisig uwsgi` live and end: lazy applications, mules that end, reload, stop, harakiri."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from uwsgi_program import SECONDS, decorators, running

LAZY = """
import os, uwsgi
from notes import note
note("import", os.getpid() == uwsgi.masterpid())
def once(signum):
    note("once", uwsgi.mule_id())
    uwsgi.signal(6)
uwsgi.register_signal(5, "mule1", once)
uwsgi.register_signal(6, "workers", lambda signum: note("six", uwsgi.worker_id(), uwsgi.signal_registered(5)))
uwsgi.add_rb_timer(5, 0, 1)
"""

LOCKED = """
import os, time, uwsgi
from uwsgidecorators import lock, signal
from notes import note

@signal(5)
@lock
def work(signum):
    note("work")
    while not os.path.exists("go"):
        time.sleep(0.01)

@signal(6, target="mule1")
def more(signum):
    for _ in range(4):
        uwsgi.signal(5)
    note("raised")

@signal(7, target="mule1")
def end(signum):
    uwsgi.lock()
    note("end")

uwsgi.signal(5)
"""

LIVES = """
import os, uwsgi
from notes import note
note("life", os.environ.get("UWSGI_RELOADS", "0"), uwsgi.is_a_reload)
uwsgi.atexit = lambda: note("atexit", uwsgi.mule_id())
uwsgi.register_signal(9, "mule1", lambda signum: None)
uwsgi.signal(9)
"""

MULE = """
import os, sys, time, uwsgi
from notes import note
life = int(os.environ.get("UWSGI_RELOADS", "0"))
first = not os.path.exists("second")
if first or life:
    uwsgi.signal_wait(9)  # all processes are there: a master that still opens ends them at once
if first:
    open("second", "w").close()
    note("first", os.getpid())
    sys.exit(3)
note("second", os.getpid(), life)
if life == 0:
    note("reload", uwsgi.reload())
elif life == 1:
    open("touched", "w").close()
else:
    uwsgi.stop()
while True:
    time.sleep(0.1)  # cut off at the end
"""

SHARED = """
import os, time, uwsgi
from notes import note
note("early", uwsgi.cache_update("dummy", b"dummy"), uwsgi.cache_get("dummy"))
def sleepy(signum):
    note("sleepy", os.getpid())
    time.sleep(30)
uwsgi.register_signal(1, "worker1", sleepy)
uwsgi.register_signal(2, "worker1", lambda signum: note("raised at import"))
uwsgi.signal(2)
"""

SHARING = """
import os, time, uwsgi
from notes import note
note("cache", uwsgi.cache_get("dummy"), uwsgi.cache_set("dummy", b"x"), uwsgi.cache_exists("no"), uwsgi.cache_del("no"))
note("numbers", uwsgi.cache_inc("n", 5), uwsgi.cache_dec("n"), uwsgi.cache_mul("n"), uwsgi.cache_num("n"))
note("full", uwsgi.cache_set("third", b"x"), uwsgi.cache_keys() == [b"dummy", b"n"], uwsgi.cache_clear())
note("other", uwsgi.cache_set("a", b"x", 0, "second"), uwsgi.cache_get("a"), uwsgi.cache_get("a", "nothing"))
note("long", uwsgi.cache_set("a", b"x" * 20, 0, "second"))
note("metrics", uwsgi.metric_inc("jobs", 5), uwsgi.metric_set_max("jobs", 3), uwsgi.metric_get("jobs"))
note("metrics", uwsgi.metric_mul("jobs", 2), uwsgi.metric_div("jobs", 5), uwsgi.metric_get("jobs"))
note("no metric", uwsgi.metric_inc("no"), uwsgi.metric_get("no"))
while not uwsgi.workers()[0]["pid"]:
    time.sleep(0.01)
workers = uwsgi.workers()
note("workers", sorted(workers[0]) == sorted(
    ["id", "pid", "requests", "delta_requests", "signals", "exceptions", "status", "rss", "vsz", "running_time",
     "last_spawn", "respawn_count", "tx", "avg_rt", "apps"]), workers[0]["pid"] > 0, workers[0]["respawn_count"])
uwsgi.signal(255)
uwsgi.signal(254)
while not os.path.exists("began"):
    time.sleep(0.01)
uwsgi.signal(254)
uwsgi.signal(1)
while True:
    uwsgi.signal_wait()
"""


def test_a_lazy_application_registers_once_and_its_targets_hold(tmp_path: Path) -> None:
    """Every process imports it; a timer exists once, and the handler of a mule runs there."""
    with running(tmp_path, {"app.py": LAZY}, "--lazy-apps", "-p2", "--mule", "app.py") as program:
        notes = program.wait_for("six 1 True", "six 2 True")
    assert notes.count("once 1") == 1
    assert sum(note.startswith("once") for note in notes) == 1
    assert notes.count("import False") == 4  # two workers, a mule, and the process that only looks


def test_a_mule_that_ends_is_restarted_and_the_instance_can_begin_anew(tmp_path: Path) -> None:
    """After a second; `uwsgi.reload()` and a touched file import everything afresh, and `uwsgi.stop()` ends it."""
    files = {"app.py": LIVES, "mule.py": MULE, "touched": ""}
    with running(tmp_path, files, "--mule=mule.py", "--touch-reload=touched", "app.py") as program:
        assert program.process.wait(SECONDS) == 0, program.log()
        notes = program.notes()
    lives = [note for note in notes if note.startswith("life")]
    assert lives == ["life 0 False", "life 1 True", "life 2 True"]
    assert notes.count("atexit 1") == 4  # after the first end, and at the end of each life
    first, second = (next(note.split()[1] for note in notes if note.startswith(word)) for word in ("first", "second"))
    assert first != second
    assert not list(Path("/dev/shm").glob(f"trisig-uwsgi-*{program.process.pid}*"))


KINDS = """
import os, time, uwsgi
from notes import note
def life():
    kind = "spooler" if uwsgi.i_am_the_spooler() else "mule" if uwsgi.mule_id() else "worker"
    note(kind, os.getpid())
uwsgi.post_fork_hook = life
def slow(signum):
    note("slow")
    while not os.path.exists("go"):
        time.sleep(0.01)
    note("slept")
uwsgi.register_signal(1, "worker1", slow)
uwsgi.signal(1)
"""

FOREVER = """
import time
from notes import note
note("version VERSION")
while True:
    time.sleep(0.1)
"""


def test_a_touched_file_renews_the_processes_of_one_kind(tmp_path: Path) -> None:
    """The new program of a mule runs, a handler is not cut off, and other kinds stay."""
    files = dict.fromkeys(("workers", "mules", "spoolers"), "")
    words = [f"--touch-{name}-reload={name}" for name in files] + ["--mule=mule.py", "--spooler=spool", "-p2", "app.py"]
    (tmp_path / "spool").mkdir()
    files |= {"app.py": KINDS, "mule.py": FOREVER.replace("VERSION", "1")}
    with running(tmp_path, files, *words) as program:

        def lives(kind: str) -> int:
            return sum(note.split()[0] == kind for note in program.notes())

        program.wait_for("slow", "version 1")
        program.until(lambda: "master: ready" in program.log())
        (tmp_path / "mule.py").write_text(FOREVER.replace("VERSION", "2"))
        (tmp_path / "mules").touch()
        program.wait_for("version 2")
        assert (lives("worker"), lives("spooler")) == (2, 1)
        (tmp_path / "spoolers").touch()
        program.until(lambda: lives("spooler") == 2)
        (tmp_path / "workers").touch()
        program.until(lambda: lives("worker") == 3)  # the other one runs a handler
        assert "slept" not in program.notes()
        (tmp_path / "go").touch()
        program.wait_for("slept")
        program.until(lambda: lives("worker") == 4)
        assert program.notes().count("slow") == 1


def test_commands_in_a_fifo(tmp_path: Path) -> None:
    """One letter each: workers are replaced, the instance begins anew, and it ends; another letter is in the log."""
    fifo = tmp_path / "fifo"
    files = {"app.py": KINDS, "go": ""}
    with running(tmp_path, files, "--master-fifo=fifo", "--mules=1", "app.py") as program:
        program.until(lambda: "master: ready" in program.log() and fifo.exists())
        write(fifo, "x\nw\n")
        program.until(lambda: "worker1: ready" in program.log())
        assert "'x' is not served; write one of r, " in program.log()
        assert "mule1: ready" not in program.log()
        write(fifo, "r")
        program.until(lambda: program.log().count("master: ready") == 2)
        write(fifo, "q")  # waits for a reader, if there is none yet
        assert program.process.wait(SECONDS) == 0
    assert "master: reloading: master-fifo" in program.log()


def write(fifo: Path, text: str) -> None:
    """As the shell does."""
    subprocess.run(["/bin/sh", "-c", 'printf "$1" > "$0"', fifo, text], check=True, timeout=SECONDS)


def test_a_fifo_that_is_none_ends_the_instance(tmp_path: Path) -> None:
    """With a line, and the file is left alone."""
    with running(tmp_path, {"app.py": "import uwsgi", "fifo": "text"}, "--master-fifo=fifo", "app.py") as program:
        assert program.process.wait(SECONDS) == 1
    assert "master-fifo = fifo: this is no FIFO; remove it, or write another path" in program.log()
    assert (tmp_path / "fifo").read_text() == "text"


@pytest.mark.parametrize("option", ["--logto=uwsgi.log", "--logger=file:uwsgi.log"])
def test_the_log_is_in_a_file_that_a_reload_opens_anew(tmp_path: Path, option: str) -> None:
    """What master, children and the application write; nothing is left on standard error."""
    app = "import os, uwsgi\nprint('printed', flush=True)\nuwsgi.post_fork_hook = lambda: uwsgi.log('logged')\n"
    with running(tmp_path, {"app.py": app, "uwsgi.log": "before\n"}, option, "app.py") as program:
        first, second = tmp_path / "uwsgi.log", tmp_path / "uwsgi.log.1"
        words = ("printed", "master: ready", "logged")
        program.until(lambda: all(word in first.read_text() for word in words))
        first.rename(second)
        program.process.send_signal(signal.SIGHUP)
        program.until(lambda: first.exists() and all(word in first.read_text() for word in words))
    assert second.read_text().startswith("before\n")
    assert "master: reloading: SIGHUP" in second.read_text()
    assert program.log() == ""


def test_a_log_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """Before anything starts."""
    with running(tmp_path, {"app.py": "import uwsgi"}, "--logto=no/uwsgi.log", "app.py") as program:
        assert program.process.wait(SECONDS) == 1
    assert program.log().endswith("log file no/uwsgi.log: No such file or directory; write another path\n")
    assert program.log().count("\n") == 1


def test_processes_share_caches_and_metrics_and_a_slow_handler_ends_its_process(tmp_path: Path) -> None:
    """What one process sets another one gets; harakiri shows where the handler was, and the signal is tried again."""
    options = ["--cache2=name=first,items=2", "--cache2=name=second,blocksize=10", "--metric=name=jobs", "--harakiri=1"]
    options += [
        "--cron=0 0 1 1 -1 touch ran",
        "--unique-cron=0 0 1 1 -1 touch began; while [ ! -e go ]; do sleep 0.1; done",
    ]
    files = {"app.py": SHARED, "mule.py": SHARING}
    with running(tmp_path, files, *options, "--mule=mule.py", "app.py") as program:
        notes = program.wait_for(
            "early True b'dummy'",
            "raised at import",
            "cache b'dummy' None None None",
            "numbers True True True 8",
            "full None True True",
            "other True None None",
            "long None",
            "metrics True True 5",
            "metrics True True 2",
            "no metric None 0",
            "workers True True 0",
        )
        program.until(lambda: len({note for note in program.notes() if note.startswith("sleepy")}) >= 2)
        program.until((tmp_path / "ran").exists)
        program.until(lambda: "skipped, the last one still runs" in program.log())
        (tmp_path / "go").touch()
    assert "in sleepy" in program.log()
    assert notes.count("early True b'dummy'") == 1


def test_an_application_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    """With its traceback, and uWSGI's status of need-app."""
    with running(tmp_path, {"app.py": "import uwsgi\nraise RuntimeError('no database')"}, "app.py") as program:
        assert program.process.wait(SECONDS) == 22
    assert "RuntimeError: no database" in program.log()
    assert "the application cannot be imported" in program.log()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_privileges_are_given_up_before_the_application_is_imported() -> None:
    """`uid` and `gid` hold in the master and in every child, and there is no way back."""
    app = """
import os, uwsgi
from notes import note
note("import", os.getresuid(), os.getresgid(), os.environ["COLOUR"])
uwsgi.post_fork_hook = lambda: note("child", os.getresuid(), os.getresgid(), os.getcwd() == "/")
"""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        options = ("--uid=65534", "--gid=65534", "--env=COLOUR=blue", "--chdir=/", f"--pidfile={name}/pid")
        with running(folder, {"app.py": app}, *options, "--wsgi-file", f"{name}/app.py") as program:
            ids = ((65534,) * 3,) * 2
            program.wait_for(f"import {ids[0]} {ids[1]} blue", f"child {ids[0]} {ids[1]} True")
            assert (folder / "pid").read_text().strip() == str(program.process.pid)


@pytest.mark.parametrize(("words", "runs"), [(["--signal-overlap=skip"], 1), (["--signal-overlap=5 one"], 2), ([], 5)])
def test_a_lock_that_skips(tmp_path: Path, words: list[str], runs: int) -> None:
    """Under `@lock`, workers wait for each other; `signal-overlap` leaves out or folds what is raised meanwhile."""
    files = {"app.py": LOCKED, "uwsgidecorators.py": decorators()}
    command = ["--wsgi-file=app.py", "--workers=3", "--mules=1", "--control=control", *words]
    with running(tmp_path, files, *command) as program:
        program.wait_for("work")
        send(tmp_path, 6)
        program.wait_for("raised")
        (tmp_path / "go").touch()
        program.until(lambda: program.notes().count("work") == runs, f"not {runs} runs")
        send(tmp_path, 7)
        assert program.wait_for("end").count("work") == runs


def send(folder: Path, signum: int) -> None:
    """Raise a signal from outside."""
    command = [sys.executable, "-P", "-m", "trisig", "send", str(signum), "--control=control"]
    subprocess.run(command, cwd=folder, check=True, timeout=SECONDS)


HUNG_UP = """
import os, signal, uwsgi
from notes import note
if uwsgi.worker_id() == 0:
    os.kill(os.getpid(), signal.SIGHUP) if not uwsgi.is_a_reload else None
    note("imported", uwsgi.is_a_reload)
uwsgi.post_fork_hook = lambda: note("forked", uwsgi.is_a_reload)
"""


def test_a_hangup_before_the_instance_is_ready_is_a_reload_too(tmp_path: Path) -> None:
    """It neither stops the instance nor is it lost: here it comes while the application is imported."""
    with running(tmp_path, {"app.py": HUNG_UP}, "app.py") as program:
        program.wait_for("imported False", "imported True", "forked True")


def test_hangups_that_never_pause_do_not_end_an_instance(tmp_path: Path) -> None:
    """Those that come while it becomes the new one wait for it."""
    app = "import uwsgi\nfrom notes import note\nnote('imported', uwsgi.is_a_reload)"
    with running(tmp_path, {"app.py": app}, "app.py") as program:
        program.wait_for("imported False")
        while program.notes().count("imported True") < 3:
            assert program.process.poll() is None, program.log()
            program.process.send_signal(signal.SIGHUP)
            time.sleep(0.005)
