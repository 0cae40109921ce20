"""What a terminal sends when keys are pressed, as names."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SEQUENCE = re.compile(rb"\x1b(?:\[[0-9;]*[A-Za-z~]|O[A-Za-z])|.", re.DOTALL)
_NAMES = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1b[C": "right", b"\x1b[D": "left",
    b"\x1bOA": "up", b"\x1bOB": "down", b"\x1bOC": "right", b"\x1bOD": "left",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down", b"\x1b[H": "home", b"\x1b[1~": "home", b"\x1b[Z": "back tab",
    b"\t": "tab", b"\r": "enter", b"\n": "enter", b"\x1b": "escape", b"\x7f": "backspace", b"\b": "backspace",
    b"\x03": "q",
}  # fmt: skip


def keys_in(data: bytes) -> Iterator[str]:
    """The keys that were pressed; those without a name here are their own character.

    Args:
        data: as a terminal gave it. A sequence of several bytes comes in one piece.
    """
    for sequence in _SEQUENCE.findall(data):
        yield _NAMES.get(sequence) or sequence.decode("latin-1")
