"""What the kernel knows of this process: its children, its open descriptors, its threads.

The kernel is asked, not our own bookkeeping: what nobody remembers is what leaks.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")
_DESCRIPTORS = Path("/proc/self/fd")


def children() -> set[int]:
    """The processes that this one has to reap, zombies included."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()
    found: set[int] = set()
    for task in _TASKS.iterdir():
        with suppress(FileNotFoundError):  # a thread that trio kept for its next call has just ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


def descriptors() -> dict[int, str]:
    """The open file descriptors and what each is open on; the one that lists them is gone when it is asked."""
    found = {}
    for number in os.listdir(_DESCRIPTORS):  # noqa: PTH208  a lazy listing would find itself open
        with suppress(FileNotFoundError):
            found[int(number)] = str((_DESCRIPTORS / number).readlink())
    return found


def threads() -> dict[int, str]:
    """The threads and their names, without those that trio keeps for its next call and ends itself when idle."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found = {task: names.get(task, "unknown to Python") for task in (int(entry.name) for entry in _TASKS.iterdir())}
    return {task: name for task, name in found.items() if not name.startswith("Trio thread")}
