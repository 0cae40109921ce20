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
import trio
from witness import eventually, stopped

import trisig as library

APP = """
import os, trisig
signals = trisig.Signals()

@signals.handler(7, target="workers")
def note(signum):
    with open("ran", "a") as file:
        file.write(trisig.current_process().name + "\\n")
"""


NEVER_READY = """
import trisig
signals = trisig.Signals()

@signals.on_start("worker1")
def begun():
    print("begun", flush=True)

@signals.service("worker1")
async def never(task_status):
    import trio
    await trio.sleep_forever()
"""


@contextmanager
def running(folder: Path, source: str = APP, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """An application that listens at `folder / "control"`."""
    (folder / "app.py").write_text(source)
    with subprocess.Popen(
        [sys.executable, "-m", "trisig", "run", "app.py", f"--control={folder / 'control'}", *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as app:
        try:
            yield app
        finally:
            app.terminate()
            app.wait(10)


@contextmanager
def served(folder: Path) -> Iterator[Path]:
    """An application with two workers, and where it listens."""
    with running(folder, APP, "--workers=2") as app:
        wait_until_ready(app)
        yield folder / "control"


def wait_until_ready(app: "subprocess.Popen[str]") -> None:
    """Read the log until the master is ready."""
    assert app.stderr is not None
    assert "master: ready" in app.stderr.readline()


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one line of a command that has failed."""
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1), result
    return result.stderr


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


async def test_an_operator_can_do_it_all(tmp_path: Path) -> None:
    """send, status, cheap, wake and stop do what they say."""
    with served(tmp_path) as control:
        assert trisig("send", 7, "--control", control).returncode == 0
        assert trisig("cheap", 2, "--control", control).returncode == 0
        told = json.loads(trisig("status", "--json", "--control", control).stdout)
        assert told["processes"]["worker2"]["state"] == "cheap"
        assert told["accepted"] == told["done"] + told["queued"] + told["in_flight"] + told["dead_lettered"] == 2
        assert trisig("wake", 2, "--control", control).returncode == 0
        await eventually(lambda: trisig("status", "--control", control).stdout.startswith("accepted 2  done 2"))
        assert trisig("status", "--control", control).stdout.count(" ready ") == 2
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
    with running(tmp_path, APP, "--workers=1") as app:
        wait_until_ready(app)
        result = trisig("cheap", 9, "--control", tmp_path / "control")
    assert (result.returncode, result.stderr) == (1, "trisig: there is no worker9; there is 1 worker\n")


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


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file", "this is a file, not a socket; name the path"),
        (".", "this is a directory, not a socket; name the path"),
        ("nowhere/control", "there is no directory "),
        ("dead", "no master listens there. If none is running, start one"),
        ("datagrams", "this is a socket of another kind; name the path"),
        ("x" * 200, "path too long; name the path"),
    ],
)
def test_a_client_says_what_is_there_instead(tmp_path: Path, place: str, words: str) -> None:
    """Whatever the path of a client leads to but a master is named, with what to do."""
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        dead.bind(str(tmp_path / "dead"))
        datagrams.bind(str(tmp_path / "datagrams"))
        assert words in refused(trisig("status", "--control", tmp_path / place))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "the connection was closed"),
        (b"220 hello\n", "is not a trisig master"),
        (b"[]\n", "is not a trisig master"),
    ],
)
def test_a_client_that_meets_another_program(tmp_path: Path, answer: bytes, words: str) -> None:
    """Somebody who listens there and speaks otherwise, or not at all, is told from a master."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "control"))
        other.listen()
        other.settimeout(20)
        command = [sys.executable, "-m", "trisig", "status", "--control", str(tmp_path / "control")]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as client:
            connection, _ = other.accept()
            with connection:
                connection.sendall(answer)
            _, said = client.communicate(timeout=20)
    assert client.returncode == 1
    assert words in said
    assert said.count("\n") == 1


def test_a_master_that_does_not_answer(tmp_path: Path) -> None:
    """The client says after some seconds that it still waits, and has its answer when the master goes on."""
    with running(tmp_path) as app:
        wait_until_ready(app)
        command = [sys.executable, "-m", "trisig", "send", "7", "--control", str(tmp_path / "control")]
        with stopped(app.pid):
            client = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            assert client.stderr is not None
            assert client.stderr.readline() == "trisig: the master has not answered yet; waiting\n"
        with client:
            _, said = client.communicate(timeout=20)
    assert (client.returncode, said) == (0, "")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """A master whose socket has no directory to be in says which one is missing."""
    (tmp_path / "app.py").write_text(APP)
    result = subprocess.run(
        [sys.executable, "-m", "trisig", "run", "app.py", "--control=no/control"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert refused(result) == (
        "trisig: control socket no/control: there is no directory no; make it, or name another path\n"
    )


def test_an_error_of_the_control_socket_has_no_other_behind_it(tmp_path: Path) -> None:
    """A path in use is one exception for who calls `run`, and not what the kernel said first."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "control"))
        other.listen()
        with pytest.raises(trio.BusyResourceError, match=r"^control socket .*another master listens there") as caught:
            library.run(library.Signals(), control=tmp_path / "control")
    assert caught.value.__cause__ is caught.value.__context__ is None
    (tmp_path / "control").unlink()
    (tmp_path / "control").touch()
    with pytest.raises(FileExistsError, match=r"^control socket "):
        library.run(library.Signals(), control=tmp_path / "control")


def test_a_master_that_is_still_starting(tmp_path: Path) -> None:
    """It answers at once that it is not ready, and can be stopped."""
    with running(tmp_path, NEVER_READY) as app:
        assert app.stdout is not None
        assert app.stdout.readline() == "begun\n"
        for words in (("status",), ("send", 7), ("cheap", 1), ("wake", 1)):
            said = refused(trisig(*words, "--control", tmp_path / "control"))
            assert "the master is still starting" in said
        assert trisig("stop", "--control", tmp_path / "control").returncode == 0
        assert app.wait(20) == 0


async def test_status_shows_what_is_in_no_process(tmp_path: Path) -> None:
    """Signals that wait for whoever is free, or for a `wait` that nobody calls, are shown; so are those given up."""
    source = (
        APP
        + """
@signals.handler(9, target="worker")
def poison(signum):
    os.kill(os.getpid(), 9)

signals.register(8, "worker", print)
"""
    )
    control = tmp_path / "control"

    def shown() -> str:
        return trisig("status", "--control", control).stdout

    with running(tmp_path, source, "--workers=2") as app:
        wait_until_ready(app)
        assert "queued for" not in shown()
        for signum in (9, 77, 77, 78):
            assert trisig("send", signum, "--control", control).returncode == 0
        await eventually(lambda: "dead-lettered: 9 (1)\n" in shown())
        for number in (1, 2):
            assert trisig("cheap", number, "--control", control).returncode == 0
        assert trisig("send", 8, "--control", control).returncode == 0
        text = shown()
    assert "queued for the first available, or for wait(): 4\n" in text
    assert "without a handler, for wait(): 77 (2), 78 (1)\n" in text


def test_what_an_operator_does_is_in_the_log(tmp_path: Path) -> None:
    """A worker that is stopped and woken on request leaves a line each."""
    with running(tmp_path) as app:
        wait_until_ready(app)
        for command in ("cheap", "cheap", "wake", "wake"):
            assert trisig(command, 1, "--control", tmp_path / "control").returncode == 0
        assert trisig("stop", "--control", tmp_path / "control").returncode == 0
        _, log = app.communicate(timeout=20)
    assert log.count("INFO master: worker1 is stopped\n") == 1
    assert log.count("INFO master: waking worker1\n") == 1


def test_status_that_cannot_be_written(tmp_path: Path) -> None:
    """What a full disk does not take is one line, and status 1."""
    with served(tmp_path) as control, Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "trisig", "status", "--control", str(control)]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert result.returncode == 1
    assert result.stderr == "trisig: standard output cannot be written: No space left on device\n"


SLOW = APP.replace('    with open("ran"', '    import time\n    time.sleep(1)\n    with open("ran"')


def test_a_restart_by_two_commands(tmp_path: Path) -> None:
    """`stop` returns when what runs is finished, and the next master may have the control socket and the journal."""
    control = tmp_path / "control"
    with running(tmp_path, SLOW, "--journal=journal") as app:
        wait_until_ready(app)
        assert trisig("send", 7, "--control", control).returncode == 0
        assert trisig("stop", "--control", control).returncode == 0
        assert (tmp_path / "ran").read_text() == "worker1\n"
        assert not control.exists()
        with running(tmp_path, SLOW, "--journal=journal") as again:
            wait_until_ready(again)
        assert app.wait(20) == 0
