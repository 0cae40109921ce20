"""Where the log goes: `logger`, `logto`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .problem import ConfigError
from .values import pairs_of

_KINDS = {
    "file", "stdio", "fd", "syslog", "rsyslog", "socket", "redislog", "mongodblog", "zeromq", "graylog2", "pipe",
    "systemd", "crypto",
}  # fmt: skip
_STANDARD = {"stdio", "fd"}
_ELSEWHERE = "let systemd's journal send it there"


@dataclass(frozen=True, slots=True)
class Logger:
    """A place for the log.

    Attributes:
        text: as it was written.
        name: for `log-route`; a logger with a name gets nothing without that.
        kind: what it is.
        path: of a file.
        rotates: it asks for another file when this one is large.
    """

    text: str
    name: str
    kind: str
    path: str = ""
    rotates: bool = False


def logger(option: str, value: str) -> Logger:
    """`logger = [<name> ]<kind>[:<argument>]`."""
    name, space, rest = value.partition(" ")
    if not (space and name.isalnum()):
        name, rest = "", value
    kind, _, argument = rest.partition(":")
    if kind not in _KINDS:
        raise ConfigError(f"{option} = {value}: unable to find logger {kind}; write file:<path>, or stdio")
    if kind == "fd" and argument not in {"1", "2"}:
        raise ConfigError(f"{option} = {value}: only standard error is there, which is stdio; write stdio")
    if kind != "file":
        return Logger(value, name, kind)
    pairs = pairs_of(argument) if "=" in argument else {"logfile": argument}
    if not pairs.get("logfile"):
        raise ConfigError(f"{option} = {value}: write the path of a file, like {option} = file:/var/log/app.log")
    return Logger(value, name, kind, pairs["logfile"], "maxsize" in pairs)


def log_file_of(loggers: Sequence[Logger], logto: str) -> str:
    """The file that takes the log: that of the first logger, else `logto`; empty for standard error."""
    if files := [one.path for one in loggers if one.kind == "file" and not one.name]:
        return files[0]
    return "" if ":" in logto else logto


def remarks_on(loggers: Sequence[Logger], logto: str) -> Iterator[str]:
    """A line for each place where the log does not go, though somebody has written that it should."""
    file = log_file_of(loggers, logto)
    goes = f"it goes to {file}" if file else "it goes to standard error"
    if ":" in logto:
        yield f"logto = {logto}: no log is sent by UDP; {goes}"
    for one in loggers:
        if one.name:
            yield f"logger = {one.text}: one with a name is for log-route, and gets nothing"
        elif file and (one.path != file if one.path else one.kind in _STANDARD and file != logto):
            yield f"logger = {one.text}: the log goes to one place; {goes}"
        elif one.kind == "file" and one.rotates:
            yield f"logger = {one.text}: maxsize does nothing here; let logrotate rename it, and send SIGHUP"
        elif one.kind not in {*_STANDARD, "file"}:
            yield f"logger = {one.text}: not served, {goes}; {_ELSEWHERE}"
