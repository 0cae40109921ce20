"""Two workers and a mule: who runs what, and how one raises a signal in another.

Run it with `python hello.py`, or with the command: `trisig run hello.py --workers 2 --mules 1`.
Stop it with Ctrl-C.
"""

import argparse
import signal
from contextlib import suppress
from os.path import relpath

import trio

import trisig

HELLO = 17
THANKS = 18
FILE = relpath(__file__)

signals = trisig.Signals()


def say(text: str) -> None:
    """Print a line with the name of the process that prints it, in one piece even if Python does not buffer."""
    print(f"{trisig.current_process().name:8} {text}\n", end="", flush=True)


@signals.service("mule1")
async def greet() -> None:
    """Raise a signal every second, for as long as the first mule lives."""
    while True:
        say(f"raises signal {HELLO}")
        await signals.send(HELLO)
        await trio.sleep(1)


@signals.handler(HELLO, target="workers")
async def hello(signum: int) -> None:
    """Run in every worker, and thank the mule."""
    say(f"got signal {signum}, raises signal {THANKS}")
    await signals.send(THANKS)


@signals.handler(THANKS, target="mule")
def thanks(signum: int) -> None:
    """Run in the first mule that is free."""
    say(f"got signal {signum}")


@signals.timer(2, target="worker")
def tick(signum: int) -> None:
    """Run in the first worker that is free, every two seconds."""
    say(f"two seconds elapsed, says timer signal {signum}")


@signals.file_monitor(__file__, target="workers")
def changed(signum: int) -> None:
    """Run in every worker whenever this file changes: `touch hello.py` in another terminal."""
    say(f"hello.py has changed, says file monitor signal {signum}")


async def main(seconds: float) -> None:
    """Serve for some seconds, or until Ctrl-C, and print what became of every signal."""
    say(f"starts two workers and a mule; touch {FILE} in another terminal; Ctrl-C stops")
    with trio.open_signal_receiver(signal.SIGINT) as stops:
        async with trisig.open_master(signals, workers=2, mules=1) as master:
            with trio.move_on_after(seconds):
                await anext(stops)
            say_counts(master.statistics())


def say_counts(counts: trisig.MasterStatistics) -> None:
    """Say how many signals there were, and where each was handled."""
    say(f"{counts.accepted} signals accepted, {counts.done} done, {counts.queued + counts.in_flight} on their way")
    for process in counts.processes.values():
        say(f"{process.done} of them in {process.name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long to run (until Ctrl-C)")
    with suppress(KeyboardInterrupt):  # Ctrl-C once more, which trio raises when the receiver is left
        trio.run(main, parser.parse_args().seconds)
