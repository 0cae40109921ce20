"""Children of a master that was started in a terminal."""

import os
import select
import signal
import sys
import time
from pathlib import Path

import pytest
from forking import fork_on_a_terminal

BODY = """
import os, subprocess, sys, termios, trio, trisig

signals = trisig.Signals()

@signals.handler(1, target="worker1")
def use_the_terminal(signum):
    {use}

@signals.handler(2, target="worker1")
def after(signum):
    print("AFTER", flush=True)

async def main():
    {setup}
    async with trisig.open_master(signals, workers=1, handler_timeout=20):
        await signals.send(1)
        await signals.send(2)

trio.run(main)
print("END", flush=True)
"""
STOP_BACKGROUND_OUTPUT = (
    "modes = termios.tcgetattr(0); modes[3] |= termios.TOSTOP; termios.tcsetattr(0, termios.TCSANOW, modes)"
)
SECONDS = 30.0


def run_in_a_terminal(program: Path, text: str) -> str:
    """Run a program in a new session with a terminal of its own; returns what it printed there until its end."""
    program.write_text(text)
    pid, terminal = fork_on_a_terminal()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, str(program)])
    seen, give_up = b"", time.monotonic() + SECONDS
    try:
        while b"END" not in seen and time.monotonic() < give_up:
            if not select.select([terminal], [], [], 0.5)[0]:
                continue
            try:
                seen += os.read(terminal, 4096)
            except OSError:  # the last process has closed it
                break
    finally:
        if b"END" not in seen:
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(pid, 0)
    return seen.decode()


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        pytest.param("print('got', repr(sys.stdin.read(1)), flush=True)", "got ''", id="standard input"),
        pytest.param("input()", "EOFError", id="input"),
        pytest.param("print(open('/dev/tty'))", "No such device or address: '/dev/tty'", id="the terminal's file"),
        pytest.param("import getpass; getpass.getpass()", "EOFError", id="getpass"),
        pytest.param("print('sh', subprocess.run(['sh', '-c', 'read x']).returncode, flush=True)", "sh 1", id="sh"),
        pytest.param("print('stty', subprocess.run(['stty', '-echo']).returncode, flush=True)", "stty 1", id="stty"),
        pytest.param("breakpoint()", "BdbQuit", id="breakpoint"),
    ],
)
def test_what_asks_the_terminal_in_a_handler_fails_at_once(tmp_path: Path, use: str, expected: str) -> None:
    """A read finds the end or an error, the process is not stopped, and the next signal runs."""
    seen = run_in_a_terminal(tmp_path / "app.py", BODY.format(use=use, setup="pass"))
    assert expected in seen
    assert "AFTER" in seen
    assert "killing it" not in seen


def test_children_print_on_a_terminal_that_stops_background_output(tmp_path: Path) -> None:
    """After ``stty tostop`` the output of children and of their programs appears."""
    use = "print('PLAIN', flush=True); subprocess.run(['echo', 'PROGRAM'])"
    seen = run_in_a_terminal(tmp_path / "app.py", BODY.format(use=use, setup=STOP_BACKGROUND_OUTPUT))
    assert [word for word in ("PLAIN", "PROGRAM", "AFTER", "END") if word not in seen] == []


def test_the_master_keeps_its_terminal(tmp_path: Path) -> None:
    """Only children give the terminal up: the master still opens it after they were forked."""
    text = BODY.format(use="pass", setup="pass").replace(
        'print("END"', 'print("TTY", os.isatty(os.open("/dev/tty", os.O_RDWR)), os.isatty(0))\nprint("END"'
    )
    assert "TTY True True" in run_in_a_terminal(tmp_path / "app.py", text)
