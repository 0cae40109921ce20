"""The module that is `uwsgi` in the processes of `trisig uwsgi`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from inspect import iscoroutinefunction
from types import ModuleType

from trisig.uwsgi._config.settings import Settings

from .outside_requests import ANSWERS, REFUSED, answering, refusing

VERSION = "2.0.31"
_WEB = "trisig serves no requests; ask the web server that runs beside it"


class Options(dict[str | bytes, object]):
    """`uwsgi.opt`: text keys, bytes values. It answers to bytes keys too, which some code asks with."""

    def __missing__(self, key: str | bytes) -> object:
        if isinstance(key, bytes) and (text := os.fsdecode(key)) in self:
            return self[text]
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(os.fsdecode(key) if isinstance(key, bytes) else key)

    def get(self, key: str | bytes, default: object = None) -> object:
        """The value of an option."""
        return super().get(os.fsdecode(key) if isinstance(key, bytes) else key, default)


def options_of(entries: Iterable[tuple[str, str | None]]) -> Options:
    """`uwsgi.opt`: of an option that comes several times, the last; True for a flag of the command line."""
    options = Options()
    for key, value in entries:
        options[key] = True if value is None else os.fsencode(value)
    return options


def make_module(settings: Settings, options: Options, groups: Iterable[object]) -> ModuleType:
    """Put the module together.

    Args:
        settings: what the options mean.
        options: the options themselves.
        groups: objects whose public methods are the functions.
    """
    module = ModuleType("uwsgi", "uWSGI's API, served by trisig.")
    names = vars(module)
    names.update({name: answering(value) for name, value in ANSWERS})
    names.update({name: refusing(name, _WEB) for name in REFUSED})
    for group in groups:
        names.update({name: getattr(group, name) for name in dir(group) if _is_function(group, name)})
    names.update(_constants(settings), opt=options)
    return module


def _is_function(group: object, name: str) -> bool:
    function = getattr(type(group), name, None)
    return not name.startswith("_") and callable(function) and not iscoroutinefunction(function)


def _constants(settings: Settings) -> dict[str, object]:
    return {
        "SPOOL_OK": -2,
        "SPOOL_RETRY": -1,
        "SPOOL_IGNORE": 0,
        "version": VERSION.encode(),
        "version_info": (2, 0, 31, 0, b""),
        "hostname": socket.gethostname().encode(),
        "numproc": settings.workers,
        "cores": settings.threads,
        "has_threads": 1,
        "buffer_size": 4096,
        "started_on": int(time.time()),
        "is_a_reload": "UWSGI_RELOADS" in os.environ,
        "applications": None,
        "sockets": [],
        "loop": None,
        "unbit": None,
        "magic_table": {},
    }
