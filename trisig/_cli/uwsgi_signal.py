"""`trisig uwsgi --signal NODE,N`: sends a signal to another instance."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from trisig._remote.deliver import deliver
from trisig._remote.packet import RejectedError

from .failures import FAILURE, leave, say

_REJECTED, _NO_SIGNAL = 2, 3  # uWSGI's statuses


def send_and_leave(value: str) -> NoReturn:
    """Send a signal; ends with uWSGI's statuses."""
    node, comma, number = value.rpartition(",")
    if not comma:
        say(f"signal = {value}: invalid syntax for signal, must be addr,signal")
        sys.exit(FAILURE)
    if not number.isdecimal() or int(number) > 255:
        say(f"signal = {value}: invalid signal number, must be from 0 to 255")
        sys.exit(_NO_SIGNAL)
    try:
        deliver(int(number), node)
    except RejectedError as error:
        leave(error, _REJECTED)
    except OSError as error:
        leave(error, FAILURE)
    click.echo(f"signal {number} delivered to node {node}", err=True)
    sys.exit(0)
