"""What operators may write: paths, workers, farms, and the options that a master is opened with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from trisig._api.options import MASTER_OPTIONS, Addresses, Count, Farms, File, Seconds, default_of
from trisig._model.address import Address

F = TypeVar("F", bound=Callable[..., Any])


class PathType(click.Path):
    """A path as it is written. Whoever uses it looks at what is there, which is not a matter of how it is written."""

    def __init__(self) -> None:
        super().__init__(readable=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty: write a path", param, ctx)
        return super().convert(value, param, ctx)


class AddressType(click.types.StringParamType):
    """HOST:PORT, or the path of a socket."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            Address.parse(value)
        except (ValueError, TypeError) as error:
            self.fail(str(error), param, ctx)
        return str(value)


class SignumType(click.IntRange):
    """A signal: a byte."""

    name = "signum"

    def __init__(self) -> None:
        super().__init__(min=0, max=255)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = int(value)
        except ValueError:
            number = -1
        if not 0 <= number <= 255:
            self.fail(f"{value!r} is not a signal: write a number from 0 to 255", param, ctx)
        return number


class WorkerType(click.IntRange):
    """A worker, by its number or by the name that the status shows."""

    name = "worker"

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = value.removeprefix("worker") if isinstance(value, str) else value
        if isinstance(number, str) and not number.isdecimal():
            self.fail(f"{value!r} is not a worker: write its number or its name, like 2 or worker2", param, ctx)
        return super().convert(int(number), param, ctx)


def master_options(command: F) -> F:
    """Give a command the options that `open_master` has."""
    for option in reversed(MASTER_OPTIONS):
        command = _click_option(option)(command)
    return command


def flag_of(name: str) -> str:
    """How an option is written on the command line."""
    return {"farms": "--farm", "sockets": "--socket"}.get(name, f"--{name.replace('_', '-')}")


def _click_option(option: Count | Seconds | File | Farms | Addresses) -> Callable[[F], F]:
    flag, default = flag_of(option.name), default_of(option.name)
    match option:
        case Count():
            kind = click.IntRange(option.least, option.most)
            return click.option(flag, type=kind, metavar="N", default=default, show_default=True, help=option.help)
        case Seconds():
            shown = default is not None
            return click.option(
                flag, type=float, metavar="SECONDS", default=default, show_default=shown, help=option.help
            )
        case File():
            return click.option(flag, type=PathType(), metavar="PATH", help=option.help)
        case Farms():
            return click.option(
                option.name, flag, metavar="NAME:1,2", multiple=True, callback=_read_farms, help=option.help
            )
        case Addresses():
            return click.option(option.name, flag, metavar="ADDRESS", multiple=True, help=option.help)


def _read_farms(
    _ctx: click.Context, _param: click.Parameter, farms: tuple[str, ...]
) -> dict[str, tuple[int, ...]] | None:
    """Turn each NAME:1,2 into a name and the numbers of its mules."""
    by_name = dict(_read_farm(farm) for farm in farms)
    if len(by_name) < len(farms):
        raise click.BadParameter("a farm is named twice: write all of its mules in one, like busy:1,2")
    return by_name or None


def _read_farm(farm: str) -> tuple[str, tuple[int, ...]]:
    name, _, numbers = farm.partition(":")
    try:
        mules = tuple(int(number) for number in numbers.split(","))
    except ValueError:
        mules = ()
    if not name or not mules:
        raise click.BadParameter(f"{farm!r} is not a farm: write its name and its mules' numbers, like busy:1,2")
    if len(set(mules)) < len(mules):
        raise click.BadParameter(f"{farm!r} names a mule twice: write each number once, like busy:1,2")
    return name, mules
