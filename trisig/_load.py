"""Finds the `Signals` of an application, given as `MODULE:NAME` or `FILE.py:NAME`.

The module is imported once and under its real name, as every child is forked from the process that did it. Two things
can go wrong and read differently: the command line named something that is not there (`LoadError`, one line), or the
application's own code raised (`ApplicationError`, its traceback without the frames that led to it).
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from ._signals import Signals
from ._tracebacks import own_frames, own_traceback

DEFAULT_NAME = "signals"


class LoadError(ValueError):
    """What the command line names is not there; the message says what to write instead."""


class ApplicationError(Exception):
    """The application's module raised while it was imported; the message is its traceback."""


def load_signals(application: str) -> Signals:
    """Import an application and return its `Signals`.

    Args:
        application: `MODULE:NAME` or `FILE.py:NAME`; without a name it is `signals`. A module is looked for in the
            current directory first, and what a file imports in the file's own.

    Raises:
        LoadError: the module, the file or the name is not there, or is not a `Signals`.
        ApplicationError: the module itself raised.
    """
    place, name = _split(application)
    if place.endswith(".py"):
        module = _import_file(Path(place))
    else:
        _put_first(_here())
        module = _import_module(place)
    return _pick(module, place, name)


def _split(application: str) -> tuple[str, str]:
    place, colon, name = application.rpartition(":")
    if not colon:
        place, name = application, DEFAULT_NAME
    if not place or not name.isidentifier():
        raise LoadError(f"{application!r} names no application: write MODULE:NAME or FILE.py:NAME, like app:signals")
    return place, name


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise LoadError("the current directory has been removed: change to another one") from None


def _import_file(path: Path) -> ModuleType:
    try:
        is_there = path.is_file()
    except OSError as error:
        raise LoadError(f"cannot read {str(path)!r}: {error.strerror}") from None
    if not is_there:
        raise LoadError(f"there is no file {str(path)!r}: write the path of a Python file, like ./app.py:signals")
    if not path.stem.isidentifier():
        raise LoadError(f"{path.name!r} is no name that Python can import: use letters, digits and underscores")
    _put_first(path.resolve().parent)
    module = _import_module(path.stem)
    if module.__file__ is None or not path.samefile(module.__file__):
        hides = module.__file__ or "a module of Python's own"
        raise LoadError(f"{path.name!r} is hidden by {hides}: give the file another name")
    return module


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise LoadError(f"{name!r} is no module name: write it as in an import statement, like package.app:signals")
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        raise ApplicationError(f"trisig: {name!r} ended the program while it was imported: {error!r}\n") from None
    except BaseException as error:  # noqa: BLE001, ASYNC103  what the application raises is what the user has to see
        raise _why(name, error) from None  # noqa: ASYNC104  no trio runs yet


def _why(name: str, error: BaseException) -> Exception:
    """The name is not there, or the application has raised."""
    if isinstance(error, (ImportError, OSError)) and not own_frames(error):
        return LoadError(
            f"cannot import {name!r} ({error}): write a module that Python finds from here, or a file, like app.py"
        )
    return ApplicationError(own_traceback(error))


def _put_first(directory: Path) -> None:
    path = str(directory)
    sys.path[:] = [path, *(other for other in sys.path if other != path)]


def _pick(module: ModuleType, place: str, name: str) -> Signals:
    found = vars(module).get(name)
    if isinstance(found, Signals):
        return found
    problem = f"has no {name!r}" if found is None else f"has a {name!r} that is {_a(found)}, no Signals"
    others = [other for other, value in vars(module).items() if isinstance(value, Signals)]
    advice = f"write {place}:{others[0]}" if others else f"write there: {name} = trisig.Signals()"
    raise LoadError(f"{place!r} {problem}: {advice}")


def _a(value: object) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
