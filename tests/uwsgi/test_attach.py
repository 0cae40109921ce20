"""Processes beside `trisig uwsgi` that import uwsgi: one of the test's own, gunicorn with Flask, and Granian."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port
from uwsgi_program import SECONDS, Program, decorators, running

INSTANCE = """
import os, uwsgi
from uwsgidecorators import signal, spool, mulefunc, timer
from notes import note

@signal(17, target="mule1")
def seventeen(signum):
    note("signal", signum, uwsgi.mule_id())

@spool
def job(arguments):
    note("job", arguments["name"])
    return uwsgi.SPOOL_OK

@mulefunc
def far(number):
    note("far", number, uwsgi.mule_id())

@timer(3600)
def hourly(signum):
    note("hourly")
"""
TALKING = """
import os, sys, uwsgi
import app
from notes import note

def said(name, call, *arguments):
    try:
        note(name, call(*arguments))
    except Exception as error:
        note(name, type(error).__name__, error)

note("who", uwsgi.worker_id(), uwsgi.mule_id(), uwsgi.masterpid(), uwsgi.numproc, uwsgi.opt["mules"])
note("registered", uwsgi.signal_registered(17), uwsgi.signal_registered(200))
uwsgi.signal(17)
app.job.spool(name="written")
app.far(5)
uwsgi.cache_set("key", b"value")
note("cache", uwsgi.cache_get("key"), uwsgi.metric_inc("hits", 2), uwsgi.metric_get("hits"))
note("sent", uwsgi.mule_msg(b"x" * 100_000, 1), uwsgi.mule_msg(b"short"), uwsgi.mule_msg(b"no", 7))
said("mine", uwsgi.register_signal, 17, "mule1", print)
said("theirs", uwsgi.register_signal, 17, "worker", print)
said("wait", uwsgi.signal_wait)
said("get", uwsgi.mule_get_msg)
uwsgi.lock(1)
note("locked", uwsgi.is_locked(1), uwsgi.is_locked(2))
said("again", uwsgi.lock, 1)
pid = os.fork()
if pid == 0:
    uwsgi.lock(2)
    note("child", uwsgi.is_locked(1), uwsgi.is_locked(2))
    os._exit(0)
os.waitpid(pid, 0)
uwsgi.unlock(1)
note("unlocked", uwsgi.is_locked(1))
note("workers", len(uwsgi.workers()), uwsgi.workers()[0]["pid"] > 0)
"""
HOOK = """
decorated = uwsgi.mule_msg_hook
def hook(message):
    note("message", len(message))
    if len(message) not in (5, 100_000):
        decorated(message)
uwsgi.mule_msg_hook = hook
"""
WEB = """
import os, uwsgi
import app
from flask import Flask
from notes import note

web = Flask(__name__)

@web.get("/")
def index():
    uwsgi.signal(17)
    app.job.spool(name="web")
    return str(os.getpid())
"""
ASGI = """
import os, uwsgi
import app

async def web(scope, receive, send):
    if scope["type"] != "http":
        return
    uwsgi.signal(17)
    app.job.spool(name="web")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""
OPTIONS = (
    *("--control=control", "--import=app", "--mules=2", "--spooler=jobs", "--cache2=name=c", "--metric=name=hits"),
    "--locks=3",
)


@contextmanager
def instance(folder: Path, **files: str) -> Iterator[Program]:
    """An instance that is ready, beside which other programs run."""
    (folder / "jobs").mkdir(exist_ok=True)
    contents = {f"{name}.py": text for name, text in files.items()}
    with running(folder, {"uwsgidecorators.py": decorators(), **contents}, *OPTIONS) as program:
        program.until(lambda: "master: ready" in program.log())
        yield program


