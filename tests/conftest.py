"""What every test must leave behind: nothing.

A process, a file descriptor or a thread that was not there before the test is a leak, and the test that leaked fails.
What is there is asked of the kernel (`support/kernel_view`).
"""

import gc
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, settings
from kernel_view import children, descriptors, threads

from trisig._linux import prctl

# An example's time says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("untimed"), max_examples=20)
settings.load_profile("untimed")

# `Thread.join` returns a moment before the kernel forgets the thread.
THREAD_EXIT_SECONDS = 1.0


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
    while True:
        is_late = time.monotonic() > give_up  # asked before the look: this process may lose time itself
        left = {task: name for task, name in threads().items() if task not in before}
        if not left or is_late:
            return left
        time.sleep(0.002)


def new_descriptors(before: dict[int, str]) -> dict[int, str]:
    """The descriptors that are open on something else than before, once garbage is collected."""
    if not descriptors().items() <= before.items():
        gc.collect()
    return dict(descriptors().items() - before.items())


def pytest_collection_finish() -> None:
    """Hide what the collection has made from the collector, which a master asks for open files before it forks.

    A million objects of pytest's own, looked at for each master, were two thirds of the time of a test.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def stoppable() -> Iterator[None]:
    """Let programs that tests start be stopped as usual: a script's background job inherits signals as ignored."""
    stopping = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
    ignored = [number for number in stopping if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(autouse=True, scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let masters that tests start listen nowhere near those of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        patch.delenv("TRISIG_CONTROL", raising=False)
        yield


@pytest.fixture(autouse=True)
def leaves_nothing() -> Iterator[None]:
    """Fail a test that leaves a child, a zombie, an open file descriptor or a thread."""
    pids, fds, tasks = children(), descriptors(), threads()
    inherits = prctl.is_child_subreaper()
    yield
    # A test may make itself the heir of orphans; those of later tests are not its business.
    prctl.set_child_subreaper(on=inherits)
    left = children() - pids
    end(left)
    problems = [
        *describe("child processes", left),
        *describe("open descriptors", new_descriptors(fds)),
        *describe("threads", new_threads(tasks)),
    ]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
