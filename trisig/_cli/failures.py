"""How the command ends when it cannot do what it was asked: one line on standard error, and a status."""

from __future__ import annotations

import logging
import re
import sys
from typing import NoReturn

import click

from trisig._api.options import MASTER_OPTIONS
from trisig._util.tracebacks import refused_call

from .parameters import flag_of

FAILURE = 1
USAGE = 2

log = logging.getLogger("trisig")


def leave(error: Exception, status: int) -> NoReturn:
    """End with one line; `--log-level debug` shows where it came from."""
    log.debug("the command ends", exc_info=error)
    say(_message(error))
    sys.exit(status)


def say(text: str) -> None:
    """Write a line for the operator."""
    click.echo(f"trisig: {text}", err=True)


def _message(error: Exception) -> str:
    if isinstance(error, OSError):
        return refused_call(error) or str(error)
    return _with_flags(str(error))


def _with_flags(text: str) -> str:
    """Name options as on the command line: `--mules 1` instead of `mules=1`."""
    for name in (*(option.name for option in MASTER_OPTIONS), "cluster"):
        flag = flag_of(name)
        text = re.sub(rf"\b{name}=", f"{flag} ", re.sub(rf"^{name} is\b", f"{flag} is", text))
    return text.rstrip()
