"""The configuration file of `trisig run`: `trisig.toml`, or the table `tool.trisig` of `pyproject.toml`.

Its keys are the options of the command, which win over it. The tables `handlers` and `sources` change what the
application has declared.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click

from trisig._api.application import Application
from trisig._api.options import MASTER_OPTIONS, Count, Seconds
from trisig._api.overrides import check_names, override_handler, override_source
from trisig._model.signum import check_signum

from .failures import FAILURE, USAGE, leave, say
from .parameters import PathType

TABLES = ("handlers", "sources")


class Config:
    """A configuration that was read.

    Args:
        place: what messages call it.
        path: of its file.
        table: what is in it.
    """

    def __init__(self, place: str, path: Path, table: Mapping[str, Any]) -> None:
        self.place = place
        self.path = path
        self._table = _by_name(place, table)

    @property
    def control(self) -> Path | None:
        """The control socket that it names."""
        value = self._table.get("control")
        return Path(value) if isinstance(value, str) and value else None

    def defaults(self, command: click.Command, context: click.Context) -> dict[str, Any]:
        """The options that it sets, converted as the command's own, by their names there.

        Raises:
            click.UsageError: an option that the command does not have, or a value of the wrong type or out of range.
        """
        parameters = {one.name: one for one in command.params if one.name not in ("config", "help")}
        with self._blamed():
            check_names(self._table, [*filter(None, parameters), *TABLES])
        return {
            name: self._converted(parameters[name], name, value, context)
            for name, value in self._table.items()
            if name not in TABLES
        }

    def apply_to(self, application: Application) -> None:
        """Change handlers and sources of an application.

        Raises:
            click.UsageError: there is no such handler or source, or a value that it cannot have.
        """
        for number, changes in self._entries("handlers"):
            with self._blamed(f"handlers.{number}"):
                override_handler(application, check_signum(_whole(number)), changes)
        for name, changes in self._entries("sources"):
            with self._blamed(f"sources.{name}"):
                override_source(application, name, changes)

    def _entries(self, table: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        with self._blamed(table):
            yield from _table_of(self._table.get(table, {}))

    def _converted(self, parameter: click.Parameter, name: str, value: object, context: click.Context) -> object:
        with self._blamed(name):
            _check_type(name, value)
            if name == "farms":
                return tuple(f"{farm}:{','.join(map(str, mules))}" for farm, mules in _farms(value))
            if parameter.multiple and isinstance(value, list):
                return tuple(parameter.type.convert(one, parameter, context) for one in value)
            return parameter.type.convert(value, parameter, context)

    @contextmanager
    def _blamed(self, key: str = "") -> Iterator[None]:
        """Say in an error where it stands."""
        try:
            yield
        except (TypeError, ValueError, OSError) as error:
            self._refuse(key, str(error))
        except click.UsageError as error:
            self._refuse(key, error.message)

    def _refuse(self, key: str, why: str) -> NoReturn:
        raise click.UsageError(f"{self.place}: {key}: {why}" if key else f"{self.place}: {why}")


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option `--config`, whose value is a `Config`, or None if there is no file."""
    return click.option(
        "--config",
        type=PathType(),
        metavar="FILE",
        is_eager=True,
        callback=_read,
        help="Read options from this file, not from trisig.toml or pyproject.toml of the current directory.",
    )(command)


def configured_control() -> Path | None:
    """The control socket that the configuration of the current directory names."""
    config = _read_file(None)
    return None if config is None else config.control


def _read(context: click.Context, _parameter: click.Parameter, path: Path | None) -> Config | None:
    config = _read_file(path)
    if config is not None:
        context.default_map = config.defaults(context.command, context)
    return config


def _read_file(path: Path | None) -> Config | None:
    try:
        return _found(path)
    except (TypeError, ValueError) as error:
        leave(error, USAGE)
    except OSError as error:
        say(f"cannot read {error.filename}: {error.strerror}")
        sys.exit(FAILURE)


def _found(path: Path | None) -> Config | None:
    if path is not None:
        return config_in(path)
    for default in (Path("trisig.toml"), Path("pyproject.toml")):
        if default.is_file() and (config := config_in(default)) is not None:
            return config
    return None


def config_in(path: Path) -> Config | None:
    """The configuration in a file; None if it is a pyproject.toml without one.

    Raises:
        TypeError, ValueError: it is no configuration.
        OSError: it cannot be read.
    """
    if path.name != "pyproject.toml":
        return Config(str(path), path, _toml(path))
    tool = _toml(path).get("tool")
    table = tool.get("trisig") if isinstance(tool, Mapping) else None
    if table is not None and not isinstance(table, Mapping):
        raise TypeError(f"{path}, tool.trisig: it is a table, not {table!r}")
    return None if table is None else Config(f"{path}, tool.trisig", path, table)


def _toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except ValueError as error:  # not TOML, or not UTF-8
        raise ValueError(f"{path}: {error}") from None


def _check_type(name: str, value: object) -> None:
    kinds = {option.name: option for option in MASTER_OPTIONS}
    kind = kinds.get(name)
    if isinstance(kind, Count):
        if type(value) is not int:
            raise TypeError(f"it is a whole number, not {value!r}")
    elif isinstance(kind, Seconds):
        if type(value) not in (int, float):
            raise TypeError(f"it is a number of seconds, not {value!r}")
    elif name in ("reload", "otel"):
        if not isinstance(value, bool):
            raise TypeError(f"it is true or false, not {value!r}")
    elif name == "touch_reload":
        _check_texts(value, 'files, like ["reload-me"]')
    elif name == "sockets":
        _check_texts(value, 'addresses, like ["127.0.0.1:3031"]')
    elif name != "farms" and not isinstance(value, str):
        raise TypeError(f"it is a string, not {value!r}")


def _farms(value: object) -> Iterator[tuple[str, list[int]]]:
    example = "it is a table of farms and their mules, like { busy = [1, 2] }"
    if not isinstance(value, Mapping):
        raise TypeError(f"{example}, not {value!r}")
    for farm, mules in value.items():
        if not isinstance(mules, list) or not all(type(mule) is int for mule in mules):
            raise TypeError(f"{example}, not {value!r}")
        yield farm, mules


def _check_texts(value: object, what: str) -> None:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"it is a list of {what}, not {value!r}")


def _table_of(value: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(value, Mapping):
        raise TypeError(f"it is a table, not {value!r}")
    for name, changes in value.items():
        if not isinstance(changes, Mapping):
            raise TypeError(f"{name} is a table, not {changes!r}")
        yield name, _by_name(name, changes)


def _by_name(place: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """The values by their names in Python; the file may have dashes in them.

    Raises:
        ValueError: one stands there twice, with and without.
    """
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in found:
            raise ValueError(f"{place}: {name} stands there twice, with - and with _")
        found[name] = value
    return found


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not the number of a signal")
    return int(text)
