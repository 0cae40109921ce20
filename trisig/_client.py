"""The other end of the control socket: one request, one answer, synchronously; for the command line."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PATIENCE = 30.0  # seconds
_SILENCE = 3.0  # seconds until somebody who waits wants to know why


class ControlError(Exception):
    """The master could not be asked, or refused."""


def ask(path: Path, do: str, *, late: Callable[[], None], **arguments: object) -> Any:
    """Ask the master that listens on a control socket for something; return its answer.

    Args:
        path: the socket.
        do: what for.
        late: called if the answer is not there after some seconds; it is waited for all the same.
        arguments: of the request.

    Raises:
        ControlError: nobody listens there, or the master refuses; the message says which.
    """
    with _talking(path) as connection:
        return _answer(path, connection, do, late, arguments)


def ask_to_stop(path: Path, *, late: Callable[[], None]) -> None:
    """Ask the master to stop; return when it has ended, and another one may take its place.

    Raises:
        ControlError: as `ask`, or it has not ended within its grace and some time more.
    """
    with _talking(path) as connection:
        grace = _answer(path, connection, "stop", late, {})
        connection.settimeout(grace + _PATIENCE)
        try:
            connection.recv(1)  # it sends nothing more: this is the end of the connection, its very last act
        except TimeoutError:
            raise ControlError(f"{path}: the master has not ended within {grace + _PATIENCE:g} s") from None
        except ConnectionResetError:
            pass


def _talking(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_PATIENCE)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise ControlError(f"control socket {path}: {_why(path, error)}") from error
    return connection


def _answer(
    path: Path, connection: socket.socket, do: str, late: Callable[[], None], arguments: dict[str, object]
) -> Any:
    try:
        connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
        line = _line(connection, late)
    except TimeoutError:
        raise ControlError(f"control socket {path}: the master did not answer within {_PATIENCE:g} s") from None
    except OSError:  # closed before it has read, or after
        line = b""
    if not line:
        raise ControlError(
            f"control socket {path}: the connection was closed; a master that is ending does so, one of somebody else, "
            "which only its owner and root may ask, and what is no master"
        )
    try:
        told = json.loads(line)
        refusal = told.get("error")
        answer = told["answer"] if refusal is None else None
    except (ValueError, KeyError, AttributeError):
        raise ControlError(f"control socket {path}: who listens there is no master; {_NAME_IT}") from None
    if refusal is not None:
        raise ControlError(refusal)
    return answer


def _line(connection: socket.socket, late: Callable[[], None]) -> bytes:
    received = bytearray()
    connection.settimeout(_SILENCE)
    while not received.endswith(b"\n"):
        try:
            data = connection.recv(65_536)
        except TimeoutError:
            if connection.gettimeout() != _SILENCE:
                raise
            late()
            connection.settimeout(_PATIENCE - _SILENCE)
            continue
        if not data:
            break
        received += data
    return bytes(received)


_NAME_IT = "name the path that was given to trisig run --control"


def _why(path: Path, error: OSError) -> str:
    """Why nobody can be reached there, and what to do."""
    nobody = f"no master listens there; start one with trisig run --control {path}"
    if isinstance(error, FileNotFoundError):
        return nobody if path.parent.exists() else f"there is no directory {path.parent}; {_NAME_IT}"
    if isinstance(error, ConnectionRefusedError):
        return f"{_kind(path)} is there, no socket; {_NAME_IT}" if path.is_file() or path.is_dir() else nobody
    if isinstance(error, PermissionError):
        return "only its owner and root may ask the master"
    if error.errno in (errno.EPROTOTYPE, errno.ENOTDIR):
        return f"this is something else; {_NAME_IT}"
    return error.strerror or str(error)


def _kind(path: Path) -> str:
    return "a directory" if path.is_dir() else "a file"
