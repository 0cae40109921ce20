"""The terminal while a program fills it: keys without Enter, the other screen, and as it was however the block ends."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio
from rich.console import Console, Group
from rich.text import Text

from .screen import Size

_KEYS = 1024  # bytes that are read at once


class Terminal:
    """A terminal that is filled; made by `filled_terminal`.

    Args:
        console: writes to it.
        keyboard: the descriptor that keys are read from.
    """

    def __init__(self, console: Console, keyboard: int) -> None:
        self._console = console
        self._keyboard = keyboard
        self._before = termios.tcgetattr(keyboard)

    @property
    def size(self) -> Size:
        """As it is now."""
        columns, lines = self._console.size
        return Size(columns, lines, self._console.options.ascii_only)

    def enter(self) -> None:
        """Fill it."""
        tty.setcbreak(self._keyboard, termios.TCSANOW)
        self._console.set_alt_screen(True)
        self._console.show_cursor(False)

    def leave(self) -> None:
        """Give it back as it was."""
        try:
            self._console.show_cursor(True)
            self._console.set_alt_screen(False)
        finally:
            termios.tcsetattr(self._keyboard, termios.TCSANOW, self._before)

    def show(self, lines: Sequence[Text]) -> None:
        """Show lines, instead of what was there."""
        self._console.update_screen(Group(*lines))

    async def keys(self) -> bytes:
        """What was typed, when something was; empty if the terminal has gone."""
        await trio.lowlevel.wait_readable(self._keyboard)
        return os.read(self._keyboard, _KEYS)


@contextmanager
def filled_terminal(console: Console) -> Iterator[Terminal]:
    """Fill the terminal while the block runs."""
    terminal = Terminal(console, sys.stdin.fileno())
    try:
        terminal.enter()
        yield terminal
    finally:
        terminal.leave()
