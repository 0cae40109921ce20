"""`trisig top` as it runs: asks the master again and again, draws what it answers, and does what keys ask for."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import trio
from rich.console import Console

from trisig._control.client import ControlError, RefusedError
from trisig._control.conversation import ask_master

from .controls import Controls, Wish
from .keys import keys_in
from .screen import Looks, screen
from .terminal import Terminal, filled_terminal

_SILENT_S = 3.0  # after which a master that does not answer is said to be silent
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_SHOWING = (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT)


async def watch(control: Path, seconds: float, console: Console) -> int:
    """Fill the terminal until the operator has seen enough; the exit status.

    Args:
        control: where to ask the master.
        seconds: between two looks.
        console: the terminal.

    Raises:
        ControlError: there is no master, or none any more.
    """
    status = await ask_master(control, "status")
    with trio.open_signal_receiver(signal.SIGINT, *_ENDING, *_SHOWING) as signals:
        with filled_terminal(console) as terminal:
            top = Top(control, seconds, terminal, status)
            await top.run(signals)
    if top.lost is not None:
        raise top.lost
    return top.exit_status


class Top:
    """One view of one master.

    Args:
        control: where to ask it.
        seconds: between two looks.
        terminal: that is filled.
        status: its first answer.

    Attributes:
        lost: why there is no master any more; None if there is.
        exit_status: that of the command.
    """

    def __init__(self, control: Path, seconds: float, terminal: Terminal, status: dict[str, Any]) -> None:
        self._control = control
        self._seconds = seconds
        self._terminal = terminal
        self._controls = Controls()
        self._last = status
        self._looks = Looks(status, None, str(control), datetime.now().astimezone())
        self._answered = trio.current_time()
        self._notice = ""
        self.lost: ControlError | None = None
        self.exit_status = 0

    async def run(self, signals: AsyncIterator[int]) -> None:
        """Look, draw and obey, until it is over.

        Args:
            signals: the Unix signals that come.
        """
        async with trio.open_nursery() as nursery:
            self._draw()
            nursery.start_soon(self._look, nursery)
            nursery.start_soon(self._tell_of_silence)
            nursery.start_soon(self._obey_signals, signals, nursery)
            await self._obey_keys(nursery)
            nursery.cancel_scope.cancel()

    async def _look(self, nursery: trio.Nursery) -> None:
        while True:
            await trio.sleep(self._seconds)
            try:
                self._take(await ask_master(self._control, "status"))
            except RefusedError as error:  # another master has the place, and is not open yet
                self._notice = str(error)
            except ControlError as error:
                self.lost = error
                nursery.cancel_scope.cancel()
            self._draw()

    def _take(self, status: dict[str, Any]) -> None:
        before, self._last = self._last, status
        self._answered, self._notice = trio.current_time(), ""
        if not self._controls.is_paused:
            self._looks = Looks(status, before, str(self._control), datetime.now().astimezone())

    async def _tell_of_silence(self) -> None:
        while True:
            silent = trio.current_time() - self._answered
            if silent > self._seconds + _SILENT_S:
                self._notice = f"the master has not answered for {silent:.0f} s"
                self._draw()
            await trio.sleep(1)

    def _draw(self) -> None:
        looks = self._looks
        shown = Looks(looks.status, looks.before, looks.control, looks.at, self._notice)
        self._terminal.show(screen(shown, self._controls, self._terminal.size))

    async def _obey_signals(self, signals: AsyncIterator[int], nursery: trio.Nursery) -> None:
        async for number in signals:
            if number == signal.SIGTSTP:
                self._suspend()
            elif number in _SHOWING:
                self._terminal.enter()
                self._draw()
            else:  # Ctrl-C is the usual way out of such a program
                self.exit_status = 0 if number == signal.SIGINT else 128 + number
                nursery.cancel_scope.cancel()

    def _suspend(self) -> None:
        """Stop, as other programs do at Ctrl-Z, and go on where there is no shell that could continue this one."""
        self._terminal.leave()
        receiver = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, receiver)
        self._terminal.enter()
        self._draw()

    async def _obey_keys(self, nursery: trio.Nursery) -> None:
        while data := await self._terminal.keys():
            for key in keys_in(data):
                wish = self._controls.press(key)
                if wish is not None and wish.do == "quit":
                    return
                if wish is not None:
                    nursery.start_soon(self._do, wish)
            self._draw()

    async def _do(self, wish: Wish) -> None:
        """Have the master do something; it may take long, and the view goes on."""
        try:
            if wish.do == "send":
                said = await ask_master(self._control, "send", signum=wish.signum) or f"raised signal {wish.signum}"
            else:
                self._say("reloading")
                answer = await ask_master(self._control, "reload", wait=True)
                said = f"not reloaded: {answer['error']}" if "error" in answer else "reloaded"
        except ControlError as error:
            said = str(error)
        self._say(said)

    def _say(self, words: str) -> None:
        self._controls.said = words
        self._draw()
