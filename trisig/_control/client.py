"""The operator's side of the control socket: one request, one answer, synchronously; for the command line."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from trisig._model.process import MASTER_VARIABLE

from .protocol import parse_reply, request

PATIENCE_S = 30.0  # without a word from the master
NOTICE_AFTER_S = 3.0
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid
_TIMEVAL = struct.Struct("ll")
_NAME_IT = "name the path that was given to trisig run --control"


class ControlError(Exception):
    """The master could not be asked, or refused."""


class RefusedError(ControlError):
    """The master was asked, and refused."""


class ControlClient:
    """A connection to a master.

    Args:
        path: the control socket.
        say: called with what is waited for, when it takes some seconds.

    Raises:
        ControlError: no master can be reached there.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._connection = self._connect()
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # While the backlog is full a blocking connect waits in the kernel. Python's time-out would make the socket
            # non-blocking, and connect fail at once with EAGAIN.
            _limit_sending(connection, NOTICE_AFTER_S)
            try:
                _connect_to(self._path, connection)
            except BlockingIOError:
                self._say_nothing_came()
                _limit_sending(connection, PATIENCE_S - NOTICE_AFTER_S)
                _connect_to(self._path, connection)
        except OSError as error:
            connection.close()
            raise ControlError(f"control socket {self._path}: {why_unreachable(self._path, error)}") from error
        except BaseException:
            connection.close()
            raise
        connection.settimeout(PATIENCE_S)
        return connection

    def is_above(self) -> bool:
        """Whether the master is an ancestor of this process, and so may have to wait for it."""
        credentials = self._connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return os.environ.get(MASTER_VARIABLE) == str(_CREDENTIALS.unpack(credentials)[0])

    def ask(self, do: str, **arguments: object) -> Any:
        """Ask for a command; return its answer.

        Raises:
            RefusedError: the master refuses.
            ControlError: it does not answer.
        """
        try:
            self._connection.sendall(request(do, arguments))
        except TimeoutError:
            raise self._silent() from None
        except OSError:  # closed: what it had to say may still be there
            pass
        while line := self._line():
            reply = self._parse(line)
            if "waiting" in reply:
                self._say(reply["waiting"])
            elif "error" in reply:
                raise RefusedError(reply["error"])
            else:
                return reply["answer"]
        raise ControlError(
            f"control socket {self._path}: the connection was closed: the master is shutting down or has too many "
            "clients, belongs to another user, or is not a trisig master"
        )

    def ask_until(self, word: str, do: str, **arguments: object) -> None:
        """Ask for a command that lasts as long as this connection; return when it says a word.

        Raises:
            RefusedError: the master refuses.
            ControlError: it does not answer.
        """
        try:
            self._connection.sendall(request(do, arguments))
        except OSError:
            pass
        while line := self._line():
            reply = self._parse(line)
            if "error" in reply:
                raise RefusedError(reply["error"])
            if reply.get("waiting") == word:
                return
        raise ControlError(f"control socket {self._path}: the connection was closed: the master is shutting down")

    def close(self) -> None:
        """End the connection, and with it what it holds."""
        self._connection.close()

    def wait_for_the_end(self) -> None:
        """Return when the master has ended, and another one may take its place.

        Raises:
            ControlError: nothing was heard of it for too long.
        """
        try:
            self._connection.sendall(request("wait", {}))
        except OSError:  # it has ended
            return
        while line := self._line():
            reply = self._parse(line)
            if "waiting" in reply:
                self._say(reply["waiting"])

    def _line(self) -> bytes:
        """The next line of the master; empty at the end of the connection, its very last act.

        Raises:
            ControlError: none came for too long.
        """
        self._connection.settimeout(NOTICE_AFTER_S)
        while b"\n" not in self._received:
            try:
                data = self._connection.recv(65_536)
            except TimeoutError:
                if self._connection.gettimeout() != NOTICE_AFTER_S:
                    raise self._silent() from None
                self._say_nothing_came()
                self._connection.settimeout(PATIENCE_S - NOTICE_AFTER_S)
                continue
            except OSError:
                data = b""
            if not data:
                break
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return line

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            return parse_reply(line)
        except ValueError:
            raise ControlError(
                f"control socket {self._path}: the program that listens there is not a trisig master; {_NAME_IT}"
            ) from None

    def _silent(self) -> ControlError:
        return ControlError(f"control socket {self._path}: the master did not answer within {PATIENCE_S:g} s")

    def _say_nothing_came(self) -> None:
        self._say("the master has not answered yet")


def _connect_to(path: Path, connection: socket.socket) -> None:
    while True:
        connection.connect(str(path))
        try:
            connection.getpeername()
        except OSError as error:
            # Ctrl-Z and `fg`: the kernel ends a wait that has a limit with EINTR, and Python takes the connection for
            # made, as that of a TCP socket would be in the end.
            if error.errno != errno.ENOTCONN:
                raise
        else:
            return


def _limit_sending(connection: socket.socket, seconds: float) -> None:
    whole = int(seconds)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(whole, int((seconds - whole) * 1e6)))


def why_unreachable(path: Path, error: OSError) -> str:
    """Why nobody can be reached there, and what to do."""
    nobody = (
        "no master listens there. If none is running, start one with "
        f"trisig run --control {path}; if one is, its socket was removed: stop it with SIGTERM, and start it again"
    )
    reasons = {
        errno.ENOENT: nobody if path.parent.exists() else f"there is no directory {path.parent}; {_NAME_IT}",
        errno.ECONNREFUSED: f"this is {_kind(path)}, not a socket; {_NAME_IT}" if _kind(path) else nobody,
        errno.EACCES: "only the owner of the master and root may use it",
        errno.EPROTOTYPE: f"this is a socket of another kind; {_NAME_IT}",
        errno.ENOTDIR: f"a part of the path is not a directory; {_NAME_IT}",
        errno.EAGAIN: f"the master did not accept the connection within {PATIENCE_S:g} s",
    }
    return reasons.get(error.errno or 0) or f"{error.strerror or error}; {_NAME_IT}"


def _kind(path: Path) -> str:
    return "a directory" if path.is_dir() else "a file" if path.is_file() else ""
