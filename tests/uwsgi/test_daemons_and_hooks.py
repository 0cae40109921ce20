"""Programs beside the processes (`attach-daemon`), and what is done at certain moments (`hook-...`, `exec-...`)."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest
from uwsgi_config import plan_of
from uwsgi_program import SECONDS, Program, running

from trisig.uwsgi._config.problem import ConfigError

# A daemon notes its beginning and what ends it; its helper, in the same group, does not care.
DAEMON = """
import os, signal, subprocess, sys
from notes import note
name = sys.argv[1]
def end(number, _frame):
    note("daemon", name, "got", signal.Signals(number).name, os.path.exists("drained"))
    sys.exit()
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, end)
note("daemon", name, os.getpid(), os.path.basename(os.getcwd()), sys.stdin.read(1) == "")
while True:
    signal.pause()
"""

APP = """
import os, time, uwsgi
from notes import note
note("import", os.environ.get("MOMENT"), os.path.exists("made/text") and open("made/text").read())
def last(signum):
    while not os.path.exists("stopping"):
        time.sleep(0.01)
    open("drained", "w").close()
    note("drained")
uwsgi.register_signal(1, "mule1", last)
def again(signum):
    while open("notes").read().count("daemon ") < 2 or "ready for once" not in open("notes").read():
        time.sleep(0.01)
    uwsgi.reload()
