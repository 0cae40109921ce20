"""What every test must leave behind: nothing.

A process, a file descriptor or a thread that was not there before the test is a leak, and the test that leaked fails.
The kernel is asked, not our own bookkeeping: what nobody remembers is what leaks.
"""

import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from trisig import _kernel

TASKS = Path("/proc/self/task")
DESCRIPTORS = Path("/proc/self/fd")
# `Thread.join` returns a moment before the kernel forgets the thread.
THREAD_EXIT_SECONDS = 1.0


def children() -> set[int]:
    """The processes that this one has to reap, zombies included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    found: set[int] = set()
    for task in TASKS.iterdir():
        with suppress(FileNotFoundError):  # a thread that trio kept for its next call has just ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def descriptors() -> dict[int, str]:
    """The open file descriptors and what each is open on; the one that lists them is gone when it is asked."""
    found = {}
    for number in os.listdir(DESCRIPTORS):  # noqa: PTH208  a lazy listing would find itself open
        with suppress(FileNotFoundError):
            found[int(number)] = str((DESCRIPTORS / number).readlink())
    return found


def threads() -> dict[int, str]:
    """The threads and their names, without those that trio keeps for its next call and ends itself when idle."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found = {task: names.get(task, "unknown to Python") for task in (int(entry.name) for entry in TASKS.iterdir())}
    return {task: name for task, name in found.items() if not name.startswith("Trio thread")}


def describe(what: str, left: object) -> list[str]:
    """One line on what was left, none if nothing was."""
    return [f"the test left {what}: {left}"] if left else []


def end(pids: set[int]) -> None:
    """End what was left, so that the next test does not meet it."""
    for pid in pids:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def new_threads(before: dict[int, str]) -> dict[int, str]:
    """The threads that are still there once those that are just ending are gone."""
    give_up = time.monotonic() + THREAD_EXIT_SECONDS
    while (left := {task: name for task, name in threads().items() if task not in before}) and (
        time.monotonic() < give_up
    ):
        time.sleep(0.002)
    return left


def new_descriptors(before: dict[int, str]) -> dict[int, str]:
    """The descriptors that are open on something else than before, once garbage is collected."""
    if not descriptors().items() <= before.items():
        gc.collect()
    return dict(descriptors().items() - before.items())


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    """Fail a test that leaves a child, a zombie, an open file descriptor or a thread."""
    pids, fds, tasks = children(), descriptors(), threads()
    inherits = _kernel.is_child_subreaper()
    yield
    # A test may make itself the heir of orphans; those of later tests are not its business.
    _kernel.set_child_subreaper(on=inherits)
    left = children() - pids
    end(left)
    problems = [
        *describe("child processes", left),
        *describe("open descriptors", new_descriptors(fds)),
        *describe("threads", new_threads(tasks)),
    ]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
