"""Ctrl-C in a program that owns its `trio.run`: KeyboardInterrupt strikes wherever the program happens to be."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.sweep

ROOT = Path(__file__).parents[2]
ROUNDS = 40
SAFETY = 600  # seconds after which a program hangs for good; nothing here is measured by the clock

# Every round is a life of its own, interrupted after another while, under a load that never ends by itself.
LOAD = """
import mmap, os, signal, sys, threading, time
import trio
rounds, protected = int(sys.argv[1]), sys.argv[2] == "protected"
if not protected:
    trio.lowlevel.enable_ki_protection = lambda function: function
import trisig
import logging
logging.basicConfig(level="CRITICAL")

def life(delay):
    signals = trisig.Signals()
    raised = memoryview(mmap.mmap(-1, 4096)).cast("Q")
    opened = []

    @signals.handler(1, target="worker")
    def handle(signum):
        pass

    @signals.service("mules")
    async def flood():
        while True:
            for _ in range(50):
                try:
                    signals.send_nowait(1)
                    raised[0] += 1
                except trio.WouldBlock:
                    break
            await trio.sleep(0)

    async def main():
        async with trisig.open_master(signals, workers=2, mules=1, grace=600) as master:
            opened.append(master)
            await trio.sleep_forever()

    def interrupt():
        while not opened:
            time.sleep(0.001)
        time.sleep(delay)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        trio.run(main)
    except KeyboardInterrupt:
        clean = True
    except BaseException:
        clean = False
    thread.join()
    end = opened[0].statistics()
    return clean and end.accepted == end.done == raised[0]

print(sum(life(0.02 + 0.0007 * number) for number in range(rounds)))
"""

TWICE = """
import mmap, os, signal, threading, time
import trio
import trisig
signals = trisig.Signals()
runs = mmap.mmap(-1, 1)
leaves = threading.Event()

@signals.handler(1)
async def slow(signum):
    os.write(1, b"%d\\n" % os.getpid())
    runs[0] = 1
    await trio.sleep_forever()

async def main():
    async with trisig.open_master(signals, grace=600):
        await signals.send(1)
        try:
            await trio.sleep_forever()
        finally:
            leaves.set()

def interrupt():
    while not runs[0]:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)
    leaves.wait()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    trio.run(main)
except KeyboardInterrupt:
    print("interrupted")
"""


def run(program: str, *args: str) -> list[str]:
    """What a program prints."""
    command = [sys.executable, "-W", "error", "-c", program, *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SAFETY, check=True)
    return done.stdout.split()


def test_an_interrupt_at_any_moment_loses_nothing() -> None:
    """Whatever code it strikes in, the shutdown is orderly: what was raised is accepted, and what is accepted runs."""
    assert run(LOAD, str(ROUNDS), "protected") == [str(ROUNDS)]


def test_the_rounds_see_an_interrupt_in_the_wrong_place() -> None:
    """The negative control: with the master's code unprotected, some of the same rounds lose signals."""
    assert int(run(LOAD, str(ROUNDS), "unprotected")[0]) < ROUNDS


def test_a_second_interrupt_stops_at_once() -> None:
    """It cuts the grace short, ends a handler that would run on, and comes out as the KeyboardInterrupt that it is."""
    pid, said = run(TWICE)
    assert said == "interrupted"
    assert not Path("/proc", pid).exists()
