"""Which of the options that were written are served, ignored, refused or unknown."""

from __future__ import annotations

from dataclasses import dataclass

from .known import KnownOptions
from .problem import ConfigError
from .reader import Configuration
from .settings import served_names

# They change nothing here: what they ask for is so anyway, or belongs to how uWSGI is built.
_NO_MATTER = """
master enable-threads single-interpreter die-on-term vacuum plugin plugins plugins-dir need-plugin honour-stdin
no-orphans show-config strict set set-ph set-placeholder ini yaml yml json js include print end endif end-if endfor
end-for thunder-lock memory-report auto-procname procname procname-master procname-append spooler-ordered
spooler-quiet py-call-osafterfork skip-atexit mule-msg-size signal-bufsize signals-bufsize close-on-exec
close-on-exec2 never-swap log-master log-date logdate log-micros declare-option py-executable py-sys-executable
threads-stacksize enable-metrics master-as-root no-site reload-os-env if-env if-not-env if-opt if-not-opt if-exists
if-not-exists if-file if-not-file if-dir if-not-dir if-directory if-hostname if-not-hostname if-reload
if-not-reload if-plugin if-not-plugin for for-glob for-times for-readline log-reopen
"""
_REFUSED = {
    "daemonize": "trisig stays in the foreground; start it from systemd, or with `setsid … &`",
    "daemonize2": "trisig stays in the foreground; start it from systemd, or with `setsid … &`",
    "emperor": "there is no emperor here; let systemd start one `trisig uwsgi` for each file",
    "if-hostname-match": "write if-hostname with the whole name",
    "if-not-hostname-match": "write if-not-hostname with the whole name",
}
# What is no part of serving the web, and not built.
_NOT_SERVED_PREFIXES = """
legion hook- exec- alarm snmp queue sharedarea touch- fs- py-auto python-auto spooler-
reload-on- evil-reload-on- cheaper- idle stats metric log
fifo python py worker-exec mule- cron- worker-reload mount chroot pivot cgroup setcap signal
remote subscrib carbon zerg cache- exit stop reload pause resume suspend umount
"""


@dataclass(frozen=True)
class Verdict:
    """What becomes of the options.

    Attributes:
        web: options of serving the web, which is another server's job.
        not_served: other options of uWSGI that are not built.
        unknown: names that uWSGI does not know either, each with the nearest one that it does.
    """

    web: tuple[str, ...]
    not_served: tuple[str, ...]
    unknown: dict[str, str | None]


def judge(configuration: Configuration, known: KnownOptions, *, strict: bool) -> Verdict:
    """Sort the options.

    Raises:
        ConfigError: one is refused, or, with `strict`, unknown.
    """
    served = served_names() | frozenset(_NO_MATTER.split())
    prefixes = tuple(_NOT_SERVED_PREFIXES.split())
    written = list(dict.fromkeys(entry.key for entry in configuration.entries if not entry.placeholder))
    problems = [f"{name}: {_REFUSED[name]}" for name in written if name in _REFUSED]
    others = [name for name in written if name not in served and name not in _REFUSED]
    unknown = [name for name in others if name not in known]
    if strict:
        problems += [_strictly(name, known) for name in unknown]
    if problems:
        raise ConfigError("\n".join(problems))
    not_served = tuple(name for name in others if name in known and name.startswith(prefixes))
    return Verdict(
        web=tuple(name for name in others if name in known and name not in not_served),
        not_served=not_served,
        unknown={name: known.nearest(name) for name in unknown if name not in configuration.from_environment},
    )


def _strictly(name: str, known: KnownOptions) -> str:
    nearest = known.nearest(name)
    hint = f"; did you mean {nearest}?" if nearest else "; for a placeholder write set-placeholder = NAME=VALUE"
    return f"[strict-mode] unknown config directive: {name}{hint}"
