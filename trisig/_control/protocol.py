"""The language of the control socket: one JSON object a line, in UTF-8.

    client                                master
    {"do": "cheap", "number": 2}    ->
                                    <-    {"waiting": "worker2 is finishing signal 7"}     any number of these
                                    <-    {"answer": null}                                 or {"error": "why not"}

`do` names the command; the other fields are its arguments. An answer that is text is a remark for people. A client may
send its next request at any time on the same connection; requests are answered in order. A client that closes its end
before it has its answer gives the request up.
"""

from __future__ import annotations

import json
from typing import Any

LINE_BYTES = 65_536  # the longest request
EXAMPLE = '{"do": "status"}'


def encode(message: dict[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message).encode() + b"\n"


def request(do: str, arguments: dict[str, Any]) -> bytes:
    """The line that asks for a command."""
    return encode({"do": do, **arguments})


def parse_request(line: bytes) -> tuple[str, dict[str, Any]]:
    """The command that a line asks for, and its arguments.

    Raises:
        TypeError, ValueError, RecursionError: it is not a request.
    """
    message = json.loads(line)
    if not isinstance(message, dict) or not isinstance(message.get("do"), str):
        raise TypeError(f"a request is an object such as {EXAMPLE}")
    return message.pop("do"), message


def parse_reply(line: bytes) -> dict[str, Any]:
    """What the master has sent: an object with `waiting`, `error` or `answer` in it.

    Raises:
        ValueError: no master sends this.
    """
    reply = json.loads(line)
    if not isinstance(reply, dict) or not reply.keys() & {"waiting", "error", "answer"}:
        raise ValueError("not a reply")
    return reply
