"""Declares what the processes of an instance do: start functions, services, and what the options raise."""

from __future__ import annotations

from collections.abc import Callable

from trisig._api.signals import application_of
from trisig._model.process import CHILD_KINDS

from ._assembly import Assembly
from ._runtime.spooler import Spooler, SpoolerWork


def declare_duties(parts: Assembly) -> None:
    """Declare all of it; the application is imported later."""
    signals, application, desk = parts.signals, application_of(parts.signals), parts.desk()
    application.host = parts.child.host
    application.commands = desk.commands()
    application.limits = parts.settings.life_limits
    signals.service("master")(desk.serve)
    signals.on_start()(parts.child.start)
    for kind in CHILD_KINDS:
        if parts.processes.topology.count(kind):
            signals.service(f"{kind}s")(parts.child.live)
    signals.service("master")(parts.work.serve)
    signals.service("master")(parts.work.reload_on_hangup)
    signals.service("master")(parts.daemons.serve)
    parts.work.declare()
    _declare_mules(parts)
    if parts.spools:
        _declare_spoolers(parts)


def _declare_mules(parts: Assembly) -> None:
    """Send what was sent too early; give messages to the hook in mules without a program, as uWSGI does."""

    async def serve() -> None:
        """Hand messages to the hook."""
        await parts.mail.serve_hook(parts.module, parts.child.idle)

    parts.signals.service("master")(parts.mail.send_early)
    for number, program in enumerate(parts.settings.programs, 1):
        if not program:
            parts.signals.service(f"mule{number}")(serve)


def _declare_spoolers(parts: Assembly) -> None:
    settings = parts.settings

    def run(call: Callable[[], object]) -> None:
        with parts.harakiri.within(settings.spooler_harakiri):
            call()

    async def serve() -> None:
        """Run the jobs of the directory that this spooler has."""
        directory = parts.spools[(parts.processes.number("spooler") - 1) // settings.spooler_processes]
        work = SpoolerWork(
            directory,
            settings.spooler_frequency,
            settings.spooler_chdir,
            run,
            parts.child.leave_now,
            settings.spooler_max_tasks,
            gives_up=not settings.strict_uwsgi,
        )
        await Spooler(work, parts.main, parts.module).serve()

    parts.signals.service("spoolers")(serve)
