"""A child that leaves in order finishes what Python would have finished."""

import atexit
import concurrent.futures
import gzip
import logging.handlers
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from witness import PATIENCE

import trisig

KEPT: list[Any] = []  # what a program holds in its globals until its end


def open_file(directory: Path) -> None:
    """A line in the buffer of a file."""
    KEPT.append(file := (directory / "left").open("w"))
    file.write("done\n")


def compressed_file(directory: Path) -> None:
    """A file that is whole only once it is closed."""
    KEPT.append(file := gzip.open(directory / "gz", "wt"))  # noqa: SIM115  left open on purpose
    file.write("done\n")
    atexit.register(lambda: (directory / "left").write_text("done\n"))


def memory_handler(directory: Path) -> None:
    """A log record that waits for others."""
    target = logging.FileHandler(directory / "left", delay=True)
    logger = logging.getLogger("test_orderly_end")
    logger.addHandler(logging.handlers.MemoryHandler(1000, target=target))
    logger.warning("done")


def exit_function(directory: Path) -> None:
    """A function of the child's own."""
    atexit.register((directory / "left").write_text, "done\n")


def thread(directory: Path) -> None:
    """A thread that has to be waited for."""

    def slow() -> None:
        time.sleep(0.2)
        (directory / "left").write_text("done\n")

    threading.Thread(target=slow).start()


def executor(directory: Path) -> None:
    """A call that waits in an executor."""
    KEPT.append(pool := concurrent.futures.ThreadPoolExecutor(1))
    pool.submit(time.sleep, 0.2)
    pool.submit((directory / "left").write_text, "done\n")


def temporary_directory(directory: Path) -> None:
    """A finalizer: the directory is gone afterwards."""
    KEPT.append(made := tempfile.TemporaryDirectory(dir=directory))
    (directory / "name").write_text(made.name)
    atexit.register((directory / "left").write_text, "done\n")


KINDS = [open_file, compressed_file, memory_handler, exit_function, thread, executor, temporary_directory]


@pytest.mark.parametrize("how", ["end", "cheap"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_what_python_finishes_is_finished(tmp_path: Path, kind: Any, how: str) -> None:
    """At the end of the master and of a single worker: files, log records, exit functions, threads, executors."""
    signals = trisig.Signals()

    @signals.handler(1, target="worker1")
    def work(_signum: int) -> None:
        kind(tmp_path)

    async with trisig.open_master(signals, workers=2) as master:
        await signals.send(1)
        if how == "cheap":
            with trio.fail_after(PATIENCE):
                while not master.statistics().done:  # noqa: ASYNC110  counted in another process
                    await trio.sleep(0.01)
                await master.cheap(1)
            assert "done" in (tmp_path / "left").read_text()
    assert "done" in (tmp_path / "left").read_text()
    if kind is compressed_file:
        assert gzip.decompress(await trio.Path(tmp_path / "gz").read_bytes()) == b"done\n"
    if kind is temporary_directory:
        assert not await trio.Path((tmp_path / "name").read_text()).exists()


async def test_what_is_put_into_a_queue_arrives() -> None:
    """Multiprocessing's own thread hands over what a handler has put into a queue."""
    results: Any = multiprocessing.get_context("fork").Queue()
    signals = trisig.Signals()

    @signals.handler(1, target="worker1")
    def work(_signum: int) -> None:
        results.put(b"x" * 1_000_000)

    got: list[int] = []

    def collect() -> None:
        got.extend(len(results.get(timeout=PATIENCE)) for _ in range(20))

    async with trio.open_nursery() as nursery:
        async with trisig.open_master(signals):
            nursery.start_soon(trio.to_thread.run_sync, collect)
            for _ in range(20):
                await signals.send(1)
    assert got == [1_000_000] * 20
    results.close()
    results.join_thread()


MASTERS_OWN = """
import atexit, logging, logging.handlers, os, sys, tempfile, trio, trisig
directory = tempfile.TemporaryDirectory()
out = open(sys.argv[1], "a")
out.write("before the fork\\n")
atexit.register(lambda: print("exit function of", os.getpid() == master, flush=True))
target = logging.StreamHandler(sys.stdout)
logging.getLogger("x").addHandler(logging.handlers.MemoryHandler(1000, target=target))
logging.getLogger("x").warning("record")
signals = trisig.Signals()
master = os.getpid()

@signals.handler(1, target="workers")
def work(signum):
    out.write("in a child\\n")

async def main():
    async with trisig.open_master(signals, workers=2):
        await signals.send(1)
    print("directory", os.path.isdir(directory.name), flush=True)

trio.run(main)
"""


def test_what_is_the_masters_is_finished_by_the_master_alone(tmp_path: Path) -> None:
    """Buffers, exit functions, log records and temporary directories of before the fork count once."""
    run = subprocess.run(
        [sys.executable, "-c", MASTERS_OWN, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert sorted(run.stdout.split("\n")) == sorted(["", "directory True", "exit function of True", "record"])
    assert (tmp_path / "out").read_text() == "before the fork\nin a child\nin a child\n"


async def test_a_thread_that_never_ends_costs_the_grace_and_no_more() -> None:
    """What is not finished within the grace is killed, as a handler is."""
    signals = trisig.Signals()

    @signals.handler(1, target="worker1")
    def work(_signum: int) -> None:
        threading.Thread(target=time.sleep, args=(600,)).start()

    with trio.fail_after(PATIENCE):
        async with trisig.open_master(signals, grace=0.5):
            await signals.send(1)