uwsgi.register_signal(2, "mule1", again)
uwsgi.signal(1 if "UWSGI_RELOADS" in os.environ else 2)
"""

INI = """
[uwsgi]
mule =
wsgi-file = app.py
attach-daemon = exec %(interpreter) daemon.py one
attach-daemon2 = cmd=PYTHONPATH=.. exec %(interpreter) ../daemon.py two,stopsignal=2,reloadsignal=1,chdir=place
exec-as-user = mkdir -p made place
hook-as-user = write:made/text content
hook-pre-app = putenv:MOMENT=before the application
hook-pre-app = safeexec:exit 3
exec-post-app = echo post app >> notes
hook-master-start = unix_signal:15 gracefully_kill_them_all
hook-master-start = exec:echo master start >> notes
hook-post-fork = appendn:notes post fork
hook-as-mule = appendn:notes as mule
hook-accepting = appendn:notes ready
hook-accepting1-once = appendn:notes ready for once
exec-as-user-atexit = echo at exit >> notes
touch-exec = touched echo touched >> notes
"""


def noted(program: Program, *words: str) -> list[list[str]]:
    """The notes that begin with some words, split."""
    notes = (note.split() for note in program.notes())
    return [note for note in notes if note[: len(words)] == list(words)]


def test_daemons_live_with_the_instance_and_hooks_mark_its_moments(tmp_path: Path) -> None:
    """Daemons are started again when they end, get their signals, and outlast the queue; a reload begins them anew."""
    python = os.fsdecode(os.path.realpath("/proc/self/exe"))
    files = {"app.py": APP, "daemon.py": DAEMON, "app.ini": INI, "touched": ""}
    with running(tmp_path, files, f"--set-ph=interpreter={python}", "--ini=app.ini") as program:
        program.until(lambda: len(noted(program, "daemon")) == 6)  # two lives, and two ends of the first one
        program.until(lambda: program.log().count("master: ready") == 2)
        first, _, second = noted(program, "daemon", "one")
        os.kill(int(second[2]), signal.SIGKILL)
        program.until(lambda: len(noted(program, "daemon", "one")) == 4)
        (tmp_path / "touched").touch()
        program.until(lambda: "touched" in program.notes())
        program.until(lambda: program.notes().count("master start") == 2)
        program.until(lambda: program.notes().count("ready for once") == 2)
        program.process.send_signal(signal.SIGTERM)
        program.until(lambda: "stopping" in program.log())
        (tmp_path / "stopping").touch()
        assert program.process.wait(SECONDS) == 0
        notes = program.notes()
    assert first[3:] == [tmp_path.name, "True"]
    assert [note[3:] for note in noted(program, "daemon", "one", "got")] == [["SIGTERM", "False"], ["SIGTERM", "True"]]
    assert [note[3] for note in noted(program, "daemon", "two", "got")] == ["SIGHUP", "SIGINT"]
    assert noted(program, "daemon", "two")[0][3:] == ["place", "True"]
    assert notes.count("import before the application content") == 2
    assert (notes.count("post app"), notes.count("master start"), notes.count("at exit")) == (2, 2, 2)
    assert (notes.count("post fork"), notes.count("as mule")) == (4, 2)
    assert (notes.count("ready"), notes.count("ready for once")) == (2, 2)
    assert "hook-pre-app = safeexec:exit 3: status 3" in program.log()


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        (("--hook-master-start=exec:touch begun; while [ ! -e go ]; do sleep 0.01; done; touch first",), ()),
        (("--touch-exec=touched touch begun; while [ ! -e go ]; do sleep 0.01; done; touch first",), ("touched",)),
    ],
)
def test_a_command_of_a_hook_goes_on_to_its_end_when_the_instance_stops(
    tmp_path: Path, words: tuple[str, ...], runs: tuple[str, ...]
) -> None:
    """As in uWSGI, whose master waits for it; so do the hooks after it."""
    more = "--hook-master-start=append:second x"
    with running(tmp_path, {"app.py": "import uwsgi", "touched": ""}, "app.py", *words, more) as program:
        program.until(lambda: "master: ready" in program.log())
        for name in runs:
            (tmp_path / name).touch()
        program.until((tmp_path / "begun").exists)
        program.process.send_signal(signal.SIGTERM)
        program.until(lambda: "stopping" in program.log())
        (tmp_path / "go").touch()
        assert program.process.wait(SECONDS) == 0
    assert (tmp_path / "first").exists()
    assert (tmp_path / "second").exists()


def test_a_command_of_a_hook_that_does_not_end_is_killed_after_the_mercy(tmp_path: Path) -> None:
    """Else it would hold the instance for ever."""
    words = ["--hook-master-start=exec:touch begun; exec sleep 3600", "--reload-mercy=1"]
    with running(tmp_path, {"app.py": "import uwsgi"}, "app.py", *words) as program:
        program.until((tmp_path / "begun").exists)
        program.process.send_signal(signal.SIGTERM)
        assert program.process.wait(SECONDS) == 0


def test_daemons_do_not_outlive_a_killed_master_and_a_control_daemon_ends_it(tmp_path: Path) -> None:
    """One that ignores its signal is killed when the mercy is over."""
    words = ["--attach-daemon=echo $$ >> pids; trap '' TERM; while :; do read x; done", "--daemons-honour-stdin"]
    control = "--attach-control-daemon=until [ -e go ]; do sleep 0.02; done"
    with running(tmp_path, {"app.py": "import uwsgi"}, "app.py", "--reload-mercy=1", *words, control) as program:
        program.until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().endswith("\n"))
        (tmp_path / "go").touch()
        assert program.process.wait(SECONDS) == 0
        assert "has not ended within 1 s: killed" in program.log()
    (tmp_path / "pids").unlink()
    with running(tmp_path, {"app.py": "import uwsgi"}, "app.py", *words) as program:
        program.until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().endswith("\n"))
        program.process.kill()
        program.process.wait(SECONDS)
        until_gone(int((tmp_path / "pids").read_text()))


def until_gone(pid: int) -> None:
    """Wait for the end of a process that is nobody's child here."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([pidfd], [], [], SECONDS)[0]
    finally:
        os.close(pidfd)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--exec-pre-app=exit 3",), "exec-pre-app = exec:exit 3: failed with status 3"),
        (("--hook-as-user=mkdir:/proc/x",), "hook-as-user = mkdir:/proc/x: failed: "),
        (("--hook-master-start=exec:false",), "hook-master-start = exec:false: failed with status 1"),
        (("--hook-post-fork=exec:false", "-p2"), "hook-post-fork = exec:false: failed with status 1"),
        (("--hook-as-mule=exec:false", "--mule"), "hook-as-mule = exec:false: failed with status 1"),
        (("--hook-accepting=exec:false", "-p2"), "hook-accepting = exec:false: failed with status 1"),
    ],
)
def test_a_hook_that_fails_ends_the_instance(tmp_path: Path, words: tuple[str, ...], problem: str) -> None:
    """With status 1, as in uWSGI."""
    with running(tmp_path, {"app.py": "import uwsgi"}, "app.py", *words) as program:
        assert program.process.wait(SECONDS) == 1
    assert problem in program.log()
    assert "Traceback" not in program.log()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--hook-asap=foo",), "invalid hook syntax, must be hook:args"),
        (("--hook-asap=foo:x",), "hook action not found: foo"),
        (("--hook-asap=wait_for_file:/x",), "write exec:until [ -e FILE ]"),
        (("--hook-asap=write:/x",), "write write:<file> <text>"),
        (("--hook-asap=unix_signal:1 reap_them_all",), "only 15 gracefully_kill_them_all is served"),
        (("--touch-exec=file",), "write a file, a space, and what is to be done"),
        (("--attach-daemon2=uid=3",), "you need to specify a 'command' key"),
        (("--attach-daemon2=cmd=x,legion=y",), "not served: legion"),
        (("--attach-daemon2=cmd=x,stopsignal=99",), "99 is no number of a Unix signal"),
    ],
)
def test_a_wrong_daemon_or_hook_is_one_line(words: tuple[str, ...], problem: str) -> None:
    """It says what to write instead, before anything starts."""
    with pytest.raises(ConfigError) as caught:
        plan_of(*words)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_check_shows_daemons_and_hooks() -> None:
    """Each in a line."""
    words = ("--attach-daemon=one", "--attach-daemon2=cmd=two", "--exec-pre-app=x", "--hook-touch=/f unlink:/g")
    lines = list(plan_of(*words, "--hook-accepting1-once=unlink:/h", "--py-autoreload=1").lines())
    assert {"daemon: one", "daemon: two", "exec-pre-app = exec:x", "unlink:/g when /f changes"} <= set(lines)
    assert "hook-accepting1-once = unlink:/h" in lines
    assert "begins anew when a source file changes" in lines
