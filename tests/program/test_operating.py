"""What the commands say to an operator, and that none of them waits for itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from program import SECONDS, SLOW, TRISIG, read_until, run, running
from witness import eventually

import trisig

APP = "import trisig\nsignals = trisig.Signals()\nsignals.register(7, 'workers', lambda signum: None)\n"

ASKS_ITSELF = """
import pathlib, subprocess, sys, trio, trisig
signals = trisig.Signals()

@signals.handler(1, target="worker1")
async def ask(signum):
    words = pathlib.Path("words").read_text().split()
    asked = await trio.run_process([sys.executable, "-P", "-m", "trisig", *words], capture_stderr=True)
    pathlib.Path("said").write_bytes(asked.stderr)
"""


def state_of(folder: Path, name: str) -> str:
    """The state of a process."""
    status = json.loads(run(folder, "status", "--json", "--control", "control").stdout)
    return str(status["processes"][name]["state"])


def first_remark(folder: Path, command: Sequence[str]) -> str:
    """What a command says first, while the handlers still run; then these may end, and it must succeed."""
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as asked:
        assert asked.stderr is not None
        said = asked.stderr.readline()
        (folder / "go").touch()
        assert asked.wait(SECONDS) == 0
    return said


# From within


@pytest.mark.parametrize("words", ["stop", "cheap 1"])
async def test_a_handler_may_stop_what_waits_for_it(tmp_path: Path, words: str) -> None:
    """`trisig stop` and `trisig cheap` return at once in a process of the master, which would wait for them."""
    (tmp_path / "words").write_text(f"{words} --control control")
    with running(tmp_path, ASKS_ITSELF, "--grace=60") as app:
        assert run(tmp_path, "send", "1", "--control", "control").returncode == 0
        await eventually((tmp_path / "said").exists)
        if words == "stop":
            assert app.wait(SECONDS) == 0
            assert app.stderr is not None
            assert "undelivered" not in app.stderr.read()
        else:
            await eventually(lambda: state_of(tmp_path, "worker1") == "cheap")
    assert "not waiting, because the master has started this command" in (tmp_path / "said").read_text()


async def test_no_wait(tmp_path: Path) -> None:
    """With `--no-wait` the commands return while a handler still runs, and do what they say."""
    with running(tmp_path, SLOW, "--workers=2", "--grace=60") as app:
        await eventually((tmp_path / "began").exists)
        for words in (("cheap", "worker1"), ("stop",)):
            asked = run(tmp_path, *words, "--no-wait", "--control", "control")
            assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")
        (tmp_path / "go").touch()
        assert app.wait(SECONDS) == 0


# What is waited for


async def test_a_busy_worker_is_stopped(tmp_path: Path) -> None:
    """`trisig cheap` says what the worker still runs and how long it may; then that it was stopped already."""
    with running(tmp_path, SLOW, "--grace=60") as app:
        await eventually((tmp_path / "began").exists)
        command = [*TRISIG, "cheap", "worker1", "--control", "control"]
        said = first_remark(tmp_path, command)
        assert said.startswith("trisig: worker1 is still running signal 1; it is killed if it has not ended in ")
        again = run(tmp_path, "cheap", "1", "--control", "control")
        assert (again.returncode, again.stderr) == (0, "trisig: worker1 was stopped already\n")
        assert run(tmp_path, "wake", "worker1", "--control", "control").stderr == ""
        awake = run(tmp_path, "wake", "1", "--control", "control")
        assert (awake.returncode, awake.stderr) == (0, "trisig: worker1 was awake already\n")
        app.terminate()


async def test_a_master_that_takes_its_time_to_stop(tmp_path: Path) -> None:
    """`trisig stop` says what is left, which handlers run, and when the master ends at the latest."""
    with running(tmp_path, SLOW, "--grace=60"):
        await eventually((tmp_path / "began").exists)
        command = [*TRISIG, "stop", "--control", "control"]
        said = first_remark(tmp_path, command)
    assert said.startswith("trisig: the master is stopping: 3 signals left (worker1: signal 1); it ends in ")


# A number that nobody takes


def test_a_signal_that_nobody_takes(tmp_path: Path) -> None:
    """Raised from the command line it is warned of, with its number; `trisig drop` removes it, and only such a one."""
    with running(tmp_path, APP) as app:
        assert run(tmp_path, "send", "7", "--control", "control").stderr == ""
        for count in (1, 2):
            sent = run(tmp_path, "send", "77", "--control", "control")
            assert sent.returncode == 0
            assert f"no handler and no wait() takes signal 77 ({count} queued)" in sent.stderr
            assert "`trisig drop 77` removes them" in sent.stderr
        assert "WARNING master: no handler and no wait() takes signal 77" in read_until(app, "signal 77")[-1]
        for number, dropped in ((77, "2 signals"), (77, "0 signals"), (7, "0 signals")):
            said = run(tmp_path, "drop", number, "--control", "control")
            assert (said.returncode, said.stderr) == (0, f"trisig: dropped {dropped} with the number {number}\n")
        status = json.loads(run(tmp_path, "status", "--json", "--control", "control").stdout)
        assert status["accepted"] == status["done"] == 3


# What can be shown


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_a_terminal_that_lacks_a_character(tmp_path: Path, encoding: str) -> None:
    """`trisig status` escapes what standard output cannot show, with status 0."""
    watched = tmp_path / "данные"
    watched.mkdir()
    with running(tmp_path, APP + f"signals.add_file_monitor(3, {str(watched)!r})\n"):
        for words in (("status",), ("status", "--json")):
            environment = {**os.environ, "PYTHONIOENCODING": encoding}
            shown = run(tmp_path, *words, "--control", "control", **environment)
            assert shown.returncode == 0, shown.stderr
            assert "\\u0434" in shown.stdout


# Words


def test_options_are_named_as_on_the_command_line(tmp_path: Path) -> None:
    """An application that needs mules is told of `--mules`, and an option out of bounds by its own name."""
    (tmp_path / "app.py").write_text(APP + "signals.register(8, 'mule', print)\n")
    lacking = run(tmp_path, "run", "app.py")
    assert lacking.returncode == 2
    assert "--mules 1 or more" in lacking.stderr
    wrong = run(tmp_path, "run", "app.py", "--mules", "1", "--handler-timeout", "0")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("trisig: --handler-timeout is a number of seconds above 0")


def test_every_option_of_a_master_is_one_of_the_command(tmp_path: Path) -> None:
    """What `open_master` takes the command takes, but for what only Python can give, and what it is told anyway."""
    shown = run(tmp_path, "run", "--help").stdout
    flags = {
        {"farms": "--farm", "sockets": "--socket"}.get(name, f"--{name.replace('_', '-')}")
        for name in trisig.MasterOptions.__annotations__
    }
    assert {flag for flag in flags if flag not in shown} == {"--on-dead-letter", "--instruments", "--application"}


@pytest.mark.parametrize(
    ("worker", "words"),
    [("mule1", "'mule1' is not a worker: write its number or its name, like 2 or worker2"), ("worker0", "x>=1")],
)
def test_a_worker_that_cannot_be(tmp_path: Path, worker: str, words: str) -> None:
    """A process that is not a worker is wrong usage."""
    asked = run(tmp_path, "cheap", worker, "--control", "control")
    assert asked.returncode == 2
    assert words in asked.stderr


def test_a_system_call_that_a_sandbox_refuses(tmp_path: Path) -> None:
    """The one line of the command names the call."""
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "sandbox.py").write_text(SANDBOX)
    ended = subprocess.run(
        [sys.executable, "-P", "sandbox.py", "run", "app.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if "no seccomp" in ended.stderr:
        pytest.skip("this kernel has no seccomp filters")
    assert ended.returncode == 1
    assert "pidfd_open(" in ended.stderr.splitlines()[-1]
    assert "Operation not permitted; a sandbox may forbid it" in ended.stderr.splitlines()[-1]


SANDBOX = """
import ctypes, struct, sys

PIDFD_OPEN = 434  # the same on all architectures
load_number, equal, answer = 0x20, 0x15, 0x06
refuse, allow = 0x00050001, 0x7FFF0000  # EPERM; go on
program = b"".join(
    struct.pack("HBBI", *line)
    for line in ((load_number, 0, 0, 0), (equal, 0, 1, PIDFD_OPEN), (answer, 0, 0, refuse), (answer, 0, 0, allow))
)
text = ctypes.create_string_buffer(program)
filter_ = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(text)))
prctl = ctypes.CDLL(None).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, 2, ctypes.byref(filter_), 0, 0):
    sys.exit("no seccomp")
from trisig._cli import main
main()
"""
