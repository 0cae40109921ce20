"""Puts the module of an attached process together. It asks nobody before it is used."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from trisig.uwsgi._config.settings import Settings
from trisig.uwsgi._module.cache import CacheFunctions
from trisig.uwsgi._module.control import ControlFunctions
from trisig.uwsgi._module.identity import IdentityFunctions
from trisig.uwsgi._module.metrics import MetricFunctions
from trisig.uwsgi._module.module import Options, make_module
from trisig.uwsgi._module.spool import SpoolFunctions, parsefile

from .functions import AttachedLocks, AttachedMessages, AttachedSignals, LocksHeld
from .instance import Instance
from .link import MasterLink

_GROUPS: tuple[type, ...] = (
    AttachedSignals,
    AttachedMessages,
    AttachedLocks,
    IdentityFunctions,
    ControlFunctions,
    CacheFunctions,
    MetricFunctions,
)
_LEARNED = ("opt", "numproc", "cores", "spoolers")


class _Attachment:
    """The instance, as this process knows it.

    Args:
        link: to its master.
    """

    def __init__(self, link: MasterLink) -> None:
        self._link = link
        self._known: tuple[int, Instance] | None = None
        self._held: LocksHeld = {}

    def instance(self) -> Instance:
        """Asked for once in each process, and again after a restart of the instance."""
        known = self._known
        if known is None or known[0] != os.getpid() or not known[1].is_alive:
            self._known = known = os.getpid(), Instance.learned(self._link, self._held)
        return known[1]

    def function(self, name: str) -> Callable[..., Any]:
        """A function of the module."""

        def call(*arguments: Any, **named: Any) -> Any:
            return self.instance().functions[name](*arguments, **named)

        call.__name__ = call.__qualname__ = name
        return call

    def attribute(self, name: str) -> object:
        """What the module does not have before it is asked for.

        Raises:
            AttributeError: it has it neither then.
        """
        if name in _SPOOL_FUNCTIONS or name in _LEARNED:
            instance = self.instance()
            if name in instance.values:
                return instance.values[name]
            if name in instance.functions:
                return self.function(name)
        raise AttributeError(f"module 'uwsgi' has no attribute {name!r}")


_SPOOL_FUNCTIONS = frozenset(name for name in dir(SpoolFunctions) if not name.startswith("_"))


def attached_module(link: MasterLink) -> ModuleType:
    """The module.

    Args:
        link: to the master of the instance.
    """
    attachment = _Attachment(link)
    module = make_module(Settings(), Options(), ())
    names = vars(module)
    for name in _LEARNED:
        names.pop(name, None)
    for group in _GROUPS:
        names.update({name: attachment.function(name) for name in dir(group) if not name.startswith("_")})
    names.update(parsefile=parsefile, __getattr__=attachment.attribute)
    module.__spec__ = ModuleSpec("uwsgi", None)
    return module
