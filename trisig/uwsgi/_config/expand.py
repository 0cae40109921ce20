"""The three passes over all values after all files were read: `$(ENV)`, `@(file)`, `%(key)` with its arithmetic."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from .entries import Entries
from .problem import ConfigError

_OPERATIONS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_STEPS = {"++": 1, "--": -1}
_MOST_REPLACEMENTS = 1000


def expand(entries: Entries, environment: Mapping[str, str]) -> None:
    """Replace what stands in parentheses, in uWSGI's order.

    Raises:
        ConfigError: a file cannot be read, or a value replaces itself for ever.
    """
    for symbol, look_up in (
        ("$", environment.get),
        ("@", _read_file),
        ("%", lambda text: evaluate(text, entries.get)),
    ):
        for entry in entries.all:
            if entry.value and not entry.placeholder:
                entry.value = _replace(entry.value, symbol, look_up)


def _replace(text: str, symbol: str, look_up: Callable[[str], str | None]) -> str:
    start = 0
    for _ in range(_MOST_REPLACEMENTS):
        begin = text.find(f"{symbol}(", start)
        end = _closing(text, begin + 2) if begin >= 0 else -1
        if end < 0:
            return text
        inner = text[begin + 2 : end]
        value = look_up(inner) if inner else None
        if value is None:
            start = begin + 2
        else:
            text, start = text[:begin] + value + text[end + 1 :], 0
    raise ConfigError(f"a value contains itself: {text[:60]!r}")


def _closing(text: str, start: int) -> int:
    depth = 0
    for index in range(start, len(text)):
        if text[index] == "(":
            depth += 1
        elif text[index] == ")":
            if not depth:
                return index
            depth -= 1
    return -1


def _read_file(path: str) -> str:
    if "://" in path and not path.startswith("file://"):
        raise ConfigError(f"@({path}): only files are read here; write the value, or put it into a file")
    name = path.removeprefix("file://")
    try:
        with open(name, encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123  text
            return file.read().removesuffix("\n")
    except OSError as error:
        raise ConfigError(f'open("{name}"): {error.strerror}') from None


def evaluate(text: str, get: Callable[[str], str | None]) -> str | None:
    """The value of `%(text)`: a key, or words from left to right, without precedence. None leaves it as it is."""
    if " " not in text:
        return get(text)
    current, operation = "", ""
    for word in text.split():
        if word in _OPERATIONS or word == "/":
            operation = word
        elif word in _STEPS:
            current, operation = str(_number(current) + _STEPS[word]), ""
        else:
            current = _apply(operation, current, word if word.isdecimal() else get(word) or "")
            operation = ""
    return current


def _apply(operation: str, left: str, right: str) -> str:
    if not operation:
        return left + right
    first, second = _number(left), _number(right)
    if operation == "/":
        return str(int(first / second) if second else 0)
    return str(_OPERATIONS[operation](first, second))


def _number(text: str) -> int:
    """As C reads a number: what follows the digits does not count."""
    stripped = text.strip()
    sign, digits = (stripped[:1], stripped[1:]) if stripped[:1] in {"-", "+"} else ("", stripped)
    length = next((index for index, character in enumerate(digits) if not character.isdecimal()), len(digits))
    return int(f"{sign}{digits[:length]}") if length else 0