def attached(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    """A program with the module."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    words = [sys.executable, "-P", "-m", "trisig.uwsgi", "--control=control", *command]
    return subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def test_an_attached_process_has_the_same_module(tmp_path: Path) -> None:
    """Signals, jobs, messages, caches, metrics and locks are the instance's; handlers run there alone."""
    with instance(tmp_path, app=INSTANCE + HOOK, talking=TALKING) as program:
        with attached(tmp_path, sys.executable, "talking.py") as talking:
            assert talking.stdout is not None
            assert talking.stdout.read() == b""
            assert talking.wait(SECONDS) == 0
        notes = program.wait_for("signal 17 1", "job written", "message 100000", "message 5")
        program.until(lambda: [note for note in program.notes() if note.startswith("far 5")])
        assert f"who 0 0 {program.process.pid} 1 b'2'" in notes
        for note in (
            "registered True None",
            "cache b'value' True 2",
            "sent True True False",
            "mine None",
            "theirs ValueError signal 17 is registered for 'mule1' in the master, and for 'worker' here",
            "get ValueError you can receive mule messages only in a mule !!!",
            "locked True False",
            "again DeadlockError this thread holds lock 1 already, and would wait for itself",
            "child True True",
            "unlocked False",
            "workers 1 True",
        ):
            assert note in notes, notes
        assert any(note.startswith("wait RuntimeError this process is attached") for note in notes)


def test_a_lock_is_freed_with_its_process(tmp_path: Path) -> None:
    """Whatever ends it."""
    holding = "import time, uwsgi\nfrom notes import note\nuwsgi.lock(1)\nnote('held')\ntime.sleep(600)\n"
    taking = "import uwsgi\nfrom notes import note\nnote('asks')\nuwsgi.lock(1)\nnote('taken')\n"
    with instance(tmp_path, app="", holding=holding, taking=taking) as program:
        with attached(tmp_path, sys.executable, "holding.py") as first:
            program.wait_for("held")
            with attached(tmp_path, sys.executable, "taking.py") as second:
                program.wait_for("asks")
                program.until(lambda: "waiting: " in status(tmp_path))
                assert "taken" not in program.notes()
                first.kill()
                program.wait_for("taken")
                assert second.wait(SECONDS) == 0


def status(folder: Path) -> str:
    """What `trisig status` says."""
    words = [sys.executable, "-P", "-m", "trisig", "status", "--control=control"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=True).stdout


def test_an_attached_process_outlives_its_instance(tmp_path: Path) -> None:
    """A call while it restarts waits, and goes to the next one; with none in time it raises."""
    restless = (
        "import trisig.uwsgi, time\n"
        "from notes import note\n"
        "uwsgi = trisig.uwsgi.attach('control', timeout=30)\n"
        "note('first', uwsgi.masterpid(), uwsgi.is_reload if hasattr(uwsgi, 'is_reload') else None)\n"
        "uwsgi.reload()\n"
        "import os\n"
        "while os.path.exists('gone') is False: time.sleep(0.01)\n"
        "uwsgi.signal(17)\n"
        "note('raised')\n"
        "uwsgi = trisig.uwsgi.attach('nowhere', timeout=0.2)\n"
        "try:\n"
        "    uwsgi.signal(17)\n"
        "except RuntimeError as error:\n"
        "    note(type(error).__name__, str(error).partition(':')[0])\n"
    )
    with instance(tmp_path, app=INSTANCE, restless=restless) as program:
        with attached(tmp_path, sys.executable, "restless.py") as other:
            program.until(lambda: "master: stopped" in program.log())
            (tmp_path / "gone").touch()
            program.wait_for("raised", "signal 17 1", "NoMasterError no master has answered for 0.2 s")
            assert other.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("server", "library", "words"),
    [
        ("gunicorn", "flask", ["-m", "gunicorn", "-w2", "--no-control-socket", "-b127.0.0.1:{port}", "web:web"]),
        ("gunicorn --preload", "flask", ["-m", "gunicorn", "--preload", "-w2", "-b127.0.0.1:{port}", "web:web"]),
        ("granian", "granian", ["-m", "granian", "--workers=2", "--interface=asgi", "--port={port}", "asgi:web"]),
    ],
)
def test_a_web_server_raises_signals_and_writes_jobs(
    tmp_path: Path, server: str, library: str, words: list[str]
) -> None:
    """Whether its workers are forked or spawned, and wherever it imports the application."""
    pytest.importorskip(server.split(maxsplit=1)[0])
    pytest.importorskip(library)
    port = free_port()
    with instance(tmp_path, app=INSTANCE, web=WEB, asgi=ASGI) as program:
        command = [sys.executable, *(word.replace("{port}", str(port)) for word in words)]
        with attached(tmp_path, *command) as web:
            try:
                pids = {answer(port, web) for _ in range(4)}
                program.until(lambda: program.notes().count("signal 17 1") == 4)
                program.until(lambda: program.notes().count("job web") == 4)
                assert str(program.process.pid) not in pids
            finally:
                os.killpg(web.pid, signal.SIGKILL)  # how the server ends is its own affair


def answer(port: int, web: subprocess.Popen[bytes]) -> str:
    """What the server says, once it listens."""
    give_up = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=SECONDS) as response:
                return str(response.read().decode())
        except OSError:
            assert web.poll() is None, web.communicate()[0]
            assert time.monotonic() < give_up
            time.sleep(0.05)


def test_a_master_of_trisig_run_says_what_is_missing(tmp_path: Path) -> None:
    """A call that reaches a master without uWSGI's module names the command that has it."""
    (tmp_path / "app.py").write_text("import trisig\nsignals = trisig.Signals()\n")
    call = f"import trisig.uwsgi; trisig.uwsgi.attach({str(tmp_path / 'c')!r}, timeout={SECONDS}).signal(17)"
    serving = subprocess.Popen([sys.executable, "-m", "trisig", "run", "app.py", "--control", "c"], cwd=tmp_path)
    try:
        failed = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=False)
    finally:
        serving.terminate()
        serving.wait(SECONDS)
    assert failed.stderr.splitlines()[-1].endswith("it has to be one of `trisig uwsgi`")


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    """In one line."""
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    for words, status_, said in (
        (["x"], 2, "no master listens in the run folder: name a socket with --control PATH"),
        (
            ["--control=here", "no-such-program"],
            1,
            "trisig.uwsgi: cannot run no-such-program: No such file or directory",
        ),
        ([], 2, "Missing argument 'COMMAND...'."),
    ):
        command = [sys.executable, "-P", "-m", "trisig.uwsgi", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == status_
        assert said in done.stderr.splitlines()[-1]
