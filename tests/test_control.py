"""The control socket, through the command line and byte by byte."""

import json
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

APP = """
import os, trisig
signals = trisig.Signals()

@signals.handler(7, target="workers")
def note(signum):
    with open("ran", "a") as file:
        file.write(trisig.current_process().name + "\\n")
"""


@contextmanager
def served(folder: Path) -> Iterator[Path]:
    """An application with two workers, and where it listens."""
    (folder / "app.py").write_text(APP)
    control = folder / "control"
    with subprocess.Popen(
        [sys.executable, "-m", "trisig", "run", "app.py", "--workers=2", f"--control={control}"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    ) as app:
        try:
            assert app.stderr is not None
            assert "master: ready" in app.stderr.readline()
            yield control
        finally:
            app.terminate()
            app.wait(10)


def trisig(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    words = [sys.executable, "-m", "trisig", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)


def talk(control: Path, sent: bytes) -> bytes:
    """What the master answers to some bytes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(control))
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


def test_an_operator_can_do_it_all(tmp_path: Path) -> None:
    """send, status, cheap, wake and stop do what they say."""
    with served(tmp_path) as control:
        assert trisig("send", 7, "--control", control).returncode == 0
        assert trisig("cheap", 2, "--control", control).returncode == 0
        told = json.loads(trisig("status", "--json", "--control", control).stdout)
        assert told["processes"]["worker2"]["state"] == "cheap"
        assert told["accepted"] == told["done"] + told["queued"] + told["in_flight"] + told["dead_lettered"] == 2
        assert trisig("wake", 2, "--control", control).returncode == 0
        text = trisig("status", "--control", control).stdout
        assert text.startswith("accepted 2  done 2")
        assert text.count(" ready ") == 2
        assert trisig("stop", "--control", control).returncode == 0
    assert sorted((tmp_path / "ran").read_text().split()) == ["worker1", "worker2"]
    assert not control.exists()


def test_nobody_listens(tmp_path: Path) -> None:
    """Without a master the commands say so in one line, with status 1."""
    result = trisig("status", "--control", tmp_path / "nothing")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "no master listens there" in result.stderr


def test_what_the_master_refuses(tmp_path: Path) -> None:
    """A worker that there is not: the master's own words, status 1."""
    with served(tmp_path) as control:
        result = trisig("cheap", 9, "--control", control)
    assert (result.returncode, result.stderr) == (1, "trisig: there is no worker9; there are 2 workers\n")


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xfe\n",
        b"[]\n",
        b'{"do": 3}\n',
        b'{"do": "nonsense"}\n',
        b'{"do": "send"}\n',
        b'{"do":"send","signum":true}\n',
    ],
)
def test_a_bad_request_is_answered_and_changes_nothing(tmp_path: Path, sent: bytes) -> None:
    """What is no request gets an error, and the same connection goes on."""
    with served(tmp_path) as control:
        bad, good = talk(control, sent + b'{"do": "status"}\n').splitlines()
        assert "error" in json.loads(bad)
        assert json.loads(good)["answer"]["accepted"] == 0


def test_a_line_without_end_ends_its_connection(tmp_path: Path) -> None:
    """A megabyte without a newline is not kept; other clients notice nothing."""
    with served(tmp_path) as control:
        try:
            assert talk(control, b"x" * 1_000_000) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert b"answer" in talk(control, b'{"do": "status"}\n')


def test_only_the_owner_may_use_it(tmp_path: Path) -> None:
    """The socket is made with mode 0600."""
    with served(tmp_path) as control:
        assert stat.S_IMODE(control.stat().st_mode) == 0o600


def test_a_second_master_on_the_same_path(tmp_path: Path) -> None:
    """The path of a living master is refused in one line, that of a killed one is taken over."""
    with served(tmp_path) as control:
        again = subprocess.run(
            [sys.executable, "-m", "trisig", "run", "app.py", f"--control={control}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert again.returncode == 1
        assert "another master listens there" in again.stderr.splitlines()[-1]
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(control))
    with served(tmp_path):
        assert trisig("status", "--control", control).returncode == 0


def test_something_else_is_at_the_path(tmp_path: Path) -> None:
    """A file that is no socket is left alone."""
    (tmp_path / "control").write_text("precious")
    (tmp_path / "app.py").write_text(APP)
    result = subprocess.run(
        [sys.executable, "-m", "trisig", "run", "app.py", "--control=control"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert (tmp_path / "control").read_text() == "precious"
