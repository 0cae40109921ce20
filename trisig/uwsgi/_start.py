"""Makes an instance ready: what the options change, the module, the application, and the options of the master."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from trisig import MasterOptions, Signals
from trisig._api.options import Options
from trisig._remote.sockets import RemoteSockets
from trisig._spool.directory import SpoolDirectory

from ._assembly import Assembly
from ._config.plan import Plan
from ._config.problem import ConfigError
from ._config.settings import Settings
from ._duties import declare_duties
from ._runtime.application import import_application, import_name_or_file
from ._runtime.hooks import run_hooks, run_hooks_to_the_end
from ._runtime.master import RELOAD
from ._runtime.places import open_places
from ._runtime.probe import noted_in_a_fork
from ._runtime.store import Store
from ._runtime.surroundings import enter_surroundings

NO_APP_STATUS = 22  # uWSGI's, with need-app


@dataclass(frozen=True)
class Instance:
    """What is ready to be run.

    Attributes:
        signals: the application.
        options: for `trisig.run`.
        parts: of the instance.
        sockets: where it listens.
    """

    signals: Signals
    options: MasterOptions
    parts: Assembly
    sockets: RemoteSockets

    @property
    def shall_reload(self) -> bool:
        """Whether somebody has asked for a reload, and no child has ended it."""
        return self.parts.store.is_wished(RELOAD) and self.status is None

    @property
    def status(self) -> int | None:
        """What a child has ended it with; None if none has."""
        return self.parts.store.status

    def close(self, *, begins_anew: bool) -> None:
        """End the daemons, do what is to be done at the end, and remove what other processes might find.

        Args:
            begins_anew: another instance takes over the sockets.
        """
        self.parts.daemons.end(reloading=self.shall_reload)
        run_hooks_to_the_end(self.parts.settings.hook_as_user_atexit)
        self.parts.store.close()
        if not begins_anew:
            self.sockets.close()


def prepare(plan: Plan, show: Callable[[Exception], None]) -> Instance:
    """Change what the options change in this process, make `uwsgi`, and import the application.

    With `py-autoreload`, an application that cannot be imported waits for a change of its files.

    Args:
        plan: what was read.
        show: shows what the application has raised.

    Raises:
        ConfigError: the user or the directory cannot be changed.
        Exception: what the application raises, without `py-autoreload`.
    """
    settings = plan.settings
    # Of the start directory, as in uWSGI.
    paths = [[Path(path).absolute() for path in some] for some in (settings.spooler, settings.spooler_external)]
    with ExitStack() as undo:
        sockets = open_places(settings)  # with the rights that are given up next
        undo.callback(sockets.close)
        enter_surroundings(settings)
        store = Store()
        undo.callback(store.close)
        own, external = ([_spool(path) for path in some] for some in paths)
        parts = Assembly(plan, store, own, external)
        signals, options = _declared(parts, show)
        undo.pop_all()
    return Instance(signals, options, parts, sockets)


def _declared(parts: Assembly, show: Callable[[Exception], None]) -> tuple[Signals, MasterOptions]:
    """The application, imported, and the options for its master."""
    sys.modules["uwsgi"] = parts.module
    declare_duties(parts)
    reload_signum = parts.handlers.reserve() if parts.settings.py_autoreload else 0
    try:
        _import(parts)
    except Exception as error:
        if not parts.settings.py_autoreload or isinstance(error, ConfigError):
            raise
        show(error)
        return _until_changed(parts)
    parts.sources.declare(parts.signals, reload_signum, parts.work.begin_anew)
    run_hooks(parts.settings.hook_post_app)
    return parts.signals, _options(parts.settings)


def _until_changed(parts: Assembly) -> tuple[Signals, MasterOptions]:
    """A master without processes, which waits for better source files."""
    signals = Signals()
    parts.sources.declare(signals, 0, parts.work.begin_anew)
    signals.service("master")(parts.work.reload_on_hangup)
    return signals, MasterOptions(workers=0)


def _spool(path: Path) -> SpoolDirectory:
    try:
        return SpoolDirectory(path)
    except OSError as error:
        raise ConfigError(str(error)) from None


def _import(parts: Assembly) -> None:
    with parts.sources.looking():
        run_hooks(parts.settings.hook_pre_app)
        for name in parts.settings.shared_import:
            import_name_or_file(name)
        if parts.settings.lazy_apps:
            _note(parts)
        else:
            import_application(parts.settings)


def _note(parts: Assembly) -> None:
    """Have the application imported in another process, and do here what it asks for there.

    Raises:
        ChildProcessError: it cannot be imported.
    """

    def import_there() -> None:
        with parts.sources.looking():
            import_application(parts.settings)

    noted = noted_in_a_fork(parts.notes, import_there)
    for name, arguments in noted.calls:
        if name == "watch":
            parts.sources.watch(*arguments)
        elif name == "declare":
            parts.handlers.declare(*arguments)
        else:
            getattr(parts.events, name)(*arguments)
    if noted.failed:
        raise ChildProcessError("the application cannot be imported")


def _options(settings: Settings) -> MasterOptions:
    topology = settings.topology
    return MasterOptions(
        workers=topology.workers,
        mules=topology.mules,
        spoolers=topology.spoolers,
        farms=settings.farms,
        grace=settings.grace,
        max_attempts=1 if settings.strict_uwsgi else Options().max_attempts,
        cheaper=settings.cheaper or None,
        cheaper_initial=max(settings.cheaper, settings.cheaper_initial) if settings.cheaper else None,
        cheaper_step=max(settings.cheaper_step, 1),
    )
