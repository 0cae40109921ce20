"""Makes the parts of an instance, and connects them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from types import ModuleType

from trisig import Signals
from trisig._api.messages import Messages
from trisig._spool.directory import SpoolDirectory

from ._config.plan import Plan
from ._module.cache import CacheFunctions
from ._module.control import ControlFunctions
from ._module.identity import IdentityFunctions
from ._module.locks import LockFunctions
from ._module.messages import MessageFunctions
from ._module.metrics import MetricFunctions
from ._module.module import make_module, options_of
from ._module.signals import SignalFunctions
from ._module.spool import SpoolFunctions, parsefile
from ._runtime.attach_desk import AttachDesk, facts_of
from ._runtime.child import ChildProcess, Shared
from ._runtime.daemons import Daemons
from ._runtime.handlers import Handlers
from ._runtime.harakiri import Harakiri
from ._runtime.main_thread import MainThread
from ._runtime.master import MasterWork
from ._runtime.probe import Notes
from ._runtime.processes import Processes
from ._runtime.source_watch import SourceWatch
from ._runtime.store import Store


class Assembly:
    """The parts of one instance. Made in the master; each child has a copy.

    Args:
        plan: what was read.
        store: what the processes share.
        spools: the directories of the spoolers.
        external: those whose spoolers belong to another instance.
    """

    def __init__(
        self, plan: Plan, store: Store, spools: Sequence[SpoolDirectory], external: Sequence[SpoolDirectory]
    ) -> None:
        self.settings, self.store, self.spools = plan.settings, store, spools
        self._directories = [*spools, *external]
        self.options = options_of((entry.key, entry.value) for entry in plan.configuration.entries)
        self.signals, self.notes = Signals(), Notes()
        self.processes = Processes(plan.settings.topology, os.getpid())
        self.main, self.harakiri = MainThread(), Harakiri()
        self.handlers = self._handlers()
        self.messages = Messages(self.signals)
        self.mail = MessageFunctions(self.messages, self.processes, self.main)
        self.events = SignalFunctions(self.signals, self.handlers, self.main, self.notes)
        self.work = MasterWork(self.signals, self.settings, self.handlers, store)
        self.events.raised_early = self.work.raised_early
        self.events.is_strict = self.settings.strict_uwsgi
        if self.settings.strict_uwsgi:
            self.mail.strictly_handled = self.handlers.wait_handled
        self.daemons = Daemons(self.settings.daemons, self.settings.reload_mercy)
        self.sources = SourceWatch(self.settings, self.notes)
        self.module = self._module()
        self.child = ChildProcess(self.settings, self.processes, self.main, self.module, Shared(store, self.notes))
        self.handlers.leave = self.child.leave_now

    def _handlers(self) -> Handlers:
        settings = self.settings
        handlers = Handlers(self.signals, self.processes, self.main, self.harakiri, self.notes)
        handlers.limits = {
            "worker": settings.harakiri, "mule": settings.mule_harakiri, "spooler": settings.spooler_harakiri,
        }  # fmt: skip
        handlers.overlaps = {one.signum: one.overlap for one in settings.signal_overlap}
        return handlers

    def _module(self) -> ModuleType:
        module = make_module(self.settings, self.options, self._groups())
        vars(module)["parsefile"] = parsefile
        if self._directories:
            vars(module)["spoolers"] = tuple(os.fsencode(spool.path) for spool in self._directories)
        return module

    def _groups(self) -> Iterator[object]:
        """Objects whose public methods are the functions of the module."""
        yield self.events
        yield self.mail
        yield LockFunctions(self.signals, self.settings.locks)
        yield IdentityFunctions(self.processes)
        yield ControlFunctions(self.processes, self.harakiri, self.store)
        yield CacheFunctions(self.store, self.settings.caches)
        yield MetricFunctions(self.store, self.settings.metrics)
        if self._directories:
            yield SpoolFunctions(self._directories, self.store)

    def desk(self) -> AttachDesk:
        """Serves attached processes."""
        paths = [str(spool.path) for spool in self._directories]
        facts = facts_of(self.settings, self.options, self.processes.topology, self.store, paths)
        return AttachDesk(self.signals, self.messages, self.store, facts)
