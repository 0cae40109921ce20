"""Handlers: what may be one, and how one that is registered late reaches processes that already run.

Handlers registered before the master opens need nothing: the children are forked with them. One that is
registered in the master afterwards is sent to them by value: its code, with the globals of its module as they are
over there, and whatever its closure holds, pickled. What cannot travel like this, but can be imported, goes by name.
"""

from __future__ import annotations

import importlib
import inspect
import io
import marshal
import pickle
import sys
import types
from collections.abc import Callable
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[int], object]


def check_handler(handler: object) -> None:
    """Refuse what cannot be called with a signal number.

    Raises:
        TypeError: not callable, or callable only with other arguments.
    """
    if not callable(handler):
        raise TypeError(f"a handler is a function of one argument, not {handler!r}")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise TypeError(
            f"handler {name_of(handler)} yields, so calling it would run nothing of it; write it without yield"
        )
    try:
        parameters = inspect.signature(handler, follow_wrapped=False)  # what is called is the wrapper
    except (ValueError, TypeError):
        return  # a builtin that does not tell
    try:
        parameters.bind(0)
    except TypeError:
        name = name_of(handler)
        raise TypeError(
            f"handler {name}{parameters} cannot be called with a signal number; write def {name.split('.')[-1]}(signum)"
        ) from None


def check_callable(fn: object, what: str) -> None:
    """Refuse a hook or service that is not callable without arguments besides `task_status`.

    Raises:
        TypeError: not callable, or it needs arguments.
    """
    if not callable(fn):
        raise TypeError(f"{what} is a function, not {fn!r}")
    given = {"task_status": None} if takes_task_status(fn) else {}
    try:
        inspect.signature(fn, follow_wrapped=False).bind(**given)
    except ValueError:
        return
    except TypeError:
        raise TypeError(f"{what} {name_of(fn)} must be callable without arguments") from None


def name_of(handler: object) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)


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
    """The handler again, with `signals` in the place of the one it was packed with."""
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
            state = (cells, obj.__defaults__, obj.__kwdefaults__, obj.__dict__)
            return _build, (marshal.dumps(obj.__code__), obj.__module__, obj.__qualname__), state, None, None, _fill
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


def _build(code: bytes, module: str, qualname: str) -> types.FunctionType:
    compiled = marshal.loads(code)  # noqa: S302  it comes from the process that forked this one
    cells = tuple(types.CellType() for _ in compiled.co_freevars)
    function = types.FunctionType(compiled, importlib.import_module(module).__dict__, None, None, cells)
    function.__qualname__ = qualname
    return function


def _fill(function: types.FunctionType, state: tuple[Any, ...]) -> None:
    cells, function.__defaults__, function.__kwdefaults__, attributes = state
    for cell, value in zip(function.__closure__ or (), cells, strict=True):
        cell.cell_contents = value
    function.__dict__.update(attributes)


def check_async(fn: Callable[..., object], what: str) -> None:
    """Refuse what is a plain function for certain.

    Raises:
        TypeError: a function or method that is not async.
    """
    if inspect.isroutine(fn) and not any(map(inspect.iscoroutinefunction, (fn, inspect.unwrap(fn)))):
        name = name_of(fn)
        raise TypeError(f"{what} runs for as long as its process: write async def {name.split('.')[-1]}(), not def")


def takes_task_status(service: Callable[..., object]) -> bool:
    """Whether a service reports that it has started."""
    try:
        own = inspect.signature(service, follow_wrapped=False).parameters
        wrapped = inspect.signature(service).parameters
    except (ValueError, TypeError):
        return False
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values())
    return "task_status" in own or (passes_on and "task_status" in wrapped)
