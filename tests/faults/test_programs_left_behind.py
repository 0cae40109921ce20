"""Programs that a handler leaves in the background while its process lives."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
import trio
from kernel_view import children
from witness import eventually

import trisig


def is_zombie(pid: int) -> bool:
    """Whether a process is dead, and nobody has reaped it."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def zombies() -> set[int]:
    """The dead children of this process that nobody has reaped."""
    return {pid for pid in children() if is_zombie(pid)}


async def leave_behind(line: str, count: int) -> None:
    """Run a line of shell in handlers, and wait until there are no zombies while the worker lives."""
    signals = trisig.Signals()

    @signals.handler(1, target="worker")
    def work(_signum: int) -> None:
        subprocess.run(["sh", "-c", line], check=True)

    async with trisig.open_master(signals, workers=2) as master:
        for _ in range(count):
            await signals.send(1)
        await eventually(lambda: master.statistics().done == count)
        await eventually(lambda: not zombies() and not running(master))
        assert all(process.respawns == 0 for process in master.statistics().processes.values())


def running(master: trisig.Master) -> set[int]:
    """Other live children of this process than the master's: programs that are still to end."""
    return children() - {process.pid for process in master.processes} - {master._engine.zygotes.pid}


@pytest.mark.parametrize("line", ["sleep 0.02 &", "nohup sleep 0.02 >/dev/null 2>&1 &", "(sleep 0.01; true) & sleep 0"])
async def test_programs_in_the_background_become_no_zombies(line: str) -> None:
    """What falls to the master while the worker lives is reaped when it ends."""
    await leave_behind(line, 40)


async def test_a_session_of_its_own_is_reaped_if_it_was_seen_alive(tmp_path: Path) -> None:
    """A program that outlives the next look is known by its environment, and reaped when it ends."""
    signals, first, last = trisig.Signals(), tmp_path / "first", tmp_path / "last"

    @signals.handler(1, target="worker1")
    def work(_signum: int) -> None:
        subprocess.run(["sh", "-c", f"setsid sh -c 'read _ < {last}' & read _ < {first} &"], check=True)

    for fifo in (first, last):
        os.mkfifo(fifo)
    async with trisig.open_master(signals) as master:
        await signals.send(1)
        await eventually(lambda: master.statistics().done == 1)
        await eventually(lambda: len(running(master)) == 2)
        first.write_bytes(b"")
        await eventually(lambda: len(running(master)) == 1)  # reaped, in a look that saw the other one
        last.write_bytes(b"")
        await eventually(lambda: not running(master))


async def test_the_status_of_the_applications_own_programs_is_its_own() -> None:
    """While orphans are reaped, a program that was started in the master is left to whoever started it."""
    signals = trisig.Signals()

    @signals.handler(1, target="worker1")
    def work(_signum: int) -> None:
        subprocess.run(["sh", "-c", "true & true &"], check=True)

    async with trisig.open_master(signals):
        programs = [subprocess.Popen(["sh", "-c", f"exit {n}"]) for n in range(20)]  # noqa: ASYNC220  as applications do
        for _ in range(20):
            await signals.send(1)
        await trio.sleep(0.1)
        assert [await trio.to_thread.run_sync(program.wait) for program in programs] == list(range(20))


async def test_the_applications_own_sigchld_handler_runs_as_before() -> None:
    """It is called while a master is open, and is in its place afterwards; one set meanwhile stays."""
    calls = []

    def note(number: int, _frame: object) -> None:
        calls.append(number)

    before = signal.signal(signal.SIGCHLD, note)
    try:
        async with trisig.open_master(trisig.Signals()):
            calls.clear()
            subprocess.run(["true"], check=True)  # noqa: ASYNC221  short
            await eventually(lambda: calls)
        assert signal.getsignal(signal.SIGCHLD) is note
        async with trisig.open_master(trisig.Signals()):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_master_in_a_thread_opens_too() -> None:
    """Where no handler of SIGCHLD can be set, nothing fails: what a dead child left is still reaped."""
    signals = trisig.Signals()

    @signals.handler(1, target="worker1")
    def work(_signum: int) -> None:
        subprocess.run(["sh", "-c", "sleep 0.01 &"], check=True)

    async def main() -> None:
        async with trisig.open_master(signals) as master:
            await signals.send(1)
            await eventually(lambda: master.statistics().done == 1)
            await eventually(zombies)
            os.kill(master.processes[1].pid, signal.SIGKILL)
            await eventually(lambda: not zombies())

    async def outside() -> None:
        await trio.to_thread.run_sync(trio.run, main)

    trio.run(outside)
