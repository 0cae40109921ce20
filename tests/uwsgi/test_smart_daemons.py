"""Daemons that have a pidfile, and outlive the instance: `smart-attach-daemon` and its kin."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from uwsgi_config import plan_of
from uwsgi_program import SECONDS, Program, running

from trisig.uwsgi._config.problem import ConfigError

PYTHON = os.fsdecode(os.path.realpath("/proc/self/exe"))
APP = "import uwsgi"

# It puts itself into the background, twice forked. At SIGUSR1 it leaves another one in its place.
DAEMON = """
import os, signal, sys
from notes import note
def begin():
    with open("new.pid", "w") as file:
        file.write(f"{os.getpid()}\\n")
    os.rename("new.pid", "daemon.pid")
    note("daemon", os.getpid())
def renew(number, _frame):
    if not os.fork():
        begin()
    else:
        os._exit(0)
def end(number, _frame):
    note("got", signal.Signals(number).name, os.getpid())
    os._exit(0)
signal.signal(signal.SIGUSR1, renew)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGHUP, end)
note("started")
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
begin()
while True:
    signal.pause()
"""

# It stays in the foreground.
FOREGROUND = """
import os, signal, sys
from notes import note
def end(number, _frame):
    note("got", signal.Signals(number).name, os.getpid())
    os._exit(0)
for number in (signal.SIGHUP, signal.SIGINT):
    signal.signal(number, end)
note("daemon", os.getpid(), open(sys.argv[1]).read().strip())
while True:
    signal.pause()
"""

SMART = f"--smart-attach-daemon=daemon.pid {PYTHON} daemon.py"


def daemons(program: Program) -> list[int]:
    """The processes that have been a daemon so far."""
    return [int(note.split()[1]) for note in program.notes() if note.startswith("daemon ")]


def is_alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def zombies_of(pid: int) -> list[str]:
    """What a process has not reaped."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in children if not is_alive(int(child))]


def until_gone(pid: int) -> None:
    """Wait for the end of a process that is nobody's child here."""
    give_up = time.monotonic() + SECONDS
    while is_alive(pid):
        assert time.monotonic() < give_up
        time.sleep(0.01)


def stop(program: Program) -> None:
    """End the instance in order."""
    program.process.send_signal(signal.SIGTERM)
    assert program.process.wait(SECONDS) == 0


@contextmanager
def instance(folder: Path, *words: str, app: str = APP) -> Iterator[Program]:
    """An instance whose daemons are killed when it has ended."""
    files = {"app.py": app, "daemon.py": DAEMON, "foreground.py": FOREGROUND}
    with running(folder, files, "app.py", *words) as program:
        try:
            yield program
        finally:
            program.process.send_signal(signal.SIGINT)
            program.process.wait(SECONDS)
            for pid in daemons(program):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_a_daemon_with_a_pidfile_outlives_the_instance_and_is_found_by_the_next(tmp_path: Path) -> None:
    """It goes on over a reload, a stop and a kill. Only when it has ended it is started again, and no zombies stay."""
    with instance(tmp_path, SMART) as program:
        program.until(lambda: program.log().count("as daemon.pid says") == 1)
        program.process.send_signal(signal.SIGHUP)
        program.until(lambda: program.log().count("as daemon.pid says") == 2)
        assert len(daemons(program)) == 1
        os.kill(daemons(program)[0], signal.SIGKILL)
        program.until(lambda: program.log().count("as daemon.pid says") == 3)
        program.until(lambda: not zombies_of(program.process.pid))
        _, second = daemons(program)
        stop(program)
        with instance(tmp_path, SMART) as again:
            again.until(lambda: f"pid {second}, as daemon.pid says" in again.log())
            assert is_alive(second)
            again.process.kill()
            again.process.wait(SECONDS)
            assert is_alive(second)
            assert len(daemons(program)) == 2
    assert program.notes().count("started") == 2


def test_a_pidfile_that_goes_away_starts_no_second_daemon_and_one_in_its_place_is_taken(tmp_path: Path) -> None:
    """What counts is the process; the pidfile is read again when it has ended."""
    with instance(tmp_path, SMART) as program:
        program.until(lambda: "as daemon.pid says" in program.log())
        (tmp_path / "daemon.pid").unlink()
        os.kill(daemons(program)[0], signal.SIGUSR1)
        program.until(lambda: program.log().count("as daemon.pid says") == 2)
        assert program.notes().count("started") == 1
        assert f"pid {daemons(program)[1]}, as daemon.pid says" in program.log()


