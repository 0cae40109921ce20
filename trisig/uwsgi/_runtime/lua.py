"""Runs a Lua script that has the functions of the module `uwsgi`: the options `lua` and `lua-load`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from trisig.uwsgi._config.problem import ConfigError


def run_lua(path: str) -> None:
    """Run a script, in this process.

    Raises:
        ConfigError: it cannot be read, or lupa is not installed.
        LuaError: what it raises, or it is not Lua.
    """
    try:
        from trisig._lua.runtime import LuaRuntime  # noqa: PLC0415  of an extra
    except ImportError as error:
        raise ConfigError(f"lua = {path}: {error}") from None
    runtime = LuaRuntime()
    names = {name: value for name, value in vars(sys.modules["uwsgi"]).items() if not name.startswith("_")}
    runtime.define("uwsgi", {**names, "signal_wait": _waiting(names)})
    try:
        runtime.run(Path(path))
    except OSError as error:
        raise ConfigError(f"lua = {path}: {error.strerror}") from None


def _waiting(names: dict[str, Callable[..., object]]) -> Callable[..., object]:
    """`signal_wait`, with the number of the signal as its result."""

    def signal_wait(*signum: object) -> object:
        names["signal_wait"](*signum)
        return names["signal_received"]()

    return signal_wait
