"""The control socket under pressure: removed, taken, flooded, refused; and that a retry raises a signal once."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import socket
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from program import SECONDS, SLOW, TRISIG, run, running
from witness import eventually, stopped

from trisig._control.conversation import ask_master
from trisig._control.listener import open_listener
from trisig._control.server import Command, ControlLimits, ControlServer, Progress

APP = "import trisig\nsignals = trisig.Signals()\nsignals.register(7, 'workers', lambda signum: None)\n"


@asynccontextmanager
async def served(
    path: Path, commands: dict[str, Command], progress: dict[str, Progress] | None = None, **limits: float
) -> AsyncIterator[None]:
    """A server without a master."""
    async with open_listener(path) as listener, trio.open_nursery() as nursery:
        # Some limits are whole numbers.
        server = ControlServer(commands, progress, ControlLimits(**limits))  # type: ignore[arg-type]
        nursery.start_soon(server.serve, listener, nursery)  # noqa: ASYNC113  the listener is open already
        nursery.start_soon(listener.keep)
        yield
        nursery.cancel_scope.cancel()


def is_another_file(path: Path, before: int) -> bool:
    """Whether something is there that has another inode."""
    return path.exists() and path.stat().st_ino != before


async def told(stream: trio.SocketStream) -> dict[str, object]:
    """The next line of the master."""
    line = b""
    with trio.fail_after(SECONDS):
        while not line.endswith(b"\n"):
            data = await stream.receive_some()
            assert data, "the connection has ended"
            line += data
    message: dict[str, object] = json.loads(line)
    return message


@contextmanager
def connected(path: Path, count: int) -> Iterator[list[socket.socket]]:
    """So many connections on which nothing is asked."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(SECONDS)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, (int(SECONDS)).to_bytes(8, "little") + bytes(8))
            client.setblocking(True)  # while the backlog is full the kernel waits
            client.connect(str(path))
            clients.append(client)
        yield clients


async def ping() -> str:
    """A command."""
    return "pong"


# Removed


async def test_a_removed_socket_is_made_again(tmp_path: Path) -> None:
    """A running master can be asked again after somebody has removed its socket, or has moved it away."""
    control = tmp_path / "control"
    async with served(control, {"ping": ping}):
        for remove in (control.unlink, partial(control.rename, tmp_path / "elsewhere")):
            before = control.stat().st_ino
            remove()
            await eventually(partial(is_another_file, control, before))
            async with await trio.open_unix_socket(control) as client:
                await client.send_all(b'{"do": "ping"}\n')
                assert await told(client) == {"answer": "pong"}
    assert not control.exists()


async def test_the_socket_of_another_program_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A master whose place was taken says so, and removes nothing when it ends."""
    control = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as other:
        async with served(control, {"ping": ping}):
            other.bind(str(tmp_path / "other"))
            (tmp_path / "other").rename(control)
            await eventually(lambda: "replaced by another program" in caplog.text)
        assert control.is_socket()


async def test_a_directory_that_is_gone_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where no socket can be made any more the master goes on without one, with a line in the log."""
    folder = tmp_path / "folder"
    folder.mkdir()
    async with served(folder / "control", {"ping": ping}):
        (folder / "control").unlink()
        folder.rmdir()
        await eventually(lambda: "there is no directory" in caplog.text or "made it again" in caplog.text)


async def test_masters_of_one_directory_make_their_sockets_one_after_the_other(tmp_path: Path) -> None:
    """While one looks at what is at a path and replaces it, another one waits."""
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_open_and_close, tmp_path / "control")
            await trio.testing.wait_all_tasks_blocked()
            assert not (tmp_path / "control").exists()
            fcntl.flock(fd, fcntl.LOCK_UN)  # else it gives up after two seconds, with an error
    finally:
        os.close(fd)


async def _open_and_close(path: Path) -> None:
    async with open_listener(path):
        await trio.lowlevel.checkpoint()


def test_a_client_names_both_possibilities(tmp_path: Path) -> None:
    """Nobody listens: no master runs, or one whose socket was removed, and then a second one would be wrong."""
    said = run(tmp_path, "status", "--control", tmp_path / "control").stderr
    assert "no master listens there. If none is running, start one" in said
    assert "if one is, its socket was removed" in said


# Not a socket of ours


def test_a_datagram_socket_at_the_path(tmp_path: Path) -> None:
    """A master that finds another kind of socket names the path, and leaves it alone."""
    (tmp_path / "app.py").write_text(APP)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "control"))
        ended = run(tmp_path, "run", "app.py", "--control", "control")
    assert ended.returncode == 1
    assert ended.stderr == "trisig: control socket control: a socket of another kind is there; name another path\n"


def test_a_umask_that_takes_everything_away(tmp_path: Path) -> None:
    """The socket is its owner's even under umask 0777."""
    with running(tmp_path, APP, before_exec=partial(os.umask, 0o777)):
        assert stat.S_IMODE((tmp_path / "control").stat().st_mode) == 0o600


# Too many clients