@pytest.mark.parametrize(
    ("option", "signals"),
    [
        ("smart-attach-daemon2=f.pid exec {} foreground.py f.pid", []),
        (
            "attach-daemon2=pidfile=f.pid,daemonize=1,notifypid=1,stopsignal=2,cmd=exec {} foreground.py f.pid",
            ["SIGHUP", "SIGINT"],
        ),
    ],
)
def test_a_daemon_in_the_foreground_has_its_pidfile_written(tmp_path: Path, option: str, signals: list[str]) -> None:
    """Before it begins. It goes on, unless it is to be told of reloads and of the stop."""
    with instance(tmp_path, f"--{option.format(PYTHON)}") as program:
        program.until(lambda: daemons(program))
        assert f"daemon {daemons(program)[0]} {daemons(program)[0]}" in program.notes()
        program.process.send_signal(signal.SIGHUP)
        program.until(lambda: program.log().count("as f.pid says") == 2)
        program.until(lambda: len(daemons(program)) == 1 + ("SIGHUP" in signals))
        program.until(lambda: not zombies_of(program.process.pid))
        stop(program)
        if signals:
            until_gone(daemons(program)[-1])
        assert [is_alive(pid) for pid in daemons(program)] == ([False] * 2 if signals else [True])
    assert [note.split()[1] for note in program.notes() if note.startswith("got")] == signals


def test_a_daemon_that_has_forked_after_its_session_is_told_too(tmp_path: Path) -> None:
    """Its group has another number than the process; that is the group which uWSGI sends to."""
    with instance(tmp_path, f"--attach-daemon2=pidfile=daemon.pid,notifypid=1,cmd={PYTHON} daemon.py") as program:
        program.until(lambda: "as daemon.pid says" in program.log())
        stop(program)
        until_gone(daemons(program)[0])
    assert f"got SIGTERM {daemons(program)[0]}" in program.notes()


OWN_NUMBER = """
import os, uwsgi
if uwsgi.worker_id():
    with open("daemon.pid", "w") as file:
        file.write(f"{os.getpid()}\\n")
"""


@pytest.mark.parametrize("old", ["", "999999999999999999999", "nonsense", f"{2**22}"])
def test_an_old_pidfile_does_not_count(tmp_path: Path, old: str) -> None:
    """Nor does one whose number a process of this instance has by now."""
    words = ("--lazy-apps", SMART)
    (tmp_path / "daemon.pid").write_text(old)
    with instance(tmp_path, *words, app=APP if old else OWN_NUMBER) as program:
        program.until(lambda: "as daemon.pid says" in program.log())
        assert f"pid {daemons(program)[0]}, as daemon.pid says" in program.log()


def test_a_command_that_writes_no_pidfile_is_named_and_ends_with_the_instance(tmp_path: Path) -> None:
    """One that stays in the foreground runs on until then; one that fails is started again."""
    stays = "--smart-attach-daemon=x.pid,1 echo daemon $$ >> notes; exec sleep 3600"
    fails = "--smart-attach-daemon=y.pid exit 3"
    ends = "--smart-attach-daemon=z.pid,0 true"
    with instance(tmp_path, stays, fails, ends) as program:
        program.until(lambda: "x.pid names no process after 1 s; for a program that stays" in program.log())
        program.until(lambda: program.log().count("exit 3: status 3") >= 2)
        program.until(lambda: program.log().count("true: its command has ended, and z.pid names no process") >= 2)
        assert is_alive(daemons(program)[0])
        stop(program)
        until_gone(daemons(program)[0])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--smart-attach-daemon=/run/x",), "write a pidfile and a command"),
        (("--smart-attach-daemon2=x.pid, x",), "smart-attach-daemon2: seconds is a number"),
        (("--attach-daemon2=cmd=x,daemonize=1",), "write pidfile="),
        (("--attach-daemon2=cmd=x,notifypid=1",), "write pidfile="),
        (("--attach-daemon2=cmd=x,pidfile=/x,control=1",), "leave out control, or pidfile"),
        (("--smart-attach-daemon=p x", "--pidfile=p"), "p is the pidfile of something else"),
        (("--smart-attach-daemon=p x", "--attach-daemon2=cmd=y,pidfile=p"), "p is the pidfile of something else"),
    ],
)
def test_a_wrong_daemon_is_one_line(words: tuple[str, ...], problem: str) -> None:
    """It says what to write instead, before anything starts."""
    with pytest.raises(ConfigError) as caught:
        plan_of(*words)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_check_shows_which_daemons_go_on() -> None:
    """With their pidfiles."""
    words = ("--smart-attach-daemon=p.pid,5 one", "--attach-daemon2=cmd=two,pidfile=q", "--attach-daemon=three")
    assert {
        "daemon: one (outlives the instance; its pidfile is p.pid)",
        "daemon: two (outlives the instance; its pidfile is q)",
        "daemon: three",
    } <= set(plan_of(*words).lines())
