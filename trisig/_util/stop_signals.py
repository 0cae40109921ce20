"""The Unix signals that end a program, from before its master opens until the process is gone.

They arrive at any moment: while the parent's mask still blocks them, before trio runs, after it has ended, and faster
than a handler returns. Here none is lost, and none kills a program that is ending in order.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio

ALWAYS = (signal.SIGTERM, signal.SIGINT)
BY_DEFAULT = (signal.SIGHUP, signal.SIGQUIT)  # `nohup` ignores the first, and an application may have a use for them


class StopSignals:
    """The signals that stop this program, whenever they come.

    A handler of a signal is interrupted by the next one. If they come faster than it returns, it nests until Python
    gives up with RecursionError: `trio.open_signal_receiver`, whose handler makes system calls, did so at one signal
    every 20 µs. So while one is noted, `note` returns at once.

    Attributes:
        numbers: which signals.
    """

    def __init__(self) -> None:
        self.numbers = (*ALWAYS, *(number for number in BY_DEFAULT if signal.getsignal(number) is signal.SIG_DFL))
        self._noted = 0
        self._wake: Callable[[], None] | None = None

    def note(self, number: int, _frame: object) -> None:
        """Keep the number of a signal; the handler of each of them."""
        if self._noted:
            return
        self._noted = number
        if self._wake is not None:
            self._wake()

    async def arrival(self) -> int:
        """The number of the next signal; those that come until it is looked at are the same arrival."""
        await trio.lowlevel.checkpoint()
        token = trio.lowlevel.current_trio_token()
        try:
            while not self._noted:
                woken = trio.Event()
                self._wake = partial(token.run_sync_soon, woken.set, idempotent=True)
                if not self._noted:  # else it came before there was anybody to wake
                    await woken.wait()
        finally:
            self._wake = None
        number, self._noted = self._noted, 0
        return number


@contextmanager
def hold_stop_signals() -> Iterator[StopSignals]:
    """Catch the signals that stop a program. At the end of the block all of them mean what they meant before.

    SIGTERM and SIGINT count even if the parent had them blocked or ignored, SIGHUP and SIGQUIT only if nothing else is
    done with them.
    """
    held = StopSignals()
    before = {number: signal.signal(number, held.note) for number in held.numbers}
    mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ALWAYS, *BY_DEFAULT))
    try:
        yield held
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def waking_trio() -> Iterator[None]:
    """Around all that a trio run does: after the block, signals that still come wake trio no more.

    trio 0.35 closes both ends of its socket pair before it takes the writing end back from `signal`. For each
    signal in between, CPython writes a traceback to standard error; enough of them fill a pipe, and the process hangs.
    """
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)


def end_on_sigterm_as_init() -> None:
    """Let SIGTERM end the first process of a container, until `hold_stop_signals`: the kernel does not do it there."""
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, lambda number, _frame: os._exit(128 + number))


def block_stop_signals() -> None:
    """Block them; `hold_stop_signals` unblocks them for its block, `leave_on_stop_signals` for good."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (*ALWAYS, *BY_DEFAULT))


def leave_on_stop_signals(status: int) -> None:
    """From now on each of them ends the process at once, with a status that says how the master has ended.

    Only the very last steps of the interpreter, which resets all handlers, are done with the signals blocked.
    """

    def leave(_number: int, _frame: object) -> None:
        os._exit(status)

    for number in (*ALWAYS, *BY_DEFAULT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ALWAYS, *BY_DEFAULT))
    atexit.register(block_stop_signals)
