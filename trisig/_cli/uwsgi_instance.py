"""What `trisig uwsgi` does with an application that was written for uWSGI."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click
import trio

from trisig._api.options import Options
from trisig._control.places import default_sockets
from trisig._desk import Window
from trisig._model.errors import ChildFailedError
from trisig._run import serve as run_master
from trisig._util.fresh_bytecode import distrust_recent_bytecode
from trisig._util.log_setup import configure
from trisig._util.stop_signals import block_stop_signals, leave_on_stop_signals
from trisig._util.tracebacks import own_traceback
from trisig.uwsgi._config.plan import Plan, read_plan
from trisig.uwsgi._config.problem import ConfigError
from trisig.uwsgi._runtime.hangup import hold_hangups
from trisig.uwsgi._runtime.log_file import log_to
from trisig.uwsgi._runtime.places import keep_places
from trisig.uwsgi._start import NO_APP_STATUS, Instance, prepare

from .failures import FAILURE, leave, say
from .uwsgi_signal import send_and_leave
from .windows import stats_window

log = logging.getLogger("trisig")


def serve(words: tuple[str, ...], *, check: bool, control: Path | None) -> None:
    """Run an instance to its end, or show what would run."""
    plan = _read(words)
    if plan.settings.signal:
        send_and_leave(plan.settings.signal[0])
    path = "" if check else plan.settings.log_file
    is_reopened = not path or _log_to(path)
    configure("info")
    if not is_reopened:
        log.warning("log file %s: this user may not open it anew; the log goes on in the file of before", path)
    for remark in plan.remarks():
        log.warning("%s", remark)
    if check:
        for line in plan.lines():
            click.echo(line)
        return
    control = None if control is None else control.absolute()  # before `chdir`
    start_directory = os.open(".", os.O_PATH | os.O_CLOEXEC)
    if plan.settings.py_autoreload:
        distrust_recent_bytecode()
    instance, stats = _prepare(plan), plan.settings.stats
    block_stop_signals()
    again = False
    try:
        status = _run(instance, control, [stats_window(stats)] if stats else [])
        status = status if instance.status is None else instance.status
        if again := instance.shall_reload:
            keep_places(instance.sockets)
    finally:
        instance.close(begins_anew=again)
    sys.stdout.flush()
    if again:
        _begin_anew(start_directory)
    leave_on_stop_signals(status)
    sys.exit(status)


def _read(words: tuple[str, ...]) -> Plan:
    try:
        return read_plan(words, os.environ)
    except ConfigError as error:
        _refuse(error)


def _log_to(path: str) -> bool:
    try:
        return log_to(path)
    except ConfigError as error:
        _refuse(error)


def _refuse(error: ConfigError) -> NoReturn:
    for line in str(error).splitlines():
        say(line)
    sys.exit(error.status)


def _prepare(plan: Plan) -> Instance:
    try:
        return prepare(plan, _show)
    except ConfigError as error:
        _refuse(error)
    except SystemExit:
        raise
    except Exception as error:  # noqa: BLE001  what the application raises is what the user has to see
        _show(error)
        sys.exit(NO_APP_STATUS)


def _show(error: Exception) -> None:
    click.echo(own_traceback(error), err=True, nl=False)
    say("the application cannot be imported")


def _run(instance: Instance, control: Path | None, windows: Sequence[Window]) -> int:
    try:
        options = Options.given_to("run", instance.options)
        places = (control,) if control is not None else default_sockets("uwsgi")
        return run_master(instance.signals, options, places, windows=windows, sockets=instance.sockets)
    except ChildFailedError as error:
        click.echo(error.traceback, err=True, nl=False)
        leave(error, FAILURE)
    except (OSError, trio.BusyResourceError, ValueError, TypeError) as error:
        leave(error, FAILURE)


def _begin_anew(start_directory: int) -> NoReturn:
    """Become the same command, which reads its files and imports its application afresh."""
    with suppress(OSError):  # it may be closed to the user that this has become
        os.chdir(start_directory)
    os.environ["UWSGI_RELOADS"] = str(int(os.environ.get("UWSGI_RELOADS", "0")) + 1)
    hold_hangups()
    try:
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  no shell
    except OSError as error:  # its user may not run it
        say(f"cannot begin anew: {sys.executable}: {error.strerror}")
        sys.exit(FAILURE)
