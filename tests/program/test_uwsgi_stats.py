"""uWSGI's statistics: their fields, and uwsgitop itself where it is installed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import socket
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from program import SECONDS, run, running
from uwsgi_program import running as running_uwsgi
from witness import eventually

APP = """
import pathlib, time, trisig
signals = trisig.Signals()

@signals.handler(17, target="worker1")
def slow(signum):
    while not pathlib.Path("go").exists():
        time.sleep(0.005)

@signals.handler(18, target="worker2")
def fails(signum):
    raise ValueError

@signals.handler(19, target="mule1")
def hangs(signum):
    time.sleep(60)
"""
# What uwsgitop reads of each worker.
FIELDS = {
    "id", "pid", "requests", "exceptions", "harakiri_count", "status", "rss", "vsz", "running_time", "last_spawn",
    "respawn_count", "tx", "avg_rt",
}  # fmt: skip


def read_stats(path: Path) -> Any:
    """All that is written to whoever connects."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        parts = iter(lambda: client.recv(65_536), b"")
        return json.loads(b"".join(parts))


def raise_signal(folder: Path, signum: int) -> None:
    """As `trisig send` does, without the start of a process."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(folder / "control"))
        control.sendall(b'{"do": "send", "signum": %d}\n' % signum)
        assert control.recv(1000) == b'{"answer": null}\n'


def screen_of(command: list[str], folder: Path, *wanted: str) -> str:
    """What a program shows on a terminal of 24 lines until all these words are there; then it gets a q."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 160, 0, 0))
        environment = {**os.environ, "TERM": "xterm", "LINES": "24", "COLUMNS": "160"}
        with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, env=environment) as top:
            os.close(theirs)
            shown = b""
            while not all(word.encode() in shown for word in wanted):
                shown += os.read(ours, 65_536)
            os.write(ours, b"q")
            assert top.wait(SECONDS) == 0
    finally:
        os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", " ", shown.decode())


async def test_uwsgitop_shows_the_workers(tmp_path: Path) -> None:
    """All fields that it reads are there, over deaths and timeouts; the program itself shows a row for each worker."""
    words = ("--workers=3", "--mules=1", "--handler-timeout=0.5", "--max-attempts=1", "--stats=stats.sock")
    with running(tmp_path, APP, *words):
        path = tmp_path / "stats.sock"
        raise_signal(tmp_path, 18)
        raise_signal(tmp_path, 19)
        await eventually(lambda: read_stats(path)["workers"][1]["exceptions"] == 1)
        await eventually(lambda: read_stats(path)["mules"][0]["harakiri_count"] == 1)
        idle = read_stats(path)
        assert all(set(row) >= FIELDS for row in idle["workers"])
        assert [row["id"] for row in idle["workers"]] == [1, 2, 3]
        assert [row["status"] for row in idle["workers"]] == ["idle"] * 3
        assert all(0 < row["rss"] < row["vsz"] for row in idle["workers"])
        assert idle["workers"][1]["requests"] == 1
        assert oct(path.stat().st_mode & 0o777) == "0o600"
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as careless:  # says much, and reads nothing
                careless.connect(str(path))
                careless.sendall(b"x" * 1000)
    assert not path.exists()


async def test_the_real_uwsgitop(tmp_path: Path) -> None:
    """It runs unchanged, and shows what each worker does."""
    uwsgitop = shutil.which("uwsgitop", path=str(Path(sys.executable).parent))
    if uwsgitop is None:
        pytest.skip("needs the package uwsgitop")
    with running(tmp_path, APP, "--workers=2", "--mules=1", "--stats=stats.sock"):
        raise_signal(tmp_path, 17)
        await eventually(lambda: read_stats(tmp_path / "stats.sock")["workers"][0]["status"] == "sig17")
        pids = [str(worker["pid"]) for worker in read_stats(tmp_path / "stats.sock")["workers"]]
        shown = screen_of([uwsgitop, "stats.sock"], tmp_path, "sig17", "idle", *pids)
        (tmp_path / "go").touch()
        await eventually(lambda: read_stats(tmp_path / "stats.sock")["workers"][0]["running_time"] > 10_000)
    assert "uwsgi-trisig-" in shown


async def test_the_option_of_uwsgi(tmp_path: Path) -> None:
    """`stats` of an ini file serves them over TCP; an address that is none is one line."""
    port = free_port()
    ini = f"[uwsgi]\nmaster=1\nworkers=2\nmules=1\nfile=app.py\nstats=127.0.0.1:{port}\n"
    with running_uwsgi(tmp_path, {"app.py": "from notes import note\nnote('up')\n", "app.ini": ini}, "app.ini") as app:
        app.until(lambda: "master: ready" in app.log())
        with socket.create_connection(("127.0.0.1", port)) as client:
            stats = json.loads(b"".join(iter(lambda: client.recv(65_536), b"")))
    assert (len(stats["workers"]), len(stats["mules"])) == (2, 1)
    wrong = run(tmp_path, "run", "app.py", "--stats=@abstract")
    assert (wrong.returncode, "abstract socket" in wrong.stderr) == (2, True)
