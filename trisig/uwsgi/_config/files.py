"""Reads the files of a configuration: ini, and the flat yaml and json that uWSGI takes. Yields keys and values."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .problem import ConfigError

Pair = tuple[str, str]
_BLANK = " \t\r"


def read_ini(text: str, section: str, name: str) -> Iterator[Pair]:
    """The lines of a section; all sections of that name are one.

    Args:
        text: of the file.
        section: which one.
        name: of the file, for errors.

    Raises:
        ConfigError: the file has no such section.
    """
    inside, headers = "", []
    for raw in text.split("\n"):
        line = raw.strip(_BLANK)
        if line.startswith("["):
            inside = line[1:-1]
            headers.append(line)
        elif line and line[0] not in ";#" and inside == section:
            key, _, value = line.partition("=")
            yield key.rstrip(_BLANK), value.strip(_BLANK)
    if f"[{section}]" not in headers:
        raise ConfigError(_no_section(section, name, headers, text))


def _no_section(section: str, name: str, headers: list[str], text: str) -> str:
    problem = f'Can\'t find section "{section}" in {name}'
    for header in headers:
        if header.startswith(f"[{section}]"):
            return f"{problem}: write a comment in a line by itself, not behind {header!r}"
    if text.startswith("\ufeff"):
        return f"{problem}: the file begins with a byte order mark; save it without one"
    return f"{problem}: it has {', '.join(headers) or 'none'}"


def read_yaml(text: str, section: str, name: str) -> Iterator[Pair]:
    """The keys below `section:`. One that comes twice counts twice, which is why no YAML library reads this."""
    inside, found, key = False, False, ""
    for raw in text.split("\n"):
        line = _without_comment(raw).rstrip(_BLANK)
        if not line.strip():
            continue
        word, colon, value = line.strip().partition(":")
        if line[0] not in _BLANK and line[0] != "-":
            inside = word == section
            found = found or inside
        elif inside and line.strip().startswith("- "):
            yield key, _unquoted(line.strip()[2:])
        elif inside and colon:
            key = word.rstrip()
            if value.strip():
                yield key, _unquoted(value)
        elif inside:
            raise ConfigError(f"{name}: {line.strip()!r} is not `key: value`")
    if not found:
        raise ConfigError(f'Can\'t find section "{section}" in {name}: write `{section}:` and the options below it')


def _without_comment(line: str) -> str:
    if line.lstrip().startswith("#"):
        return ""
    return line.partition(" #")[0]


def _unquoted(value: str) -> str:
    text = value.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def read_json(text: str, section: str, name: str) -> Iterator[Pair]:
    """The members of the object `section`; a list is the same key several times."""
    try:
        top = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None
    options = top.get(section) if isinstance(top, dict) else None
    if not isinstance(options, dict):
        raise ConfigError(f'Can\'t find section "{section}" in {name}: write {{"{section}": {{"processes": 2}}}}')
    for key, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            yield key, {True: "true", False: "false", None: ""}.get(one, str(one)) if _is_word(one) else str(one)


def _is_word(value: object) -> bool:
    return value is None or isinstance(value, bool)
