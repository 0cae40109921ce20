"""Handlers that are registered in the master while it runs, made fit to be sent to the processes that run already.

One that was registered before the master opened needs nothing: the children are forked with it. A later one is sent by
value: its code, with the globals of its module as they are over there, and whatever its closure holds, pickled. What
cannot travel like this, but can be imported, goes by name.

Why not cloudpickle: it sends a function of an importable module by name only, and one of `__main__` together with
copies of the globals that it uses. Here both processes are forks of one program, so the module is there as it was,
and a handler is to work on the globals of the process in which it runs, not on copies of the master's. By value it
works too for what a module got after the fork, which a name would not find there.
"""

from __future__ import annotations

import importlib
import io
import marshal
import pickle
import sys
import types
from typing import Any

from trisig._model.handlers import Handler, name_of


def pack(handler: Handler, signals: object) -> bytes:
    """Make a handler fit to be sent to a process that was forked before it was registered.

    Raises:
        TypeError: it holds something that exists in this process only.
    """
    try:
        return _packed(handler, signals, by_name=False)
    except Exception as error:  # noqa: BLE001  pickle raises what it likes
        try:
            return _packed(handler, signals, by_name=True)
        except Exception:  # noqa: BLE001  the first one says what it holds
            raise TypeError(
                f"handler {name_of(handler)} cannot be sent to the running processes ({error}); "
                "register it before the master opens, or define it at module level"
            ) from error


def _packed(handler: Handler, signals: object, *, by_name: bool) -> bytes:
    out = io.BytesIO()
    _Packer(out, signals, by_name=by_name).dump(handler)
    return out.getvalue()


def unpack(packed: bytes, signals: object) -> Handler:
    """The handler that was packed, with this process's `signals` in place of the master's."""
    handler: Handler = _Unpacker(io.BytesIO(packed), signals).load()
    return handler


class _Packer(pickle.Pickler):
    def __init__(self, out: io.BytesIO, signals: object, *, by_name: bool) -> None:
        super().__init__(out)
        self._signals = signals
        self._by_name = by_name

    def persistent_id(self, obj: object) -> object:
        return "signals" if obj is self._signals else None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, types.ModuleType):
            return importlib.import_module, (obj.__name__,)
        if isinstance(obj, types.FunctionType) and not self._goes_by_name(obj):
            # The state is set after the function exists, so that a function may refer to itself.
            cells = tuple(cell.cell_contents for cell in obj.__closure__ or ())
            names = (obj.__name__, obj.__qualname__, obj.__module__)
            state = (cells, obj.__defaults__, obj.__kwdefaults__, obj.__dict__, names)
            return _build, (marshal.dumps(obj.__code__), _module_of(obj)), state, None, None, _fill
        return NotImplemented

    def _goes_by_name(self, function: types.FunctionType) -> bool:
        return (self._by_name and _importable(function)) or function in (_build, _fill, importlib.import_module)


class _Unpacker(pickle.Unpickler):
    def __init__(self, packed: io.BytesIO, signals: object) -> None:
        super().__init__(packed)
        self._signals = signals

    def persistent_load(self, _pid: object) -> object:
        return self._signals


def _importable(function: types.FunctionType) -> bool:
    found: object = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function


def _module_of(function: types.FunctionType) -> str:
    """The name of the module whose globals a function has; a decorator may have changed its `__module__`."""
    name = str(function.__globals__.get("__name__"))
    if getattr(sys.modules.get(name), "__dict__", None) is not function.__globals__:
        raise pickle.PicklingError(f"{name_of(function)} has globals of its own, which are those of no module")
    return name


def _build(code: bytes, module: str) -> types.FunctionType:
    compiled = marshal.loads(code)  # noqa: S302  it comes from the process that forked this one
    cells = tuple(types.CellType() for _ in compiled.co_freevars)
    return types.FunctionType(compiled, importlib.import_module(module).__dict__, None, None, cells)


def _fill(function: types.FunctionType, state: tuple[Any, ...]) -> None:
    cells, function.__defaults__, function.__kwdefaults__, attributes, names = state
    function.__name__, function.__qualname__, function.__module__ = names
    for cell, value in zip(function.__closure__ or (), cells, strict=True):
        cell.cell_contents = value
    function.__dict__.update(attributes)
