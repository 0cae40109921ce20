"""The end of a forked process: it runs what it was forked for, and nothing of the stack below."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable


def run_and_leave(body: Callable[[], None], finish: Callable[[], None] | None = None) -> NoReturn:
    """Run ``body`` as all that this process still does, and leave with the status that Python would leave with.

    Args:
        body: the work of the process.
        finish: runs after it, however it ended. Its errors change nothing.
    """
    status = 1
    try:
        body()
        status = 0
    except SystemExit as exc:
        status = _exit_status(exc.code)
    except BaseException as exc:  # noqa: BLE001, ASYNC103  there is nobody above to catch it
        with contextlib.suppress(Exception):
            sys.excepthook(type(exc), exc, exc.__traceback__)
    finally:
        try:
            if finish is not None:
                finish()
        finally:
            try:
                flush_standard_streams()
            finally:
                os._exit(status)


def _exit_status(code: object) -> int:
    """The exit status of a `SystemExit`, as the interpreter has it."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    with contextlib.suppress(Exception):
        sys.stderr.write(f"{code}\n")
    return 1


def flush_standard_streams() -> None:
    """Write out what is buffered, before a fork would double it or an exit lose it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # None, closed, or its reader gone
            stream.flush()
