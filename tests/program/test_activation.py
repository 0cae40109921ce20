"""Socket activation: a service manager, here the test, opens sockets and starts a master with them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from program import SECONDS, TRISIG, read_until, run
from witness import eventually

import trisig

# As a service manager does: the sockets from 3 on, and the variables that say so, to this very process.
LAUNCH = """
import os, sys
fds, names, *words = sys.argv[1:]
for place, fd in enumerate(fds.split(":")):
    os.dup2(int(fd), 3 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(fds.count(":") + 1), LISTEN_FDNAMES=names)
os.execv(words[0], words)
"""
APP = """
import os, subprocess, trio, trisig
signals = trisig.Signals()
VERSION = "one"
AT_IMPORT = [sock.getsockname() for sock in trisig.activated_sockets()]

async def answer(stream):
    left = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True).stdout.split()
    await stream.send_all(f"{VERSION} {trisig.current_process().name} {len(AT_IMPORT)} {len(left)}".encode())

@signals.service("workers")
async def serve(task_status):
    [sock] = trisig.activated_sockets("web")
    task_status.started()
    await trio.serve_listeners(answer, [trio.SocketListener(trio.socket.from_stdlib_socket(sock))])
"""


@contextmanager
def activated(folder: Path, **sockets: socket.socket) -> Iterator[subprocess.Popen[str]]:
    """A master that was started with these sockets, by name."""
    with ExitStack() as stack:
        high = [fcntl.fcntl(sock, fcntl.F_DUPFD_CLOEXEC, 100) for sock in sockets.values()]
        for fd in high:
            stack.callback(os.close, fd)
        words = [sys.executable, "-c", LAUNCH, ":".join(map(str, high)), ":".join(sockets)]
        app = subprocess.Popen(
            [*words, *TRISIG, "run", "app.py", "--workers=2"],
            cwd=folder, stderr=subprocess.PIPE, text=True, pass_fds=high,
        )  # fmt: skip
        stack.enter_context(app)
        stack.callback(app.terminate)
        yield app


def listening(path: Path) -> socket.socket:
    """A socket as `ListenStream=` makes it."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(8)
    return sock


def answer_of(path: Path) -> list[str]:
    """What a worker says to who connects."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(SECONDS)
        client.connect(str(path))
        return client.recv(100).decode().split()


async def test_a_master_with_sockets_of_a_service_manager(tmp_path: Path) -> None:
    """Workers serve the one by its name, after a reload too; commands come by the other; programs get none."""
    (tmp_path / "app.py").write_text(APP)
    control, web = tmp_path / "control", tmp_path / "web"
    with listening(control) as at_control, listening(web) as at_web:
        with activated(tmp_path, control=at_control, web=at_web) as app:
            assert str(control) in read_until(app, "from the service manager")[-1]
            version, name, at_import, descriptors = answer_of(web)
            assert (version, name.rstrip("12"), at_import, descriptors) == ("one", "worker", "1", "4")
            (tmp_path / "app.py").write_text(APP.replace("one", "two"))
            reloaded = run(tmp_path, "reload", "--control", control)
            assert reloaded.returncode == 0, reloaded.stderr
            await eventually(lambda: answer_of(web)[:1] == ["two"])
            assert answer_of(web)[2:] == ["1", "4"]
            status = json.loads(run(tmp_path, "status", "--json", "--control", control).stdout)
            assert status["master"]["pid"] == app.pid
            assert run(tmp_path, "stop", "--control", control).returncode == 0
            assert app.wait(SECONDS) == 0
        assert control.is_socket()  # it is the service manager's


def test_a_control_socket_of_another_kind(tmp_path: Path) -> None:
    """One line says what the unit should have."""
    (tmp_path / "app.py").write_text(APP)
    with socket.socket(socket.AF_INET) as other:
        other.bind(("127.0.0.1", 0))
        with activated(tmp_path, control=other) as app:
            assert app.wait(SECONDS) == 1
            assert app.stderr is not None
            assert (
                app.stderr.read().splitlines()[-1].startswith("trisig: the socket named control is not one at a path")
            )


def test_without_socket_activation() -> None:
    """There are none, and it is no error."""
    assert trisig.activated_sockets() == trisig.activated_sockets("web") == []


def test_the_units_of_the_documentation(tmp_path: Path) -> None:
    """There is nothing that systemd remarks on."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text()
    units = re.findall(r"^```ini\n# (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in units] == ["app.service", "app-control.socket", "app-web.socket"]
    for name, text in units:
        # A program that does not exist would be remarked on.
        (tmp_path / name).write_text(text.replace("/srv/app/venv/bin/trisig", "/bin/true"))
    verified = subprocess.run(
        [analyze, "verify", *(f"./{name}" for name, _ in units)],
        cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
