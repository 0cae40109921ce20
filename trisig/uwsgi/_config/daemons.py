"""Programs that run beside the processes: `attach-daemon`, `smart-attach-daemon` and their kin."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from .problem import ConfigError
from .values import number, pairs_of

_COMMAND = ("command", "cmd", "exec")
_STOP, _RELOAD = ("stopsignal", "stop_signal"), ("reloadsignal", "reload_signal")
_FOREGROUND = ("daemonize", "daemon")
_KEYS = {
    *_COMMAND, *_STOP, *_RELOAD, *_FOREGROUND, "control", "stdin", "uid", "gid", "chdir", "max_throttle", "freq",
    "pidfile", "notifypid",
}  # fmt: skip
_PATIENCE_S = 10  # uWSGI's, which looks once a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """A program that is started with the master, again whenever it ends, and, without a pidfile, ended with it.

    Attributes:
        command: for the shell.
        control: the instance ends with it.
        directory: where it runs; empty for that of the master.
        uid, gid: its user and group; 0 for those of the master.
        stop_signal: the Unix signal that asks it to end.
        reload_signal: the same at a reload.
        keeps_input: its standard input is that of the master.
        longest_pause: seconds before it is started again, at most.
        pidfile: names the process of one that outlives the instance; empty for one that ends with it.
        stays: it stays in the foreground, and its pidfile is written for it.
        patience: seconds within which its pidfile has to name a process.
        is_notified: it gets its signals, though it has a pidfile.
    """

    command: str
    control: bool = False
    directory: str = ""
    uid: int = 0
    gid: int = 0
    stop_signal: int = signal.SIGTERM
    reload_signal: int = signal.SIGTERM
    keeps_input: bool = False
    longest_pause: int = 300
    pidfile: str = ""
    stays: bool = False
    patience: int = _PATIENCE_S
    is_notified: bool = False

    def __str__(self) -> str:
        return (
            f"{self.command} (outlives the instance; its pidfile is {self.pidfile})" if self.pidfile else self.command
        )


def daemon(name: str, value: str) -> Daemon:
    """`attach-daemon = <command>`; with attach-control-daemon the instance ends with it."""
    if not value.strip():
        raise ConfigError(f"{name} needs a command, like {name} = memcached -p 11311")
    return Daemon(command=value, control=name == "attach-control-daemon")


def smart_daemon(name: str, value: str) -> Daemon:
    """`smart-attach-daemon = <pidfile>[,<seconds>] <command>`; smart-attach-daemon2 writes the pidfile itself."""
    place, _, command = value.partition(" ")
    pidfile, comma, seconds = place.partition(",")
    if not pidfile or not command.strip():
        raise ConfigError(f"{name} = {value}: write a pidfile and a command, like {name} = /run/x.pid x --daemon")
    patience = number(f"{name}: seconds", seconds) if comma else _PATIENCE_S
    return Daemon(command=command, pidfile=pidfile, patience=patience, stays=name.endswith("2"))


def daemon2(name: str, value: str) -> Daemon:
    """`attach-daemon2 = command=...,stopsignal=2`."""
    pairs = pairs_of(value)
    command = _first(pairs, _COMMAND)
    if not command:
        raise ConfigError(f"{name} = {value}: you need to specify a 'command' key, like {name} = command=redis-server")
    if others := [key for key in pairs if key not in _KEYS]:
        raise ConfigError(
            f"{name}: not served: {', '.join(others)}; a command with a comma in it needs attach-daemon, or "
            "smart-attach-daemon"
        )
    pidfile, stays = pairs.get("pidfile", ""), any(key in pairs for key in _FOREGROUND)
    if not pidfile and (stays or "notifypid" in pairs):
        raise ConfigError(
            f"{name} = {value}: daemonize and notifypid are for a daemon with a pidfile; write pidfile=..."
        )
    if pidfile and "control" in pairs:
        raise ConfigError(f"{name} = {value}: one with a pidfile outlives the instance; leave out control, or pidfile")
    stop = _signal_of(name, _first(pairs, _STOP)) or signal.SIGTERM
    return Daemon(
        command=command,
        control="control" in pairs,
        directory=pairs.get("chdir", ""),
        uid=number(f"{name}: uid", pairs.get("uid", "0")),
        gid=number(f"{name}: gid", pairs.get("gid", "0")),
        stop_signal=stop,
        reload_signal=_signal_of(name, _first(pairs, _RELOAD)) or (signal.SIGHUP if pidfile else stop),
        keeps_input="stdin" in pairs,
        longest_pause=number(f"{name}: max_throttle", pairs.get("max_throttle", "0")) or 300,
        pidfile=pidfile,
        stays=stays,
        patience=number(f"{name}: freq", pairs.get("freq", str(_PATIENCE_S))),
        is_notified="notifypid" in pairs,
    )


def _first(pairs: dict[str, str], keys: tuple[str, ...]) -> str:
    return next((pairs[key] for key in keys if key in pairs), "")


def _signal_of(name: str, text: str) -> int:
    if not text:
        return 0
    found = number(name, text)
    if found not in signal.valid_signals():
        raise ConfigError(f"{name}: {found} is no number of a Unix signal, like {int(signal.SIGINT)} for SIGINT")
    return found
