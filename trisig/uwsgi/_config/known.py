"""The names of the options of uWSGI 2.0.31, and which of them take a value."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from typing import Literal

Arity = Literal["required", "none", "optional"]

_ARITIES: tuple[Arity, ...] = ("required", "none", "optional")  # as the paragraphs of the file come
_OWN: dict[str, Arity] = {"signal-overlap": "required", "strict-uwsgi": "none"}  # trisig's, not uWSGI's
_OF_PLUGINS: dict[str, Arity] = {"lua": "required", "lua-load": "required"}  # which uWSGI has only where they are built
_SHORT = {
    "s": "socket", "p": "processes", "t": "harakiri", "x": "xml", "S": "set", "d": "daemonize", "l": "listen",
    "v": "max-vars", "b": "buffer-size", "m": "memory-report", "c": "cgi-mode", "a": "abstract-socket", "C": "chmod",
    "T": "enable-threads", "i": "single-interpreter", "M": "master", "h": "help", "r": "reaper", "R": "max-requests",
    "z": "socket-timeout", "A": "sharedarea", "Q": "spooler", "L": "disable-logging", "y": "yaml", "j": "json",
    "w": "module", "J": "test", "H": "home", "O": "optimize",
}  # fmt: skip


@dataclass(frozen=True)
class KnownOptions:
    """The options of uWSGI.

    Attributes:
        arities: by name, whether it takes a value.
    """

    arities: dict[str, Arity]

    @classmethod
    def load(cls) -> KnownOptions:
        """Read the list that comes with the package."""
        paragraphs = files("trisig.uwsgi._config").joinpath("known_options.txt").read_text("ascii").split("\n\n")
        arities: dict[str, Arity] = {}
        for arity, paragraph in zip(_ARITIES, paragraphs, strict=True):
            _, *lines = paragraph.splitlines()
            arities |= dict.fromkeys(" ".join(lines).split(), arity)
        return cls(arities | _OWN | _OF_PLUGINS)

    def __contains__(self, name: str) -> bool:
        return name in self.arities

    def of_letter(self, letter: str) -> str | None:
        """The long name of a short option."""
        return _SHORT.get(letter)

    def nearest(self, name: str) -> str | None:
        """The option that somebody may have meant."""
        same = name.lower().replace("_", "-")
        if same in self.arities:
            return same
        return next(iter(get_close_matches(same, self.arities, 1, 0.75)), None)
