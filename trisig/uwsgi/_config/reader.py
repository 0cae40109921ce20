"""Reads a whole configuration in uWSGI's order: the environment, the command line, files that are named on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .command_line import Word, parse_command_line
from .entries import Entries, Entry
from .expand import expand
from .files import Pair, read_ini, read_json, read_yaml
from .known import KnownOptions
from .magic import MagicVariables
from .problem import ConfigError

_READERS: dict[str, Callable[[str, str, str], Iterator[Pair]]] = {
    "ini": read_ini,
    "yaml": read_yaml,
    "yml": read_yaml,
    "json": read_json,
    "js": read_json,
}
_PREFIX = "UWSGI_"
# What uWSGI and its emperor set themselves.
_OF_UWSGI = {
    "UWSGI_RELOADS", "UWSGI_VASSALS_DIR", "UWSGI_EMPEROR_FD", "UWSGI_BROODLORD_NUM", "UWSGI_EMPEROR_FD_CONFIG",
    "UWSGI_EMPEROR_PROXY", "UWSGI_JAIL_PID", "UWSGI_ORIGINAL_PROC_NAME",
}  # fmt: skip


@dataclass(frozen=True)
class Configuration:
    """What was written, placeholders replaced.

    Attributes:
        entries: in the order of reading; of an option that is given twice, the later one counts.
        positional: what is neither an option nor a file of options.
        from_command_line: the names that were written on the command line itself.
        from_environment: those of `UWSGI_…` variables.
    """

    entries: tuple[Entry, ...]
    positional: tuple[str, ...]
    from_command_line: frozenset[str]
    from_environment: frozenset[str]


class ConfigReader:
    """Reads one configuration.

    Args:
        known: the options that there are.
        environment: of the process.
        magic: the `%` variables.
    """

    def __init__(self, known: KnownOptions, environment: Mapping[str, str], magic: MagicVariables) -> None:
        self._known = known
        self._environment = environment
        self._magic = magic
        self._entries = Entries(environment)
        self._last_file = ""
        self._open: list[str] = []

    def read(self, arguments: Sequence[str]) -> Configuration:
        """Read all of it.

        Raises:
            ConfigError: something is malformed, or cannot be read.
        """
        in_environment = list(self._from_environment())
        for key, value in in_environment:
            self._add(key, value)
        words = list(parse_command_line(arguments, self._known))
        for word in words:
            if word.option is not None:
                self._add(word.option, word.value)
        positional = [word for word in words if word.option is None and not self._read_named(word)]
        expand(self._entries, self._environment)
        return Configuration(
            tuple(self._entries.all),
            tuple(word.value or "" for word in positional),
            frozenset(word.option for word in words if word.option is not None),
            frozenset(key for key, _ in in_environment),
        )

    def _from_environment(self) -> Iterator[Pair]:
        for name, value in self._environment.items():
            if name.startswith(_PREFIX) and name not in _OF_UWSGI:
                yield name.removeprefix(_PREFIX).lower().replace("_", "-"), value

    def _read_named(self, word: Word) -> bool:
        """Whether a word without an option is a file of options, which is read then."""
        path = word.value or ""
        extension = path.rpartition(".")[2]
        if extension not in _READERS:
            return False
        with self._magic.keeping_capitals():
            self._load(path, extension)
        return True

    def _add(self, key: str, value: str | None, *, placeholder: bool = False) -> None:
        for entry in self._entries.add(key, value, placeholder=placeholder):
            if not entry.placeholder:
                self._act(entry)

    def _act(self, entry: Entry) -> None:
        """Do what some options do at once."""
        if entry.key in {"set", "set-placeholder", "set-ph"}:
            self._set(entry)
        elif entry.key in _READERS:
            self._load(entry.value or "", entry.key)
        elif entry.key == "include":
            self._load(entry.value or "", (entry.value or "").partition(":")[0].rpartition(".")[2])
        elif entry.key in {"xml", "sqlite3", "ldap", "zeus"}:
            raise ConfigError(f"{entry.key} files are not read here: write the options into an ini file")

    def _set(self, entry: Entry) -> None:
        key, equal, value = (entry.value or "").partition("=")
        if not equal:
            raise ConfigError(f"invalid {entry.key} syntax, must be: {entry.key} = name=value")
        if entry.key != "set" and key in self._known:
            raise ConfigError(f"you cannot use {key} as a placeholder, it is already available as an option")
        self._add(key, value, placeholder=entry.key != "set")

    def _load(self, given: str, kind: str) -> None:
        path, colon, section = given.rpartition(":") if ":" in given else (given, "", "")
        again = bool(colon) and not path
        path = self._last_file if again else path
        if given in self._open:
            raise ConfigError(f"{given} includes itself")
        reader = _READERS.get(kind)
        if reader is None:
            raise ConfigError(f"{given}: write the name of a file that ends with .ini, .yaml or .json")
        self._magic.enter(given, None if again else path, section)
        text = self._magic.replace(_text_of(path))
        self._last_file = path
        self._open.append(given)
        for key, value in reader(text, section or "uwsgi", path):
            self._add(key, value)
        self._open.pop()


def _text_of(path: str) -> str:
    if "://" in path:
        raise ConfigError(f"{path}: only files are read here; save it as a file")
    try:
        return Path(path or ".").read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise ConfigError(f'open("{path}"): {error.strerror}') from None
