"""The other end of the control socket: one request, one answer, synchronously; for the command line."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

_PATIENCE = 30.0  # seconds


class ControlError(Exception):
    """The master could not be asked, or refused."""


def ask(path: Path, do: str, **arguments: object) -> Any:
    """Ask the master that listens on a control socket for something; return its answer.

    Raises:
        ControlError: nobody listens there, or the master refuses; the message says which.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_PATIENCE)
        try:
            connection.connect(str(path))
            connection.sendall(json.dumps({"do": do, **arguments}).encode() + b"\n")
            answer = _line(connection)
        except OSError as error:
            raise ControlError(_why(path, error)) from error
    if not answer:
        raise ControlError(f"{path}: the master closed the connection; only its owner and root may ask it")
    told = json.loads(answer)
    if "error" in told:
        raise ControlError(told["error"])
    return told["answer"]


def _line(connection: socket.socket) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        data = connection.recv(65_536)
        if not data:
            break
        received += data
    return bytes(received)


def _why(path: Path, error: OSError) -> str:
    if isinstance(error, (FileNotFoundError, ConnectionRefusedError)):
        return f"{path}: no master listens there; start one with trisig run --control {path}"
    if isinstance(error, TimeoutError):
        return f"{path}: the master did not answer within {_PATIENCE:g} s"
    return f"{path}: {error.strerror or error}"
