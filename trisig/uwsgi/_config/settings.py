"""The options that are served, each said once: its names, what kind of value it has, and its default."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from trisig._model.address import Address
from trisig._model.life_limits import LifeLimits
from trisig._model.targets import Topology

from . import values
from .daemons import Daemon, daemon, daemon2, smart_daemon
from .entries import Entry
from .hooks import Hook, TouchHook, hook, touch_hook
from .loggers import Logger, log_file_of, logger
from .problem import ConfigError

_Parse = Callable[[str, str | None], Any]


def _one(parse: _Parse, names: str, default: Any) -> Any:
    return field(default=default, metadata={"names": tuple(names.split()), "parse": parse})


def _many(names: str, parse: Callable[[str, str], Any] = lambda _name, value: value) -> Any:
    return field(default=(), metadata={"names": tuple(names.split()), "parse": parse, "many": True})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the options say. Attributes are named after the options; of several names the first one counts."""

    workers: int = _one(values.number, "workers processes", 1)
    threads: int = _one(values.number, "threads", 1)
    cheaper: int = _one(values.number, "cheaper", 0)
    cheaper_initial: int = _one(values.number, "cheaper-initial", 0)
    cheaper_step: int = _one(values.number, "cheaper-step", 1)
    cheap: bool = _one(values.flag, "cheap", False)
    mules: int = _one(values.number, "mules", 0)
    mule: tuple[str, ...] = _many("mule")
    farm: tuple[str, ...] = _many("farm")
    locks: int = _one(values.number, "locks", 0)

    spooler: tuple[str, ...] = _many("spooler")
    spooler_external: tuple[str, ...] = _many("spooler-external")
    spooler_processes: int = _one(values.number, "spooler-processes", 1)
    spooler_frequency: int = _one(values.number, "spooler-frequency spooler-freq", 30)
    spooler_max_tasks: int = _one(values.number, "spooler-max-tasks", 0)
    spooler_chdir: str = _one(values.text, "spooler-chdir", "")
    spooler_import: tuple[str, ...] = _many("spooler-import spooler-pyimport spooler-py-import spooler-python-import")

    chdir: str = _one(values.text, "chdir", "")
    chdir2: str = _one(values.text, "chdir2", "")
    virtualenv: str = _one(values.text, "virtualenv venv home pyhome", "")
    pythonpath: tuple[str, ...] = _many("pythonpath python-path pp")
    env: tuple[str, ...] = _many("env")
    wsgi_file: str = _one(values.text, "wsgi-file file", "")
    module: str = _one(values.text, "module wsgi", "")
    callable: str = _one(values.text, "callable", "")
    pyargv: str = _one(values.text, "pyargv", "")
    pyrun: str = _one(values.text, "pyrun python py", "")
    imports: tuple[str, ...] = _many("import pyimport py-import python-import")
    shared_import: tuple[str, ...] = _many("shared-import shared-pyimport shared-py-import shared-python-import")
    lua: str = _one(values.text, "lua", "")
    lua_load: tuple[str, ...] = _many("lua-load")
    lazy_apps: bool = _one(values.flag, "lazy-apps lazy", False)
    need_app: bool = _one(values.flag, "need-app", False)

    uid: str = _one(values.text, "uid", "")
    gid: str = _one(values.text, "gid", "")
    umask: str = _one(values.text, "umask", "")

    harakiri: int = _one(values.number, "harakiri", 0)
    mule_harakiri: int = _one(values.number, "mule-harakiri", 0)
    spooler_harakiri: int = _one(values.number, "spooler-harakiri", 0)
    reload_mercy: int = _one(values.number, "reload-mercy", 0)
    worker_reload_mercy: int = _one(values.number, "worker-reload-mercy", 0)
    mule_reload_mercy: int = _one(values.number, "mule-reload-mercy", 0)
    reload_on_rss: int = _one(values.megabytes, "reload-on-rss", 0)
    evil_reload_on_rss: int = _one(values.megabytes, "evil-reload-on-rss", 0)
    reload_on_as: int = _one(values.megabytes, "reload-on-as", 0)
    evil_reload_on_as: int = _one(values.megabytes, "evil-reload-on-as", 0)
    max_worker_lifetime: int = _one(values.number, "max-worker-lifetime", 0)
    max_worker_lifetime_delta: int = _one(values.number, "max-worker-lifetime-delta", 0)
    min_worker_lifetime: int = _one(values.number, "min-worker-lifetime", 10)

    timer: tuple[values.SignalEvent, ...] = _many("signal-timer timer", values.signal_timer)
    rbtimer: tuple[values.SignalEvent, ...] = _many("signal-rbtimer rbtimer", values.signal_timer)
    touch_signal: tuple[values.SignalEvent, ...] = _many("touch-signal fs-signal", values.touch_signal)
    signal_overlap: tuple[values.SignalOverlap, ...] = _many("signal-overlap", values.signal_overlap)
    cron: tuple[values.CronCommand, ...] = _many("cron unique-cron", values.cron)
    cron_harakiri: int = _one(values.number, "cron-harakiri", 0)
    cron2: tuple[values.CronCommand, ...] = _many("cron2", values.cron2)

    socket: tuple[str, ...] = _many("socket uwsgi-socket")
    chmod_socket: int | None = _one(values.mode, "chmod-socket chmod", None)
    signal: tuple[str, ...] = _many("signal")
    attach_daemon: tuple[Daemon, ...] = _many("attach-daemon attach-control-daemon", daemon)
    attach_daemon2: tuple[Daemon, ...] = _many("attach-daemon2", daemon2)
    smart_attach_daemon: tuple[Daemon, ...] = _many("smart-attach-daemon smart-attach-daemon2", smart_daemon)
    daemons_honour_stdin: bool = _one(values.flag, "daemons-honour-stdin", False)
    hook_asap: tuple[Hook, ...] = _many("hook-asap exec-asap", hook)
    hook_as_root: tuple[Hook, ...] = _many("hook-as-root exec-as-root", hook)
    hook_as_user: tuple[Hook, ...] = _many("hook-as-user exec-as-user", hook)
    hook_pre_app: tuple[Hook, ...] = _many("hook-pre-app exec-pre-app", hook)
    hook_post_app: tuple[Hook, ...] = _many("hook-post-app exec-post-app", hook)
    hook_as_user_atexit: tuple[Hook, ...] = _many("hook-as-user-atexit exec-as-user-atexit", hook)
    hook_master_start: tuple[Hook, ...] = _many("hook-master-start", hook)
    hook_post_fork: tuple[Hook, ...] = _many("hook-post-fork", hook)
    hook_as_mule: tuple[Hook, ...] = _many("hook-as-mule", hook)
    hook_accepting: tuple[Hook, ...] = _many("hook-accepting", hook)
    hook_accepting_once: tuple[Hook, ...] = _many("hook-accepting-once", hook)
    hook_accepting1: tuple[Hook, ...] = _many("hook-accepting1", hook)
    hook_accepting1_once: tuple[Hook, ...] = _many("hook-accepting1-once", hook)
    hook_touch: tuple[TouchHook, ...] = _many("hook-touch touch-exec", touch_hook)

    pidfile: str = _one(values.text, "pidfile", "")
    safe_pidfile: str = _one(values.text, "safe-pidfile pidfile2", "")
    logto: str = _one(values.text, "logto", "")
    logger: tuple[Logger, ...] = _many("logger", logger)
    procname_prefix: str = _one(values.text, "procname-prefix procname-prefix-spaced", "")
    cache2: tuple[str, ...] = _many("cache2")
    metric: tuple[str, ...] = _many("metric")
    touch_reload: tuple[str, ...] = _many("touch-reload fs-reload")
    touch_workers_reload: tuple[str, ...] = _many("touch-workers-reload")
    touch_mules_reload: tuple[str, ...] = _many("touch-mules-reload")
    touch_spoolers_reload: tuple[str, ...] = _many("touch-spoolers-reload")
    master_fifo: tuple[str, ...] = _many("master-fifo")
    py_autoreload: int = _one(values.number, "py-autoreload py-auto-reload python-autoreload python-auto-reload", 0)
    py_autoreload_ignore: tuple[str, ...] = _many("py-auto-reload-ignore")
    stats: str = _one(values.text, "stats stats-server", "")
    strict_uwsgi: bool = _one(values.flag, "strict-uwsgi", False)
    strict: bool = _one(values.flag, "strict", False)

    @property
    def programs(self) -> tuple[str, ...]:
        """What each mule runs; empty for one that only waits."""
        return ("",) * self.mules + tuple(program.strip() for program in self.mule)

    @property
    def files(self) -> tuple[str, ...]:
        """The files of Python that are named."""
        named = (self.wsgi_file, self.pyrun, *self.imports, *self.shared_import, *self.spooler_import, *self.programs)
        return tuple(name for name in named if name.endswith(".py"))

    @property
    def scripts(self) -> tuple[str, ...]:
        """The scripts of Lua."""
        return (*self.lua_load, *([self.lua] if self.lua else []))

    @property
    def farms(self) -> dict[str, tuple[int, ...]]:
        """The mules of each farm."""
        return values.farms(self.farm, len(self.programs))

    @property
    def topology(self) -> Topology:
        """How many processes there are of each kind."""
        return Topology(self.workers, len(self.programs), self.spooler_processes * len(self.spooler), self.farms)

    @property
    def log_file(self) -> str:
        """Where the log goes; empty for standard error."""
        return log_file_of(self.logger, self.logto)

    @property
    def touched(self) -> dict[str, tuple[str, ...]]:
        """The files that renew the processes of a kind."""
        return {
            "worker": self.touch_workers_reload,
            "mule": self.touch_mules_reload,
            "spooler": self.touch_spoolers_reload,
        }

    @property
    def max_rss(self) -> int:
        """At how many bytes of resident memory a worker is replaced; 0 for no limit."""
        return _lower(self.reload_on_rss, self.evil_reload_on_rss)

    @property
    def max_address_space(self) -> int:
        """At how many bytes of address space a worker is replaced; 0 for no limit."""
        return _lower(self.reload_on_as, self.evil_reload_on_as)

    @property
    def life_limits(self) -> dict[str, LifeLimits]:
        """What ends the life of each worker."""
        return {f"worker{number}": self._limits_of(number) for number in range(1, self.workers + 1)}

    def _limits_of(self, number: int) -> LifeLimits:
        age = self.max_worker_lifetime and self.max_worker_lifetime + (number - 1) * self.max_worker_lifetime_delta
        return LifeLimits(
            age=age or None,
            rss=self.max_rss or None,
            rss_after=self.min_worker_lifetime,
            address_space=self.max_address_space or None,
        )

    @property
    def daemons(self) -> tuple[Daemon, ...]:
        """All that are to run."""
        found = (*self.attach_daemon, *self.attach_daemon2, *self.smart_attach_daemon)
        return tuple(replace(one, keeps_input=True) for one in found) if self.daemons_honour_stdin else found

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """Those that do not wait for a file, in the order of their moments."""
        start = (*self.hook_asap, *self.hook_as_root, *self.hook_as_user, *self.hook_pre_app, *self.hook_post_app)
        forked = (*self.hook_post_fork, *self.hook_as_mule, *self.hooks_of_ready_worker(1, is_first_life=True))
        return (*start, *self.hook_master_start, *forked, *self.hook_as_user_atexit)

    def hooks_of_ready_worker(self, number: int, *, is_first_life: bool) -> tuple[Hook, ...]:
        """Those that a worker does before its first handler, in uWSGI's order."""
        once = self.hook_accepting_once if is_first_life else ()
        if number != 1:
            return (*self.hook_accepting, *once)
        once1 = self.hook_accepting1_once if is_first_life else ()
        return (*self.hook_accepting, *once, *self.hook_accepting1, *once1)

    @property
    def caches(self) -> tuple[Mapping[str, str], ...]:
        """The pairs of each `cache2`."""
        return tuple(values.cache(value) for value in self.cache2)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics."""
        return tuple(values.cache(value).get("name", "") for value in self.metric)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where signals of other programs are taken; what only a web server could listen at is left out."""
        return tuple(address for text in self.socket if (address := values.own_address(text, self.chdir)))

    @property
    def grace(self) -> float:
        """Seconds that the end of a process may take."""
        return float(max(self.reload_mercy, self.worker_reload_mercy, self.mule_reload_mercy) or 10)


