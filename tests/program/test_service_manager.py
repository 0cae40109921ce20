"""What systemd is told, on a socket of the test's own that speaks its protocol."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from program import SECONDS, TRISIG, read_until

APP = """
import os, pathlib, trisig
signals = trisig.Signals()

@signals.on_start("worker1")
def environment():
    pathlib.Path("seen").write_text(repr({name for name in os.environ if name.startswith(("NOTIFY", "WATCHDOG"))}))
    pathlib.Path("pid").write_text(str(os.getpid()))
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Hears the news of a service."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(SECONDS)
        yield listener


def service(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """A master that systemd would start."""
    (folder / "app.py").write_text(APP)
    return subprocess.Popen(
        [*TRISIG, "run", "app.py", "--grace=3"],
        cwd=folder,
        env={**os.environ, "NOTIFY_SOCKET": str(folder / "notify"), **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def news(manager: socket.socket) -> list[str]:
    """The lines of the next datagram."""
    return manager.recv(65_536).decode().split("\n")


def test_it_is_ready_and_stops(tmp_path: Path, manager: socket.socket) -> None:
    """READY comes when all processes are, STOPPING with the time that it takes; no child can speak for the service."""
    with service(tmp_path) as app:
        ready, status = news(manager)
        assert ready == "READY=1"
        assert status.startswith("STATUS=master ")
        assert (tmp_path / "seen").read_text() == "set()"
        app.terminate()
        assert news(manager)[:2] == ["STOPPING=1", "EXTEND_TIMEOUT_USEC=4000000"]
        assert app.wait(SECONDS) == 0


def test_the_watchdog_hears_of_it_while_all_is_well(tmp_path: Path, manager: socket.socket) -> None:
    """With a process that hangs, nothing comes any more, and the log says why."""
    with service(tmp_path, WATCHDOG_USEC="600000") as app:
        assert [news(manager)[0] for _ in range(3)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
        pid = int((tmp_path / "pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        read_until(app, f"worker1 (pid {pid}) has not answered for 0.2 s")
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                assert news(manager) == ["WATCHDOG=1"]  # from before
        manager.settimeout(SECONDS)
        os.kill(pid, signal.SIGCONT)
        assert news(manager) == ["WATCHDOG=1"]
        app.terminate()
        assert app.wait(SECONDS) == 0


def test_the_watchdog_of_another_process(tmp_path: Path, manager: socket.socket) -> None:
    """WATCHDOG_PID says whom it concerns."""
    with service(tmp_path, WATCHDOG_USEC="300000", WATCHDOG_PID="1") as app:
        assert news(manager)[0] == "READY=1"
        app.terminate()
        assert news(manager)[0] == "STOPPING=1"
        assert app.wait(SECONDS) == 0


def test_a_socket_that_nobody_reads(tmp_path: Path) -> None:
    """The service runs all the same, and the log says that it could not be told."""
    with service(tmp_path) as app:
        read_until(app, "the service manager cannot be told READY=1")
        app.terminate()
        assert app.wait(SECONDS) == 0
