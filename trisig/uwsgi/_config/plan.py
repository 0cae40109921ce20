"""What a command line of `trisig uwsgi` would start."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from .entries import Entry
from .known import KnownOptions
from .loggers import remarks_on
from .magic import MagicVariables, constant_variables
from .problem import ConfigError
from .reader import ConfigReader, Configuration
from .settings import Settings, settings_of
from .verdict import Verdict, judge

VERSION = "2.0.31"


@dataclass(frozen=True)
class Plan:
    """All that was read.

    Attributes:
        configuration: what was written.
        settings: what it means.
        verdict: what becomes of the rest.
    """

    configuration: Configuration
    settings: Settings
    verdict: Verdict

    def remarks(self) -> Iterator[str]:
        """A line for each thing that somebody may not expect."""
        if self.verdict.web:
            yield f"options of web serving, for your web server: {', '.join(self.verdict.web)}"
        if self.verdict.not_served:
            yield f"options that are not served here: {', '.join(self.verdict.not_served)}"
        for name, nearest in self.verdict.unknown.items():
            meant = f"; did you mean {nearest}?" if nearest else ""
            yield f"{name} is no option of uWSGI, and only kept in uwsgi.opt{meant}"
        for command in self.settings.cron2:
            if command.unknown:
                yield f"cron2: unknown keys are ignored: {', '.join(command.unknown)}"
        yield from remarks_on(self.settings.logger, self.settings.logto)
        for text in self.settings.socket:
            if text not in {address.text for address in self.settings.addresses}:
                yield (
                    f"socket = {text}: not listened at; signals are taken at Unix sockets and at addresses such as "
                    "127.0.0.1:3031, and requests by your web server"
                )

    def lines(self) -> Iterator[str]:
        """What would run."""
        yield from self._processes()
        settings = self.settings
        named = (
            "wsgi_file",
            "module",
            "scripts",
            "imports",
            "shared_import",
            "chdir",
            "virtualenv",
            "uid",
            "gid",
            "stats",
            "log_file",
            "master_fifo",
        )
        for name in named:
            if value := getattr(settings, name):
                yield f"{name.replace('_', '-')}: {value if isinstance(value, str) else ', '.join(value)}"
        yield from self._events()
        yield from (f"daemon: {daemon}" for daemon in settings.daemons)
        yield from map(str, settings.hooks)
        if settings.strict_uwsgi:
            yield "keeps what uWSGI does where trisig does better"
        if settings.py_autoreload:
            yield "begins anew when a source file changes"

    def _processes(self) -> Iterator[str]:
        settings = self.settings
        yield f"workers: {settings.workers}"
        if settings.pyrun:
            yield f"worker 1 runs {settings.pyrun}, and the instance ends with it"
        if settings.max_worker_lifetime:
            yield f"a worker is replaced after {settings.max_worker_lifetime} s"
        if settings.max_rss:
            yield f"a worker is replaced at {settings.max_rss // 2**20} MB of resident memory"
        if settings.max_address_space:
            yield f"a worker is replaced at {settings.max_address_space // 2**20} MB of address space"
        for number, program in enumerate(settings.programs, 1):
            yield f"mule {number}: {program or 'waits for signals and messages'}"
        for name, members in settings.farms.items():
            yield f"farm {name}: mules {', '.join(map(str, members))}"
        for directory in settings.spooler:
            yield f"spooler: {directory} ({settings.spooler_processes} processes)"
        for directory in settings.spooler_external:
            yield f"spooler: {directory} (of another instance)"
        for address in settings.addresses:
            yield f"signals of other programs at {address.text}"

    def _events(self) -> Iterator[str]:
        settings = self.settings
        for event in (*settings.timer, *settings.rbtimer):
            yield f"signal {event.signum} every {event.of} s"
        for one in settings.signal_overlap:
            signals = "other signals" if one.signum is None else f"signal {one.signum}"
            yield f"{signals}: {one.overlap}, while the handler runs"
        for event in settings.touch_signal:
            yield f"signal {event.signum} when {event.of} changes"
        for kind, paths in settings.touched.items():
            yield from (f"the {kind}s begin anew when {path} changes" for path in paths)
        for touch in settings.hook_touch:
            yield f"{touch.hook.action}:{touch.hook.argument} when {touch.path} changes"


def read_plan(words: Sequence[str], environment: Mapping[str, str]) -> Plan:
    """Read the command line, the environment and the files that they name.

    Raises:
        ConfigError: with a line for each mistake.
    """
    known = KnownOptions.load()
    magic = MagicVariables(constant_variables(sys.argv[0], VERSION))
    configuration = ConfigReader(known, environment, magic).read(words)
    configuration = _with_positional(configuration)
    strict = any(entry.key == "strict" for entry in configuration.entries)
    problems = []
    for check in (lambda: settings_of(configuration.entries), lambda: judge(configuration, known, strict=strict)):
        try:
            check()
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    settings, verdict = settings_of(configuration.entries), judge(configuration, known, strict=strict)
    return Plan(configuration, settings, verdict)


def _with_positional(configuration: Configuration) -> Configuration:
    """Words without an option: a file of Python, or module:callable, as in uWSGI.

    Raises:
        ConfigError: another word.
    """
    entries = list(configuration.entries)
    for word in configuration.positional:
        file, _, callable_name = word.partition(":")
        if file.endswith((".py", ".wsgi")):
            entries.append(Entry("wsgi-file", file))
        elif callable_name and "." in file:
            entries.append(Entry("module", word))
        elif not os.path.exists(word):  # noqa: PTH110
            raise ConfigError(f"{word}: write the name of a file of options, like app.ini, or an option, like --ini")
    return Configuration(tuple(entries), (), configuration.from_command_line, configuration.from_environment)
