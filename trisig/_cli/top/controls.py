"""What the operator of `trisig top` has chosen, and what each key changes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .tables import TABLES

_PAGE = 10  # rows


@dataclass(frozen=True)
class Wish:
    """What a key asks for beyond another view.

    Attributes:
        do: which command.
        signum: of `send`.
    """

    do: Literal["quit", "reload", "send"]
    signum: int = 0


@dataclass
class Order:
    """How one table is shown.

    Attributes:
        column: by which its rows are sorted; None for the order of the master.
        inverted: the other way round.
        first: how many rows are scrolled away.
    """

    column: int | None = None
    inverted: bool = False
    first: int = 0


@dataclass
class Controls:
    """The state of the view.

    Attributes:
        table: which one the keys are for.
        orders: of each table.
        is_paused: the status stays as it is.
        asking: what the operator is being asked: for the number of a signal, or whether to reload.
        typed: the answer so far.
        said: what the last command has led to.
    """

    table: int = 0
    orders: list[Order] = field(default_factory=lambda: [Order() for _ in TABLES])
    is_paused: bool = False
    asking: Literal["signal", "reload"] | None = None
    typed: str = ""
    said: str = ""

    def press(self, key: str) -> Wish | None:
        """Do what a key means."""
        self.said = ""
        if self.asking is not None:
            return self._answer(key)
        order = self.orders[self.table]
        match key:
            case "q":
                return Wish("quit")
            case " ":
                self.is_paused = not self.is_paused
            case "tab" | "back tab":
                self.table = (self.table + (1 if key == "tab" else -1)) % len(TABLES)
            case "left" | "<" | "right" | ">":
                order.column = self._next_column(order.column, 1 if key in ("right", ">") else -1)
            case "i":
                order.inverted = not order.inverted
            case "up" | "down" | "page up" | "page down":
                step = _PAGE if "page" in key else 1
                order.first = max(0, order.first + (step if "down" in key else -step))
            case "home":
                order.first = 0
            case "s" | "r":
                self.asking, self.typed = ("signal" if key == "s" else "reload"), ""
        return None

    def _next_column(self, column: int | None, step: int) -> int | None:
        """Round all columns, and the order of the master between the last and the first."""
        count = len(TABLES[self.table])
        place = count if column is None else column
        place = (place + step) % (count + 1)
        return None if place == count else place

    def _answer(self, key: str) -> Wish | None:
        asking = self.asking
        if key == "escape" or (key == "q" and asking == "signal"):
            self.asking = None
        elif asking == "reload":
            self.asking = None
            return Wish("reload") if key in ("y", "Y") else None
        elif key == "enter":
            return self._signal()
        elif key == "backspace":
            self.typed = self.typed[:-1]
        elif key in "0123456789" and len(self.typed) < 3:
            self.typed += key
        return None

    def _signal(self) -> Wish | None:
        self.asking, typed = None, self.typed
        if not typed:
            return None
        if int(typed) > 255:
            self.said = f"{typed} is not a signal: type a number from 0 to 255"
            return None
        return Wish("send", int(typed))
