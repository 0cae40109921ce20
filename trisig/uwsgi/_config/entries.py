"""The options in the order in which they were read, after `if` and `for`."""

from __future__ import annotations

import glob
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .problem import ConfigError

_ENDS = {"end", "endfor", "endif", "end-if", "end-for"}


@dataclass(slots=True)
class Entry:
    """One option.

    Attributes:
        key: its name.
        value: None if none was given on the command line.
        placeholder: it is only a placeholder.
    """

    key: str
    value: str | None
    placeholder: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """An `if` or `for` that is open.

    Attributes:
        option: its name.
        values: what `%(_)` is in each line, one after the other; none if the lines do not count.
    """

    option: str
    values: tuple[str, ...]


class Entries:
    """The options so far.

    Args:
        environment: for `if-env`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._block: Block | None = None
        self.all: list[Entry] = []
        self._logic: dict[str, Callable[[str], tuple[str, ...]]] = {
            "for": lambda text: tuple(text.split()),
            "for-glob": lambda text: tuple(sorted(glob.glob(text)) or [text]),  # noqa: PTH207  text
            "for-times": lambda text: tuple(str(number) for number in range(1, _leading_int(text) + 1)),
            "for-readline": _lines_of,
            "if-exists": lambda text: _when(os.path.exists(text), text),  # noqa: PTH110
            "if-file": lambda text: _when(os.path.isfile(text), text),  # noqa: PTH113
            "if-dir": lambda text: _when(os.path.isdir(text), text),  # noqa: PTH112
            "if-directory": lambda text: _when(os.path.isdir(text), text),  # noqa: PTH112
            "if-hostname": lambda text: _when(socket.gethostname() == text, text),
            "if-opt": lambda text: _if_equal(text, self.get),
            "if-env": lambda text: _if_equal(text, self._environment.get),
            "if-reload": lambda _: (),
            "if-plugin": lambda text: _when(text in {"python", "python3"}, text),
        }

    def add(self, key: str, value: str | None, *, placeholder: bool = False) -> Iterator[Entry]:
        """Take an option; yields each entry that it becomes, which the caller acts upon at once.

        Raises:
            ConfigError: an `if` or `for` within another one.
        """
        if key in _ENDS:
            self._block = None
        if self._block is not None:
            block = self._block
            for replacement in block.values:
                yield from self._append(key, (value or "").replace("%(_)", replacement), placeholder=placeholder)
            return
        yield from self._append(key, value, placeholder=placeholder)

    def _append(self, key: str, value: str | None, *, placeholder: bool) -> Iterator[Entry]:
        entry = Entry(key, value, placeholder)
        self.all.append(entry)
        values = None if placeholder else self._values_of(key, value or "")
        if values is not None:
            if self._block is not None:
                raise ConfigError(
                    f"recursive logic in options is not supported (option = {key}): close {self._block.option} first"
                )
            self._block = Block(key, values)
        yield entry

    def _values_of(self, key: str, value: str) -> tuple[str, ...] | None:
        """What `%(_)` stands for after a line of logic; None if it is another option."""
        if (logic := self._logic.get(key)) is not None:
            return logic(value)
        positive = key.replace("if-not-", "if-", 1)
        if positive == key or (logic := self._logic.get(positive)) is None:
            return None
        return () if logic(value) else (value.partition("=")[0],)

    def get(self, key: str) -> str | None:
        """The first value of a key, which is the one that placeholders see."""
        return next((entry.value or "" for entry in self.all if entry.key == key), None)


def _when(condition: bool, text: str) -> tuple[str, ...]:  # noqa: FBT001  the condition is what it is about
    return (text,) if condition else ()


def _if_equal(text: str, look_up: Callable[[str], str | None]) -> tuple[str, ...]:
    name, equal, wanted = text.partition("=")
    found = look_up(name)
    return () if found is None or (equal and found != wanted) else (found,)


def _leading_int(text: str) -> int:
    digits = ""
    for character in text.strip():
        if not character.isdecimal():
            break
        digits += character
    return int(digits or 0)


def _lines_of(path: str) -> tuple[str, ...]:
    try:
        with open(path, errors="surrogateescape") as file:  # noqa: PTH123  text
            return tuple(line.rstrip("\r\n") for line in file)
    except OSError as error:
        raise ConfigError(f"for-readline: cannot read {path}: {error.strerror}") from None
