"""What the interpreter does at its end, for a process that leaves by ``os._exit``.

A child is forked in the middle of a program, so it cannot end as a program does: the handlers of the stack below and
the exit functions of the master are not its own. What it registered itself is, and runs in the interpreter's order:
threads are joined, exit functions run (those of multiprocessing and logging too), files are closed. It may take
as long as the master's grace.

Not run, as Python does not promise it either: ``__del__`` of objects that are alive at the end.
"""

# ruff: noqa: SLF001  the interpreter has no public door to what it does at its end

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
import weakref
from typing import Any

from .open_files import FileRefs, finish_files

# The order of registration: exit functions run in the reverse one, so logging comes last.
_OF_LIBRARIES = (("logging", "shutdown"), ("multiprocessing.util", "_exit_function"))


def disown_exit_work() -> None:
    """Forget what the master has registered for its own end: no child may run it."""
    atexit._clear()
    for name, function in _OF_LIBRARIES:
        if name in sys.modules:
            atexit.register(getattr(sys.modules[name], function))
    _disown_finalizers()
    _disown_processes()
    _disown_log_records()


def _disown_finalizers() -> None:
    """A temporary directory of the master is removed by the master alone."""
    finalize: Any = weakref.finalize
    for finalizer in list(finalize._registry):
        finalizer.atexit = False
    finalize._registered_with_atexit = False  # so that the first finalizer of a child registers again


def _disown_processes() -> None:
    """What multiprocessing started in the master is neither terminated nor joined by a child."""
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None:
        process._children.clear()


def _disown_log_records() -> None:
    """What a MemoryHandler holds at the fork is written by the master, once."""
    logging: Any = sys.modules.get("logging.handlers")
    if logging is not None:
        for ref in list(sys.modules["logging"]._handlerList):
            if isinstance(handler := ref(), logging.BufferingHandler):
                handler.buffer = []


def run_exit_work(inherited: FileRefs) -> None:
    """Do what the interpreter does at its end.

    Args:
        inherited: the files that were open when this process was forked.
    """
    for step in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        with contextlib.suppress(BaseException):  # the next step runs whatever this one raises
            step()
    finish_files(inherited)
