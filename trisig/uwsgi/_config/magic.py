"""The `%` variables, which uWSGI replaces in the raw text of a file before it looks at its lines."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

_FILE_VARIABLES = "odspcenxij"  # of the file that is read; their capitals are those of the first one


def constant_variables(binary: str, version: str) -> dict[str, str]:
    """Those that are the same in all files."""
    uid, gid = os.getuid(), os.getgid()
    return {
        "%": "%",
        "(": "%(",
        "[": "\033",
        "b": binary,
        "g": str(gid),
        "G": _name(lambda: grp.getgrgid(gid).gr_name, gid),
        "h": socket.gethostname(),
        "k": str(os.cpu_count() or 1),
        "t": str(int(time.time())),
        "T": str(time.time_ns() // 1000),
        "u": str(uid),
        "U": _name(lambda: pwd.getpwuid(uid).pw_name, uid),
        "v": os.getcwd(),  # noqa: PTH109  text
        "V": version,
    }


def _name(ask: object, number: int) -> str:
    try:
        return str(ask())  # type: ignore[operator]
    except KeyError:
        return str(number)


class MagicVariables:
    """The `%` variables, as they are while files are read one after the other.

    Args:
        constants: those that are the same in all files.
    """

    def __init__(self, constants: dict[str, str]) -> None:
        self._values = dict(constants)
        self._sets_capitals = True

    @contextmanager
    def keeping_capitals(self) -> Iterator[None]:
        """Files that are read meanwhile are not the first one: those that are named without `--ini`."""
        before, self._sets_capitals = self._sets_capitals, False
        try:
            yield
        finally:
            self._sets_capitals = before

    def enter(self, given: str, path: str | None, section: str) -> None:
        """A file is about to be read.

        Args:
            given: what was written.
            path: of the file; None if it is the one that was read last.
            section: what follows the colon.
        """
        self._values["o"] = given
        if path is not None:
            self._values |= _of_file(path)
        self._values["x"] = section
        if self._sets_capitals:
            self._values |= {name.upper(): self._values.get(name, "") for name in _FILE_VARIABLES}
            self._sets_capitals = False

    def replace(self, text: str) -> str:
        """Put in the values. What is unknown is empty; `%` before the end of a line takes the end away."""
        first, *rest = text.split("%")
        parts, escaped = [first], False
        for part in rest:
            if escaped:  # the second of "%%"
                parts.append(part)
                escaped = False
            elif part:
                parts.append(self._values.get(part[0], "") + part[1:])
            else:
                parts.append("%")
                escaped = True
        return "".join(parts)


def _of_file(path: str) -> dict[str, str]:
    full = os.path.join(os.getcwd(), path) if os.path.islink(path) else os.path.realpath(path)  # noqa: PTH109, PTH114, PTH118
    directory, _, name = full.rpartition("/")
    stem, dot, extension = name.rpartition(".")
    parts = [part for part in directory.split("/") if part][:10]
    inode = str(os.lstat(full).st_ino) if os.path.lexists(full) else ""
    return {
        "p": full,
        "s": name,
        "d": f"{directory}/",
        "c": directory.rpartition("/")[2],
        "e": extension if dot else "",
        "n": stem if dot else name,
        "i": inode,
        "j": _djb33x(full),
        **dict.fromkeys("0123456789", ""),
        **{str(index): part for index, part in enumerate(parts)},
    }


def _djb33x(text: str) -> str:
    number = 5381
    for byte in os.fsencode(text):
        number = ((number << 5) + number ^ byte) & 0xFFFFFFFF
    return number.to_bytes(4, "little").hex().upper()
