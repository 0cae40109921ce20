"""Runs what the pages of the documentation show, as a reader would."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
NAMED_BLOCK = re.compile(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Unbuffered, lines of several processes may run into each other, as the quickstart says.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
SERVE = ("-m", "trisig", "run")
# Opens a master for the signals of a module, raises some of them, and says what became of them.
RAISE = """
import importlib, sys, trio, trisig

async def main():
    signals = importlib.import_module(sys.argv[1]).signals
    async with trisig.open_master(signals, workers=2, mules=1) as master:
        for signum in sys.argv[2:]:
            await signals.send(int(signum))
    counts = master.statistics()
    assert (counts.done, counts.failed) == (counts.accepted, 0), counts

trio.run(main)
"""


def write_files(page: str, directory: Path) -> None:
    """Write each block of the page that begins with the name of a file to that file, as a reader would."""
    for name, text in NAMED_BLOCK.findall((DOCS / page).read_text()):
        (directory / name).write_text(text)


def run(directory: Path, *arguments: str) -> str:
    """Run Python in the directory; what it printed. Its status must be 0."""
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=BUFFERED,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def raise_signals(directory: Path, module: str, *signums: int) -> list[str]:
    """Raise signals of an application in the directory; the lines that its two workers and its mule printed."""
    return run(directory, "-c", RAISE, module, *map(str, signums)).splitlines()


def run_until(directory: Path, ready: str, *arguments: str) -> str:
    """Run Python until it has written something, then stop it by SIGTERM; all that it wrote. Its status must be 0."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(
        command, cwd=directory, env=BUFFERED, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        assert running.stdout is not None
        written = ""
        for line in running.stdout:
            written += line
            if ready in line:
                running.send_signal(signal.SIGTERM)
                ready = "\0"  # once
    assert running.returncode == 0, written
    return written
