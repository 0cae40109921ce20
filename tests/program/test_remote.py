"""Signals of other programs: packets at the sockets of a master, from the command, the library, and byte by byte."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from program import SECONDS, run, running
from witness import eventually, unhandled

import trisig
from trisig import remote
from trisig._remote import server
from trisig._remote.deliver import deliver

DELIVERED = b"\xff\x00\x00\x01"
APP = "import trisig\nsignals = trisig.Signals()\nsignals.register(7, 'workers', lambda signum: None)\n"


def packet(signum: int) -> bytes:
    """As uWSGI sends it."""
    return bytes((110, 0, 0, signum))


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that relative paths begin in: those of tests are too long for a socket."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names_in(folder: Path) -> list[str]:
    """What is there."""
    return [path.name for path in folder.iterdir()]


async def answer(stream: trio.SocketStream) -> bytes:
    """All that comes back until the connection ends."""
    with trio.fail_after(SECONDS):
        try:
            return b"".join([part async for part in stream])
        except trio.BrokenResourceError:  # more was sent than was read
            return b""


async def asked(content: bytes) -> bytes:
    """What comes back for some bytes, after which no more come."""
    async with await trio.open_unix_socket("here") as stream:
        await stream.send_all(content)
        await stream.send_eof()
        return await answer(stream)


async def test_what_is_no_signal_hurts_only_itself(
    here: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage, half a packet, and more silent clients than there is room for: signals come in beside all of them."""
    signals = trisig.Signals()
    monkeypatch.setattr(server, "_PATIENCE_S", SECONDS)  # nobody is closed because this takes long
    sockets = ["here", f"127.0.0.1:{free_port()}", f"[::1]:{free_port()}"]
    async with trisig.open_master(signals, workers=1, sockets=sockets), AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(await trio.open_unix_socket("here")) for _ in range(70)]
        await silent[-1].send_all(packet(3)[:2])
        for content in (b"", packet(3)[:3], bytes(4), b"\x6e\x01\x00\x11", b"GET / HTTP/1.1\r\n\r\n"):
            assert await asked(content) == b""
        for signum in (0, 255):
            assert await asked(packet(signum)) == DELIVERED
        for address in sockets:
            await remote.send(17, address)
        assert [await unhandled(signals) for _ in range(5)] == [0, 255, 17, 17, 17]
        await silent[-1].send_all(packet(3)[2:])  # the second half, in time
        assert await answer(silent[-1]) == DELIVERED
        assert await answer(silent[0]) == b""  # the longest silent made room
        assert await unhandled(signals) == 3
    assert caplog.text.count("raises no signal") == 1
    assert not names_in(here)


