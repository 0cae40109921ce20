"""Starting and stopping: what the command line takes, and every way in which the server ends."""

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner
from witness import eventually, gone, stopped

from chat import main
from chat_harness import BOUND, EXAMPLE, chat_server, everyone
from server import listen
from store import prepare

LONGEST = {"--clock": 604800, "--idle": 604800, "--vanish": 86400}


def start(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Start a server that cannot start, and wait for its end."""
    command = [sys.executable, EXAMPLE / "chat.py", "--port=0", "--tcp-port=0", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=BOUND)


def test_what_is_taken_is_one_line(tmp_path: Path) -> None:
    """A second server on the same port, or in the same folder, says so in one line, with exit status 1."""
    with chat_server(tmp_path, "--workers=1") as server:
        second = start(tmp_path, f"--port={server.port}")
        assert second.returncode == 1
        assert second.stdout == ""
        taken = f"cannot listen on 127.0.0.1 port {server.port}: Address already in use"
        hint = "choose another one with --port PORT (with nox: -- --port PORT)"
        assert second.stderr == f"Error: {taken}; {hint}\n"
        assert "--tcp-port PORT (with nox" in start(tmp_path, f"--tcp-port={server.tcp_port}").stderr
        third = start(tmp_path)
        assert third.returncode == 1
        assert third.stderr.endswith(
            "Error: control socket chat.control: another master listens there; name another path\n"
        )
        assert "Traceback" not in third.stderr


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("--rotate=99 * * * *", "cron expression '99 * * * *' has a bad minute field '99'"),
        ("--database=/proc/none/x", "cannot use the database /proc/none/x: unable to open database file"),
        ("--motd=/proc", "cannot use the message of the day /proc: Is a directory"),
        ("--motd=/proc/none/x", "cannot use the message of the day /proc/none/x: No such file or directory"),
        ("--host=256.1.1.1", "cannot listen on 256.1.1.1 port 0: "),
    ],
)
def test_what_cannot_be_is_one_line(tmp_path: Path, option: str, why: str) -> None:
    """Whatever the environment does not allow is one line that names it, with exit status 1."""
    ended = start(tmp_path, option)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {why}")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("replacement", [None, "another.sqlite"])
async def test_without_its_database_it_ends(tmp_path: Path, replacement: str | None) -> None:
    """A file that is removed, or replaced by another, is one line in the log, and one error at the end: status 1."""
    database = tmp_path / "chat.sqlite"
    with chat_server(tmp_path, "--workers=2") as server:
        async with everyone(server) as (_, page, _terminal):
            await page.say("the last word")
            await page.until(lambda: page.texts)
            pids = [server.worker_pid(1), server.worker_pid(2)]
            if replacement:
                prepare(tmp_path / replacement, "")
                (tmp_path / replacement).replace(database)
            else:
                database.unlink()
            assert await trio.to_thread.run_sync(server.process.wait, BOUND) == 1
    assert await gone(pids, 0.0) == []
    gone_wrong = f"the database {database} was removed or replaced"
    assert server.log.count(gone_wrong) == 2
    assert f"{gone_wrong}; the server ends" in server.log
    assert server.log.splitlines()[-1] == f"Error: {gone_wrong}"
    assert "Traceback" not in server.log
    assert server.log.count("serves, pid") == 2  # no worker was replaced in vain
    assert database.exists() == bool(replacement)


async def test_a_busy_database_ends_nothing(tmp_path: Path) -> None:
    """What others do with the file, from a copy to a VACUUM, does not replace it."""
    with chat_server(tmp_path, "--workers=1") as server:
        async with everyone(server) as (_, page, _terminal):
            with closing(sqlite3.connect(server.database)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                db.execute("VACUUM")
            os.utime(server.database)
            shutil.copy(server.database, tmp_path / "backup.sqlite")
            await page.say("still here")
            await page.until(lambda: page.texts)
            checked = re.compile(r"mule1 +ready +\d+ +\d+ \w+ +\d+ +\d+ MiB +[1-9]")
            await eventually(lambda: checked.search(server.trisig("status")))
        assert server.stop() == 0
    assert "removed or replaced" not in server.log


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e9", "0"])
@pytest.mark.parametrize("option", LONGEST)
def test_times_have_bounds(option: str, value: str) -> None:
    """A time that no clock of the kernel could keep, or that is no number, is an error of usage."""
    ended = CliRunner().invoke(main, [f"{option}={value}"])
    assert ended.exit_code == 2
    assert f"'{option}': {float(value)}" in ended.output or "nan is not a number" in ended.output


def test_numbers_have_bounds() -> None:
    """SQLite could not count to the largest numbers that Python can."""
    assert CliRunner().invoke(main, ["--keep=99999999999999999999"]).exit_code == 2


async def test_the_longest_times_work(tmp_path: Path) -> None:
    """With every time at its bound, clients are served as ever."""
    with chat_server(tmp_path, "--workers=1", *(f"{option}={value}" for option, value in LONGEST.items())) as server:
        async with everyone(server) as (_, page, terminal):
            await terminal.type("still here")
            await page.until(lambda: page.texts)
        assert server.stop() == 0
    assert "Traceback" not in server.log


@pytest.mark.parametrize("vanish", [1, 30, LONGEST["--vanish"]])
def test_connections_inherit_what_notices_vanishing(vanish: int) -> None:
    """The kernel watches each accepted connection, for the time that was asked for."""
    with (
        closing(listen("127.0.0.1", 0, vanish)) as listener,
        socket.create_connection(listener.getsockname()),
        closing(listener.accept()[0]) as accepted,
    ):
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == max(1, round(vanish / 4))
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == vanish * 1000


async def test_everywhere_is_somewhere(tmp_path: Path) -> None:
    """Listening on all addresses, it prints one that others can open."""
    with chat_server(tmp_path, "--workers=1", "--host=0.0.0.0") as server, trio.fail_after(BOUND):
        (host,) = set(re.findall(r"http://(.+):\d+/|nc (\S+) ", server.greeting)[0]) - {""}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            if probe.connect_ex(("192.0.2.1", 9)) == 0:
                assert host != "0.0.0.0"
        async with await trio.open_tcp_stream(host, server.port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_it_stops_cleanly(tmp_path: Path, number: int) -> None:
    """With clients connected: exit status 0, soon, no process left, and no file but its data."""
    with chat_server(tmp_path, "--workers=2") as server:
        async with everyone(server):
            pids = [server.worker_pid(1), server.worker_pid(2)]
            assert await trio.to_thread.run_sync(server.stop, number) == 0
    assert await gone(pids, 0.0) == []
    assert "Traceback" not in server.log
    assert server.log.splitlines()[-1].endswith("master   stopped")
    assert not (tmp_path / "chat.control").exists()


async def test_with_nohup_it_stays(tmp_path: Path) -> None:
    """Where hanging up is ignored already, as nohup does, the server ignores it too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with chat_server(tmp_path, "--workers=1") as server:
            server.process.send_signal(signal.SIGHUP)
            assert "ready" in await trio.to_thread.run_sync(server.trisig, "status")
            assert server.stop() == 0
    finally:
        signal.signal(signal.SIGHUP, before)
    assert "SIGTERM" not in server.log


async def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    """The first waits for a worker that does not move; the second does not."""
    with chat_server(tmp_path, "--workers=2") as server:
        pids = [server.worker_pid(1), server.worker_pid(2)]
        with stopped(pids[0]):
            server.process.send_signal(signal.SIGINT)
            server.wait_for_log("stopping: SIGINT; send it again to stop at once")
            await trio.sleep(1.1)  # within a second of the first, another one is the same request
            assert server.stop() == 0
    assert await gone(pids, BOUND) == []
    assert "SIGINT again: stopping at once" in server.log
    assert "did not leave within" not in server.log


async def test_a_closed_terminal_stops_it(tmp_path: Path) -> None:
    """Who closes the terminal in which it runs leaves no process that holds the ports."""
    with terminal(tmp_path) as (process, shown, close):
        port = int(shown(r"http://127\.0\.0\.1:(\d+)/"))
        pids = [int(pid) for pid in re.findall(r"worker\d (\d+)", shown(r"ready, (.*)"))]
        assert len(pids) == 2
        close()
        assert await trio.to_thread.run_sync(process.wait, BOUND) == 0
        assert await gone(pids, 0.0) == []
        listen("127.0.0.1", port, 1).close()
    assert not (tmp_path / "chat.control").exists()


@contextmanager
def terminal(
    folder: Path,
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[str], str], Callable[[], None]]]:
    """A server in a terminal of its own; gives what searches the screen, and what closes the window."""
    ours, theirs = os.openpty()
    command = ["setsid", "--ctty", sys.executable, EXAMPLE / "chat.py", "--port=0", "--tcp-port=0", "--workers=2"]
    screen = b""
    closed = False

    def shown(pattern: str) -> str:
        nonlocal screen
        while not (found := re.search(pattern, screen.decode())):
            screen += os.read(ours, 65536)
        return found[1]

    def close() -> None:
        nonlocal closed
        closed = True
        os.close(ours)

    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        try:
            yield process, shown, close
        finally:
            if not closed:
                close()
            process.kill()


async def test_an_operator_asks_it(tmp_path: Path) -> None:
    """`trisig status` shows its processes and what raises its signals, the crontab line of the option among them."""
    with chat_server(tmp_path, "--workers=2", "--rotate=30 2 * * 7") as server:
        status = await trio.to_thread.run_sync(server.trisig, "status")
        assert re.search(r"^cron .*30 2 \* \* 7 +waiting .* 0 +0$", status, re.MULTILINE)
        assert re.search(rf"worker2 .* {server.worker_pid(2)} ", status)
        await trio.to_thread.run_sync(server.trisig, "stop")
        assert await trio.to_thread.run_sync(server.process.wait, BOUND) == 0
