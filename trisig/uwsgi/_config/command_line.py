"""The command line, as getopt reads it: options before, between and after other words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .known import KnownOptions
from .problem import ConfigError


@dataclass(frozen=True, slots=True)
class Word:
    """An option with its value, or a word without an option.

    Attributes:
        option: the long name; None for a word that is not an option.
        value: None if the option has none.
    """

    option: str | None
    value: str | None


def parse_command_line(arguments: Sequence[str], known: KnownOptions) -> Iterator[Word]:
    """Split a command line.

    Raises:
        ConfigError: an option does not exist, or lacks its value.
    """
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            yield from (Word(None, other) for other in rest)
            return
        if word.startswith("--"):
            yield _long(word[2:], rest, known)
        elif word.startswith("-") and word != "-":
            yield from _short(word[1:], rest, known)
        else:
            yield Word(None, word)


def _long(word: str, rest: list[str], known: KnownOptions) -> Word:
    name, equal, value = word.partition("=")
    arity = known.arities.get(name)
    if arity is None:
        beginning = [other for other in known.arities if other.startswith(name)]
        if len(beginning) == 1:  # getopt takes an unambiguous beginning
            return _long(beginning[0] + word[len(name) :], rest, known)
        nearest = known.nearest(name)
        raise ConfigError(f"--{name} is no option of uWSGI{f'; did you mean --{nearest}?' if nearest else ''}")
    if arity == "none" and equal:
        raise ConfigError(f"--{name} takes no value")
    if equal or arity != "required":
        return Word(name, value if equal else None)
    return Word(name, _next(f"--{name}", rest))


def _short(letters: str, rest: list[str], known: KnownOptions) -> Iterator[Word]:
    while letters:
        letter, letters = letters[0], letters[1:]
        name = known.of_letter(letter)
        if name is None:
            raise ConfigError(f"-{letter} is no option of uWSGI")
        if known.arities[name] == "none":
            yield Word(name, None)
            continue
        if letters or known.arities[name] == "optional":
            yield Word(name, letters or None)
        else:
            yield Word(name, _next(f"-{letter}", rest))
        return


def _next(option: str, rest: list[str]) -> str:
    if not rest:
        raise ConfigError(f"{option} needs a value")
    return rest.pop(0)
