"""A Lua runtime: what runs in it, and how its errors are told."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from trisig._model.errors import ForeignError

from .awaited import Awaited
from .library import lupa
from .values import from_lua, text_of, to_lua


class LuaError(ForeignError):
    """A Lua script or function has raised an error; the message ends with Lua's traceback."""

    __module__ = "trisig.lua"  # where it is public


_new_runtime: Any = lupa.LuaRuntime  # typeshed's stub does not know its parameters


class LuaRuntime:
    """A runtime, which forks with its process: each copy goes its own way."""

    def __init__(self) -> None:
        # Strings of Lua are bytes: each of these characters is one.
        self._lua: Any = _new_runtime(encoding="latin-1", unpack_returned_tuples=True)
        prelude = files("trisig._lua").joinpath("prelude.lua").read_text(encoding="latin-1")
        self._own: Any = self._lua.execute(prelude, self._call, name="=trisig")
        self._seeded = 0

    def define(self, name: str, values: Mapping[str, object]) -> None:
        """Set a global table; what is callable in it is a function there."""
        table = self._lua.table()
        for key, value in values.items():
            table[key] = self._own.expose(value) if callable(value) else to_lua(value, self._lua.table)
        self._lua.globals()[name] = table

    def run(self, path: Path) -> None:
        """Run a script. What it requires is looked for in its directory first.

        Raises:
            OSError: it cannot be read.
            LuaError: what it raises, or it is not Lua.
        """
        source = path.read_bytes().decode("latin-1")
        if source.startswith("#"):  # as in `#!/usr/bin/env lua`
            source = f"--{source}"
        package, folder = self._lua.globals().package, os.fsencode(path.resolve().parent).decode("latin-1")
        package.path = f"{folder}/?.lua;{folder}/?/init.lua;{package.path}"
        loaded = self._own.load(source, f"@{os.fsencode(path.name).decode('latin-1')}")
        if isinstance(loaded, tuple):
            raise LuaError(text_of(loaded[1]))
        self.call(loaded)

    def call(self, function: Any, *arguments: object) -> object:
        """Call a Lua function.

        Raises:
            LuaError: what it raises.
        """
        self._seed_once()
        try:
            return self._from_lua(function(*(to_lua(one, self._lua.table) for one in arguments)))
        except lupa.LuaError as error:
            raise LuaError(_message(error)) from None

    async def drive(self, function: Any, *arguments: object) -> None:
        """Call a Lua function that may wait.

        Raises:
            LuaError: what it raises.
        """
        self._seed_once()
        thread = self._own.drive.coroutine(function, *arguments)
        result = None
        while True:
            try:
                awaited = thread.send(result)
            except StopIteration:
                return
            except lupa.LuaError as error:
                raise LuaError(text_of(self._own.traceback(thread, _message(error)))) from None
            if not isinstance(awaited, Awaited):
                raise LuaError("it has yielded, and nobody resumes it; yield in coroutines that it makes itself")
            done, found = await awaited.outcome()
            result = done, to_lua(found, self._lua.table)

    def name_of(self, function: Any) -> str:
        """A global function's name; of others, the line where they begin."""
        return text_of(self._own.name_of(function))

    def _call(self, function: Callable[..., object], *arguments: object) -> tuple[bool | None, object]:
        """Call Python for Lua; an exception passes through Lua as an error of its own, which knows the line."""
        try:
            result = function(*map(self._from_lua, arguments))
        except Exception as error:  # noqa: BLE001  Lua has it now
            return False, to_lua(f"{error}", self._lua.table)
        if isinstance(result, Awaited):
            return None, result
        return True, to_lua(result, self._lua.table)

    def _from_lua(self, value: object) -> object:
        return from_lua(value, partial(LuaFunction, self))

    def _seed_once(self) -> None:
        """Give each process random numbers of its own: a fork copies the state of the generator."""
        if self._seeded != (pid := os.getpid()):
            self._seeded = pid
            self._own.seed(*(int.from_bytes(os.urandom(3)) for _ in range(2)))  # all versions take small numbers


def _message(error: Exception) -> str:
    return text_of(f"{error}") or "an error that is no string"


@dataclass(frozen=True)
class LuaFunction:
    """A Lua function, for Python.

    Attributes:
        runtime: where it runs.
        function: what lupa has for it.
    """

    runtime: LuaRuntime
    function: Any

    def __call__(self, *arguments: object) -> object:
        """Call it; it cannot wait.

        Raises:
            LuaError: what it raises.
        """
        return self.runtime.call(self.function, *arguments)