async def test_one_client_too_many_closes_the_longest_idle(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the cap a new client gets in, the one that was idle longest does not stay, and the log says so once."""
    control = tmp_path / "control"
    async with served(control, {"ping": ping}, connections=3):
        clients = []
        for _ in range(6):
            client = await trio.open_unix_socket(control)
            await client.send_all(b'{"do": "ping"}\n')
            assert await told(client) == {"answer": "pong"}
            clients.append(client)
        assert [await client.receive_some() for client in clients[:3]] == [b""] * 3
        for client in clients[3:]:
            await client.send_all(b'{"do": "ping"}\n')
            assert await told(client) == {"answer": "pong"}
        for client in clients:
            await client.aclose()
    assert caplog.text.count("connections are open; closing those") == 1


async def test_a_silent_client_is_closed(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """A connection on which nothing is asked ends after the idle time; one whose command runs does not."""
    control = tmp_path / "control"
    begun, release = trio.Event(), trio.Event()

    async def long() -> None:
        begun.set()
        await release.wait()

    async with served(control, {"long": long}, idle=60):
        async with await trio.open_unix_socket(control) as busy, await trio.open_unix_socket(control) as silent:
            await busy.send_all(b'{"do": "long"}\n')
            await begun.wait()
            mock_clock.jump(61)
            assert await silent.receive_some() == b""
            release.set()
            assert await told(busy) == {"answer": None}


def test_a_flood_of_connections_takes_no_child_from_the_master(tmp_path: Path) -> None:
    """With few descriptors, hundreds of idle clients keep neither a successor from its birth nor an operator out."""
    few = partial(resource.setrlimit, resource.RLIMIT_NOFILE, (96, 96))
    with running(tmp_path, APP, before_exec=few) as app, connected(tmp_path / "control", 300):
        before = json.loads(run(tmp_path, "status", "--json", "--control", "control").stdout)
        os.kill(before["processes"]["worker1"]["pid"], signal.SIGKILL)
        while True:
            now = json.loads(run(tmp_path, "status", "--json", "--control", "control").stdout)["processes"]["worker1"]
            if now["respawns"] == 1 and now["state"] == "ready":
                break
        app.terminate()
        assert app.stderr is not None
        log = app.stderr.read()
    assert log.count("control socket") == 1
    assert "Traceback" not in log


# Patience


def test_a_full_backlog_is_waited_for(tmp_path: Path) -> None:
    """A client that cannot connect because the master is busy says so and waits, instead of failing with EAGAIN."""
    with running(tmp_path, APP) as app, ExitStack() as stack:
        with stopped(app.pid):
            while True:
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                try:
                    client.connect(str(tmp_path / "control"))
                except BlockingIOError:
                    break
            command = [*TRISIG, "send", "7", "--control", "control"]
            asked = stack.enter_context(subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True))
            assert asked.stderr is not None
            assert asked.stderr.readline() == "trisig: the master has not answered yet; waiting\n"
            with stopped(asked.pid):  # Ctrl-Z, and then `fg`: the wait is interrupted, and goes on
                pass
        assert asked.wait(SECONDS) == 0


async def test_a_full_backlog_is_waited_for_with_trio(tmp_path: Path) -> None:
    """What asks without blocking waits for room as well."""
    control = tmp_path / "control"
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(control))
        listener.listen(0)
        waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
        waiting.connect(str(control))
        answers: list[object] = []

        async def ask() -> None:
            answers.append(await ask_master(control, "ping"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            for last in (False, True):
                client = stack.enter_context((await trio.to_thread.run_sync(listener.accept))[0])
                if last:
                    assert await trio.to_thread.run_sync(client.recv, 100) == b'{"do": "ping"}\n'
                    client.sendall(b'{"answer": "pong"}\n')
        assert answers == ["pong"]


async def test_a_send_whose_client_has_left_is_given_up(tmp_path: Path) -> None:
    """A `send` that waits for room and whose client goes away raises nothing later, so a retry raises one signal."""
    with running(tmp_path, SLOW, "--max-queued=3") as app:
        await eventually((tmp_path / "began").exists)
        control = str(tmp_path / "control")
        for _ in range(2):
            async with await trio.open_unix_socket(control) as client:
                await client.send_all(b'{"do": "send", "signum": 1}\n')
                assert "the queue is full" in str((await told(client))["waiting"])
        async with await trio.open_unix_socket(control) as client:
            await client.send_all(b'{"do": "send", "signum": 1}\n')
            await client.send_eof()  # it has said all, and still listens
            (tmp_path / "go").touch()
            while "answer" not in await told(client):
                pass
        app.terminate()
        assert app.wait(SECONDS) == 0
    assert (tmp_path / "ran").read_text() == "xxxx"


async def test_progress_never_tears_an_answer(tmp_path: Path) -> None:
    """What is waited for comes in lines of its own, before the answer."""
    control = tmp_path / "control"
    release = trio.Event()

    async def slow() -> str:
        await release.wait()
        return "done"

    async with served(control, {"slow": slow}, {"slow": lambda elapsed: f"for {elapsed > 0}"}, notice=0.001):
        async with await trio.open_unix_socket(control) as client:
            await client.send_all(b'{"do": "slow"}\n')
            received = b""
            while b"answer" not in received or not received.endswith(b"\n"):
                received += await client.receive_some()
                if received.count(b"\n") > 10:
                    release.set()
    *waiting, answer = map(json.loads, received.splitlines())
    assert waiting
    assert all(line == {"waiting": "for True"} for line in waiting)
    assert answer == {"answer": "done"}
