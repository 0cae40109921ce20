"""Values on their way between Python and Lua, whose strings are bytes, each of them a character of latin-1 here."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .library import lupa

MakeTable = Callable[[], Any]


def text_of(string: str) -> str:
    """A string of Lua as text."""
    return os.fsdecode(string.encode("latin-1"))


def to_lua(value: object, make_table: MakeTable) -> object:
    """What Lua gets: strings, numbers and booleans, tables of them, nil; anything else as it is."""
    if isinstance(value, str):
        value = os.fsencode(value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Mapping):
        return _table(value.items(), make_table)
    if isinstance(value, (list, tuple)):
        return _table(enumerate(value, 1), make_table)
    return value


def _table(items: Iterable[tuple[Any, object]], make_table: MakeTable) -> object:
    table = make_table()
    for key, value in items:
        table[to_lua(key, make_table)] = to_lua(value, make_table)
    return table


def from_lua(value: Any, make_function: Callable[[Any], object]) -> object:
    """What Python gets: text, numbers, booleans, dicts, functions. A whole float, as of `10 / 2`, is an int."""
    kind = lupa.lua_type(value)
    if kind == "table":
        return {from_lua(key, make_function): from_lua(one, make_function) for key, one in value.items()}
    if kind == "function":
        return make_function(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return text_of(value) if isinstance(value, str) else value