async def test_a_slow_client_is_given_up(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sends a byte now and then has no more time than one that sends nothing."""
    monkeypatch.setattr(server, "_PATIENCE_S", 0.8)
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=0, sockets=["here"]):
        async with await trio.open_unix_socket("here") as stream:
            began = trio.current_time()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_drip, stream)
                assert await answer(stream) == b""
                nursery.cancel_scope.cancel()
            assert 0.7 < trio.current_time() - began < SECONDS


async def _drip(stream: trio.SocketStream) -> None:
    for byte in packet(3)[:3]:
        await stream.send_all(bytes((byte,)))
        await trio.sleep(0.3)


async def test_a_full_queue_makes_senders_wait(here: Path) -> None:
    """None is dropped, none is raised for a sender that has left, and more senders than places have their turn."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=0, sockets=["here"], max_queued=1) as master:
        await remote.send(1, "here")
        async with await trio.open_unix_socket("here") as stream:
            await stream.send_all(packet(2))
        async with trio.open_nursery() as nursery:
            for _ in range(70):
                nursery.start_soon(remote.send, 3, "here")
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert master.statistics().accepted == 1
            assert await unhandled(signals) == 1
            assert [await unhandled(signals) for _ in range(70)] == [3] * 70
        assert master.statistics().accepted == 71


async def test_a_child_does_not_hold_the_sockets(here: Path) -> None:
    """Once a master listens no more, a sender is refused at once, whatever its children do."""
    signals = trisig.Signals()
    address = f"127.0.0.1:{(port := free_port())}"

    @signals.handler(7, target="worker")
    async def stay(signum: int) -> None:
        (here / "began").touch()
        await eventually((here / "go").exists)

    async with trio.open_nursery() as nursery:
        async with trisig.open_master(signals, workers=1, sockets=[address, "here"]) as master:
            await remote.send(7, address)
            await eventually((here / "began").exists)
            [worker] = master.processes[1:]
            assert len(_listening(port)) == 2
            assert not _listening(port) & _held(worker.pid)
            nursery.start_soon(_until_refused, [address, "here"], (here / "go").touch)


def _listening(port: int) -> set[str]:
    """The sockets that listen at a port, or at the relative path of `here`, as links in /proc name them."""
    tcp = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    unix = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    found = [words[9] for words in tcp if words[1] == f"0100007F:{port:04X}" and words[3] == "0A"]
    found += [words[6] for words in unix if words[-1] == str(Path("here").absolute()) and words[3] == "00010000"]
    return {f"socket:[{inode}]" for inode in found}


def _held(pid: int) -> set[str]:
    """What the descriptors of a process are open on."""
    held = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed just now
            held.add(str(fd.readlink()))
    return held


async def _until_refused(addresses: list[str], then: Callable[[], object]) -> None:
    for address in addresses:
        with trio.fail_after(SECONDS):
            while True:
                try:
                    await remote.send(7, address)
                except OSError:
                    break
    then()


async def test_whose_socket_is_removed(here: Path) -> None:
    """That of a dead program is replaced; that of a living one, and a file, are an error that says so."""
    signals = trisig.Signals()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind("here")
    (here / "file").write_text("mine")
    async with trisig.open_master(signals, workers=0, sockets=["here"]):
        for address, message in (
            ("here", r"^socket .*here: another program listens there; name another path$"),
            ("file", r"^socket .*file: this is a file, not a socket; name another path$"),
            ("no/here", r"^socket .*here: there is no directory .*; make it"),
        ):
            with pytest.raises((OSError, trio.BusyResourceError), match=message):
                async with trisig.open_master(trisig.Signals(), workers=0, sockets=[address]):
                    pass
        await remote.send(17, "here")
        assert await unhandled(signals) == 17
    assert names_in(here) == ["file"]


@pytest.mark.parametrize("sockets", ["here", [17], [":3031"], ["x:y"], 3031])
async def test_a_wrong_address_is_an_error_before_anything_starts(sockets: object) -> None:
    """It names the option."""
    with pytest.raises((TypeError, ValueError), match=r"^sockets(=| is)"):
        async with trisig.open_master(trisig.Signals(), sockets=sockets):  # type: ignore[arg-type]  # the mistake
            pass


async def test_nobody_takes_a_signal() -> None:
    """An address at which nobody listens, one that does not answer, one that refuses, and what is no address."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        replies = iter([b"", b"\xff\x00\x00\x00"])

        async def reply(stream: trio.SocketStream) -> None:
            await stream.receive_some(4)
            await stream.send_all(next(replies))
            await stream.aclose()

        nursery.start_soon(trio.serve_listeners, reply, listeners)
        host, port = listeners[0].socket.getsockname()
        with pytest.raises(OSError, match=rf"^unable to deliver signal 17 to node {host}:{port}$"):
            await remote.send(17, f"{host}:{port}")
        with pytest.raises(remote.RejectedError, match=rf"^node {host}:{port} rejected signal 17$"):
            await remote.send(17, f"{host}:{port}")
        nursery.cancel_scope.cancel()
    with pytest.raises(OSError, match="unable to deliver signal 17 to node 127"):
        await remote.send(17, f"127.0.0.1:{free_port()}")
    with pytest.raises(ValueError, match="is not an address"):
        await remote.send(17, "3031")
    with pytest.raises(ValueError, match="a number from 0 to 255"):
        await remote.send(256, "here")


def test_the_command_sends_and_takes_them(here: Path) -> None:
    """`sockets` in `trisig.toml` is `--socket`; `send --remote` looks for no control socket. A reload keeps them."""
    (here / "trisig.toml").write_text(f'sockets = ["here", "127.0.0.1:{(port := free_port())}"]\n')
    with running(here, APP):
        done = run(here, "send", 7, "--remote=here", **{**os.environ, "TRISIG_CONTROL": "nowhere"})
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        done = run(here, "reload", "--control=control")
        assert done.returncode == 0, done.stderr
        deliver(7, f"127.0.0.1:{port}")
        status = json.loads(run(here, "status", "--json", "--control=control").stdout)
        assert status["accepted"] == 2
        assert len(_listening(port)) == 2
        assert not _listening(port) & _held(status["processes"]["worker1"]["pid"])


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("send", "7", "--remote=here"), 1, "unable to deliver signal 7 to node here"),
        (("send", "7", "--remote=3031"), 2, "'3031' is not an address"),
        (("send", "7", "--remote=here", "--control=control"), 2, "write either --control PATH or --remote ADDRESS"),
        (("run", "app.py", "--socket=0.0.0.0:1"), 2, "--socket '0.0.0.0:1' is not of this machine alone"),
    ],
)
def test_mistakes_of_the_command(here: Path, words: tuple[str, ...], status: int, said: str) -> None:
    """One line says what is wrong, and what to write."""
    (here / "app.py").write_text(APP)
    done = run(here, *words)
    assert done.returncode == status
    assert said in done.stderr.splitlines()[-1]