def _lower(*limits: int) -> int:
    """The lowest one; 0 is none."""
    return min(filter(None, limits), default=0)


def served_names() -> frozenset[str]:
    """The options that `Settings` knows."""
    return frozenset(name for one in fields(Settings) for name in one.metadata["names"])


def settings_of(entries: Sequence[Entry]) -> Settings:
    """Read the settings from the options.

    Raises:
        ConfigError: with a line for each value that is wrong.
    """
    given: dict[str, Any] = {}
    problems: list[str] = []
    for one in fields(Settings):
        names, parse = one.metadata["names"], one.metadata["parse"]
        found = [entry for entry in entries if entry.key in names and not entry.placeholder]
        if not found:
            continue
        try:
            if one.metadata.get("many"):
                given[one.name] = tuple(parse(entry.key, entry.value or "") for entry in found)
            else:
                given[one.name] = parse(found[-1].key, found[-1].value)
        except ConfigError as error:
            problems.append(str(error))
    settings = Settings(**given)
    if settings.pyrun:
        settings = replace(settings, workers=1, cheaper=0)  # as in uWSGI, whatever `processes` says
    problems += _contradictions(settings)
    if problems:
        raise ConfigError("\n".join(problems))
    return settings


def _contradictions(settings: Settings) -> list[str]:
    problems = []
    try:
        _ = settings.farms, values.environment(settings.env)
    except ConfigError as error:
        problems.append(str(error))
    if settings.cheaper and settings.cheaper >= settings.workers:
        problems.append(f"invalid cheaper value: must be lower than processes ({settings.workers})")
    elif settings.cheaper and settings.cheaper_initial > settings.workers:
        problems.append(f"invalid cheaper-initial value: must be lower or equal than processes ({settings.workers})")
    pidfiles = [daemon.pidfile for daemon in settings.daemons if daemon.pidfile]
    taken = [settings.pidfile, settings.safe_pidfile, *pidfiles]
    problems += [
        f"{pidfile} is the pidfile of something else, too; write another one for the daemon"
        for pidfile in dict.fromkeys(pidfiles)
        if taken.count(pidfile) > 1
    ]
    if 0 < settings.max_worker_lifetime <= settings.min_worker_lifetime:
        problems.append(
            f"invalid min-worker-lifetime value ({settings.min_worker_lifetime}), must be lower than "
            f"max-worker-lifetime ({settings.max_worker_lifetime}); write a longer lifetime, or min-worker-lifetime = 0"
        )
    return problems
