"""Every way to end `trisig run`: which Unix signals do it, in order, and with which status."""

from __future__ import annotations

import os
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from forking import fork_on_a_terminal
from program import SECONDS, SLOW, TRISIG, read_until, running
from witness import eventually

from trisig._run import SAME_REQUEST_S
from trisig._util.stop_signals import hold_stop_signals

FILE_APP = "import trisig\nsignals = trisig.Signals()\n"

SIGNAL_WHILE_TRIO_CLOSES = """
import os, signal, socket, sys
close, master = socket.socket.close, os.getpid()

def closing(self):
    close(self)
    by = sys._getframe(1).f_code.co_filename
    if os.getpid() == master and by.endswith("_wakeup_socketpair.py"):
        print("closing", flush=True)
        signal.raise_signal(signal.SIGTERM)

socket.socket.close = closing
"""


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM])
async def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    """SIGQUIT delivers what is queued, as SIGTERM does, and the status is 0."""
    with running(tmp_path, SLOW, "--grace=60") as app:
        await eventually((tmp_path / "began").exists)
        app.send_signal(number)
        log = read_until(app, "stopping")
        (tmp_path / "go").touch()
        assert app.wait(SECONDS) == 0
    assert f"master: stopping: {number.name}; send it again to stop at once\n" in log[-1]
    assert (tmp_path / "ran").read_text() == "xxx"


async def test_a_closed_terminal_ends_it_in_order(tmp_path: Path) -> None:
    """Whoever closes the window loses nothing that is queued."""
    (tmp_path / "app.py").write_text(SLOW)
    pid, terminal = fork_on_a_terminal()
    if pid == 0:
        os.chdir(tmp_path)
        os.execv(TRISIG[0], [*TRISIG, "run", "app.py", "--grace", "60"])
    shown = b""
    try:
        while b"master: ready" not in shown:
            shown += os.read(terminal, 4096)
        await eventually((tmp_path / "began").exists)
    finally:
        os.close(terminal)
    (tmp_path / "go").touch()
    _, status = os.waitpid(pid, 0)  # noqa: ASYNC222  nothing else runs here
    assert os.waitstatus_to_exitcode(status) == 0
    assert (tmp_path / "ran").read_text() == "xxx"


def test_nohup_keeps_it_running(tmp_path: Path) -> None:
    """SIGHUP that is ignored at the start stays ignored."""
    with running(tmp_path, FILE_APP, before_exec=partial(signal.signal, signal.SIGHUP, signal.SIG_IGN)) as app:
        app.send_signal(signal.SIGHUP)
        app.send_signal(signal.SIGTERM)
        assert "SIGTERM" in read_until(app, "stopping")[-1]
        assert app.wait(SECONDS) == 0


def test_a_handler_of_the_applications_own_keeps_its_signal(tmp_path: Path) -> None:
    """An application that does something else at SIGHUP still does."""
    source = FILE_APP + "import signal\nsignal.signal(signal.SIGHUP, lambda *_: print('hup', flush=True))\n"
    with running(tmp_path, source) as app:
        app.send_signal(signal.SIGHUP)
        assert app.stdout is not None
        assert app.stdout.readline() == "hup\n"
        assert app.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_the_parent_had_blocked(tmp_path: Path, number: signal.Signals) -> None:
    """A program started with SIGTERM or SIGINT blocked can be stopped by it."""
    block = partial(signal.pthread_sigmask, signal.SIG_BLOCK, [number])
    with running(tmp_path, FILE_APP, before_exec=block) as app:
        app.send_signal(number)
        assert app.wait(SECONDS) == 0


async def test_two_signals_in_one_moment_are_one_request(tmp_path: Path) -> None:
    """GNU timeout signals the process and then its group: no handler is cut off. A later signal stops at once."""
    a_long_moment = "import trisig._run\ntrisig._run.SAME_REQUEST_S = 60.0\n"
    with running(tmp_path, SLOW + a_long_moment, "--grace=60") as app:
        await eventually((tmp_path / "began").exists)
        app.send_signal(signal.SIGTERM)
        read_until(app, "stopping")
        app.send_signal(signal.SIGTERM)
        (tmp_path / "go").touch()
        assert app.wait(SECONDS) == 0
        assert app.stderr is not None
        assert "undelivered" not in app.stderr.read()
    assert (tmp_path / "ran").read_text() == "xxx"


def test_signals_that_rain_until_the_end(tmp_path: Path) -> None:
    """However many come, and however late, the status of a clean end is 0."""
    for _ in range(3):
        with running(tmp_path, FILE_APP) as app:
            while app.poll() is None:
                app.send_signal(signal.SIGTERM)
            assert app.stderr is not None
            assert (app.returncode, app.stderr.read().count("Traceback")) == (0, 0)


def test_a_signal_while_trio_closes_is_no_news(tmp_path: Path) -> None:
    """Its wake-up socket is closed before trio takes it back: a signal in between writes nothing to standard error."""
    source = FILE_APP + SIGNAL_WHILE_TRIO_CLOSES
    with running(tmp_path, source) as app:
        app.terminate()
        assert app.wait(SECONDS) == 0
        assert app.stdout is not None
        assert app.stderr is not None
        assert "closing" in app.stdout.read()
        assert "BrokenPipeError" not in app.stderr.read()


async def test_signals_in_one_moment_are_one_arrival() -> None:
    """While a signal is noted, the handler does nothing: a dense rain cannot nest it until Python gives up."""
    with hold_stop_signals() as signals:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        assert await signals.arrival() == signal.SIGTERM
        async with trio.open_nursery() as nursery:
            nursery.start_soon(signals.arrival)
            await trio.testing.wait_all_tasks_blocked()
            signal.raise_signal(signal.SIGHUP)


async def test_a_second_signal_later_stops_at_once(tmp_path: Path) -> None:
    """Handlers are killed, the log counts what was not delivered, and the status is 0: it was asked for."""
    with running(tmp_path, SLOW, "--grace=60") as app:
        await eventually((tmp_path / "began").exists)
        app.terminate()
        read_until(app, "stopping")
        await trio.sleep(SAME_REQUEST_S)
        app.terminate()
        log = read_until(app, "stopped")
        assert app.wait(SECONDS) == 0
    assert "SIGTERM again: stopping at once" in log[0]
    assert any("undelivered" in line for line in log)


def test_a_signal_while_the_application_is_imported(tmp_path: Path) -> None:
    """Before there is a master, nothing has to end in order: SIGTERM ends the program."""
    (tmp_path / "app.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen([*TRISIG, "run", "app.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as app:
        assert app.stdout is not None
        assert app.stdout.readline() == "importing\n"
        app.terminate()
        assert app.wait(SECONDS) == -signal.SIGTERM
