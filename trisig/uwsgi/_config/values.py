"""What the value of an option means: flags, numbers, seconds, and the small languages of farms, timers and crons."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from msgspec.structs import replace

from trisig._model.address import Address
from trisig._model.handling import Overlap

from .problem import ConfigError

_FALSE = {"false", "off", "no", "0"}
_NUMBER = re.compile(r"\s*([+-]?\d+)")


def flag(name: str, value: str | None) -> bool:  # noqa: ARG001  as the others
    """A flag is true unless its value says otherwise."""
    return value is None or value.strip().lower() not in _FALSE


def number(name: str, value: str | None) -> int:
    """A number from 0; what follows the digits, a comment say, does not count."""
    match = _NUMBER.match(value or "")
    if match is None:
        raise ConfigError(f"{name} is a number, not {value!r}")
    if (found := int(match[1])) < 0:
        raise ConfigError(f"{name}: must be >= 0, not {found}")
    return found


def megabytes(name: str, value: str | None) -> int:
    """A number of megabytes, with or without an M; the answer is in bytes."""
    found = number(name, value)
    if unit := re.match(r"\s*\+?\d+(?!mb?\b)([a-z.]\w*)", value or "", re.IGNORECASE):
        raise ConfigError(
            f"{name} = {value}: {unit[1]} is no unit here; write a number of megabytes, like {name} = 512"
        )
    return found * 2**20


def text(name: str, value: str | None) -> str:
    """A text, as it was written."""
    if value is None:
        raise ConfigError(f"{name} needs a value")
    return value


def mode(name: str, value: str | None) -> int:
    """The mode of a file, in octal digits; 666 if none are written."""
    try:
        found = int(value or "666", 8)
    except ValueError:
        found = -1
    if not 0 <= found <= 0o777:
        raise ConfigError(f"{name} = {value}: write octal digits, like 660")
    return found


def own_address(text: str, directory: str) -> Address | None:
    """Where remote signals are taken; None for what can be reached from other machines, or is no address.

    Args:
        text: the value of `socket`.
        directory: where relative paths begin; empty for the current one.
    """
    try:
        address = Address.parse_own(text)
    except ValueError:
        return None
    return replace(address, path=os.path.join(directory, address.path)) if address.path else address  # noqa: PTH118


@dataclass(frozen=True, slots=True)
class SignalEvent:
    """A signal that something raises: `timer = 17 2`, `touch-signal = /tmp/f 17`.

    Attributes:
        signum: the signal.
        of: seconds, or a path.
    """

    signum: int
    of: str


def signal_timer(name: str, value: str) -> SignalEvent:
    """`<signal> <seconds>`."""
    signum, space, seconds = value.strip().partition(" ")
    if not space:
        raise ConfigError(f"{name} = {value}: invalid signal timer syntax, must be: <signal> <seconds>")
    if number(name, seconds) < 1:
        raise ConfigError(f"{name} = {value}: a timer of 0 seconds never fires; write a number of seconds from 1")
    return SignalEvent(number(name, signum) % 256, str(number(name, seconds)))


def touch_signal(name: str, value: str) -> SignalEvent:
    """`<file> <signal>`."""
    path, space, signum = value.strip().rpartition(" ")
    if not space:
        raise ConfigError(f"{name} = {value}: write <file> <signal>, like {name} = /tmp/reload 17")
    return SignalEvent(number(name, signum) % 256, path)


@dataclass(frozen=True, slots=True)
class SignalOverlap:
    """What becomes of a signal while its handler runs: `signal-overlap = skip`, `signal-overlap = 17 one`.

    Attributes:
        signum: the signal; None for all that no other line names.
        overlap: as in `Signals.register`.
    """

    signum: int | None
    overlap: Overlap


def signal_overlap(name: str, value: str) -> SignalOverlap:
    """`[<signal>] queue|one|skip`."""
    first, _, word = value.strip().rpartition(" ")
    for overlap in get_args(Overlap):
        if word == overlap:
            return SignalOverlap(number(name, first) % 256 if first else None, overlap)
    raise ConfigError(f"{name} = {value}: write queue, one or skip, or a signal before it, like {name} = 17 skip")


@dataclass(frozen=True, slots=True)
class CronCommand:
    """A command that runs in each due minute.

    Attributes:
        when: minute, hour, day, month, weekday, by uWSGI's rules.
        command: for the shell.
        unique: it is skipped while the last one runs.
        harakiri: seconds after which it is killed; 0 for never.
        unknown: keys that uWSGI does not know either.
    """

    when: tuple[int, int, int, int, int]
    command: str
    unique: bool = False
    harakiri: int = 0
    unknown: tuple[str, ...] = ()


def cron(name: str, value: str) -> CronCommand:
    """`<minute> <hour> <day> <month> <weekday> <command>`."""
    words = value.split(None, 5)
    try:
        when = [int(word) for word in words[:5]]
        minute, hour, day, month, weekday = when
        command = words[5]
    except (ValueError, IndexError):
        raise ConfigError(
            f"{name} = {value}: invalid cron syntax, write five whole numbers (-1 is any, -5 every fifth) and a command"
        ) from None
    return CronCommand((minute, hour, day, month, weekday), command, unique="unique" in name)


def cron2(name: str, value: str) -> CronCommand:
    """`minute=…,hour=…,unique=1 <command>`; the list ends at the first space, and may be left out."""
    first, _, rest = value.strip().partition(" ")
    listed = "=" in first and bool(rest)
    pairs = pairs_of(first) if listed else {}
    fields = dict.fromkeys(("minute", "hour", "day", "month", "week"), -1)
    try:
        fields |= {key: int(pairs[key]) for key in fields if key in pairs}
        harakiri = int(pairs.get("harakiri", "0"))
    except ValueError:
        raise ConfigError(f"{name} = {value}: minute, hour, day, month, week and harakiri are whole numbers") from None
    unknown = tuple(key for key in pairs if key not in {*fields, "unique", "harakiri", "legion"})
    unique = flag("unique", pairs["unique"]) if "unique" in pairs else False
    minute, hour, day, month, week = fields.values()
    return CronCommand((minute, hour, day, month, week), rest if listed else value.strip(), unique, harakiri, unknown)


def pairs_of(text: str) -> dict[str, str]:
    """`key=value,...`."""
    found = {}
    for pair in text.split(","):
        key, _, value = pair.strip().partition("=")
        found[key] = value
    return found


def farms(values: Sequence[str], mules: int) -> dict[str, tuple[int, ...]]:
    """`name:1,2`, each."""
    found: dict[str, tuple[int, ...]] = {}
    for value in values:
        name, colon, members = value.strip().partition(":")
        if not colon:
            raise ConfigError(f"invalid farm value ({value}) must be in the form name:mule[,muleN].")
        numbers = tuple(number("farm", member) for member in members.split(","))
        for one in numbers:
            if not 1 <= one <= mules:
                raise ConfigError(f"invalid mule id: {one} (farm = {value}; there are {mules} mules)")
        found[name] = numbers
    return found


def cache(value: str) -> dict[str, str]:
    """`name=…,items=…`, or a name alone."""
    pairs = pairs_of(value)
    return pairs if "name" in pairs or "=" in value else {"name": value.strip()}


def environment(values: Sequence[str]) -> Mapping[str, str]:
    """`NAME=value`, each."""
    found = {}
    for value in values:
        name, equal, content = value.partition("=")
        if not equal:
            raise ConfigError(f"env = {value}: write NAME=value")
        found[name] = content
    return found
