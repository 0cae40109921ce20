"""Applications in Lua: `signals = trisig.lua.load("app.lua")`.

Needs lupa: `python -m pip install ".[lua]"` in a checkout.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

from ._api.signals import Signals
from ._lua.functions import LuaFunctions
from ._lua.runtime import LuaError, LuaRuntime

__all__ = ["LuaError", "load"]


def load(path: str | os.PathLike[str]) -> Signals:
    """Run a Lua script, and return the application that it declares with its table `uwsgi`.

    Args:
        path: of the script.

    Raises:
        OSError: the script cannot be read.
        trisig.lua.LuaError: what the script raises, or it is not Lua.
    """
    script = Path(path)
    signals, runtime = Signals(), LuaRuntime()
    _note_as_imported(script)
    runtime.define("uwsgi", LuaFunctions(signals, script.stem).table())
    runtime.run(script)
    return signals


def _note_as_imported(script: Path) -> None:
    """Have the folder of a script followed by `--reload`, as that of a module is."""
    module = ModuleType(str(script))  # which is a name for no import statement
    module.__file__ = str(script.absolute())
    sys.modules[module.__name__] = module
