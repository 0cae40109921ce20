"""Finds the `Signals` of an application, given as `MODULE:NAME`, `FILE.py:NAME` or `FILE.lua`.

The module is imported once and under its real name, as every child is forked from the process that did it. Two things
can go wrong and read differently: the command line named something that is not there (`LoadError`, one line), or the
application's own code raised (`ApplicationError`, its traceback without the frames that led to it).
"""

import importlib
import importlib.util
import stat
import sys
from pathlib import Path
from types import ModuleType

import click

from trisig._api.signals import Signals, application_of
from trisig._util.log_setup import configure
from trisig._util.tracebacks import own_frames, own_traceback, summary_of

from .config import config_in
from .failures import FAILURE, USAGE, leave

DEFAULT_NAME = "signals"
_LUA = ".lua"


class LoadError(ValueError):
    """The application that the command line names cannot be found; the message says what to write instead."""


class ApplicationError(Exception):
    """The application raised while it was imported; the message is its traceback.

    Args:
        traceback: of the application.
        summary: what it raised, in one line; None for the last line of the traceback.
    """

    def __init__(self, traceback: str, summary: str | None = None) -> None:
        super().__init__(traceback)
        self.summary = traceback.strip().splitlines()[-1] if summary is None else summary


def load_signals(application: str) -> Signals:
    """Import an application and return its `Signals`.

    Args:
        application: `MODULE:NAME` or `FILE.py:NAME`; without a name it is `signals`. A module is looked for in the
            current directory first, and what a file imports in the file's own. Or `FILE.lua`.

    Raises:
        LoadError: the module, the file or the name is not there, or is not a `Signals`.
        ApplicationError: the module itself raised.
    """
    if application.endswith(_LUA):
        return _load_lua(Path(application))
    place, name = _split(application)
    if place.endswith(_LUA):
        raise LoadError(f"{application!r} names something in a Lua script; write {place}")
    if place.endswith(".py"):
        module = _import_file(Path(place))
    else:
        _put_first(_here())
        if "/" in place and Path(place).is_dir():
            raise _no_application(place)
        module = _import_module(place)
        if module.__file__ is None and hasattr(module, "__path__"):  # a directory imports as a namespace package
            raise _no_application(place)
    return _pick(module, place, name)


def _load_lua(path: Path) -> Signals:
    try:
        from trisig.lua import LuaError, load  # noqa: PLC0415  of an extra
    except ImportError as error:
        raise LoadError(str(error)) from None
    try:
        return load(path)
    except OSError as error:
        raise LoadError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except LuaError as error:
        raise ApplicationError(own_traceback(error), summary_of(error)) from None


def load_or_leave(application: str) -> Signals:
    """Import an application, or end the command with what is wrong."""
    try:
        return load_signals(application)
    except LoadError as error:
        leave(error, USAGE)
    except ApplicationError as error:
        click.echo(error, err=True, nl=False)
        sys.exit(FAILURE)


def load_afresh(application: str, config: str = "", log_level: str = "", log_format: str = "text") -> Signals:
    """Import an application for a reload, as the command has done before.

    Args:
        application: as for `load_signals`.
        config: the file whose tables change what the application declares; empty for none.
        log_level: of the log; empty if the application sets it.
        log_format: of its lines.

    Raises:
        LoadError, ApplicationError: as `load_signals`.
        click.UsageError: what the file says does not fit the application.
        TypeError, ValueError, OSError: the file cannot be read.
    """
    if log_level:
        configure(log_level, log_format)
    signals = load_signals(application)
    found = config_in(Path(config)) if config else None
    if found is not None:
        found.apply_to(application_of(signals))
    return signals


def absolute(application: str) -> str:
    """The same application, wherever the current directory is later on."""
    if application.endswith(_LUA):
        return str(Path(application).resolve())
    place, colon, name = application.rpartition(":")
    if not colon:
        place, name = application, DEFAULT_NAME
    return f"{Path(place).resolve()}:{name}" if place.endswith(".py") else f"{place}:{name}"


def _split(application: str) -> tuple[str, str]:
    place, colon, name = application.rpartition(":")
    if not colon:
        place, name = application, DEFAULT_NAME
    if not place or not name.isidentifier():
        raise LoadError(
            f"{application!r} is not an application: write MODULE:NAME or FILE.py:NAME, like app:signals, or FILE.lua"
        )
    return place, name


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise LoadError("the current directory has been removed: change to another one") from None


def _import_file(path: Path) -> ModuleType:
    try:
        is_there = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_there = False
    except OSError as error:
        raise LoadError(f"cannot read {str(path)!r}: {error.strerror}") from None
    if not is_there:
        raise LoadError(f"there is no file {str(path)!r}: write the path of a Python file, like ./app.py:signals")
    if not path.stem.isidentifier():
        raise LoadError(f"{path.name!r} is not a name that Python can import: use letters, digits and underscores")
    _put_first(path.resolve().parent)
    module = _import_module(path.stem)
    if module.__file__ is None or not path.samefile(module.__file__):
        hides = module.__file__ or "a module of Python's own"
        raise LoadError(f"{path.name!r} is hidden by {hides}: give the file another name")
    return module


def _no_application(directory: str) -> LoadError:
    file = Path(directory, "app.py")
    return LoadError(f"{directory!r} is a directory: write the path of a Python file in it, like {file}")


def _import_module(name: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise LoadError(f"{name!r} is not a module name: write it as in an import statement, like package.app:signals")
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
    problem = "does not exist" if found is None else f"is {_a(found)}, not a trisig.Signals"
    others = [other for other, value in vars(module).items() if isinstance(value, Signals)]
    advice = f"write {place}:{others[0]}" if others else f"write in it: {name} = trisig.Signals()"
    raise LoadError(f"{place}:{name} {problem}; {advice}")


def _a(value: object) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"
