"""The operator's side of the control socket for a program that must not wait: one request, one answer, with trio."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import trio

from .client import ControlError, RefusedError, why_unreachable
from .protocol import parse_reply, request
from .unix_stream import open_unix_stream


async def ask_master(path: Path, do: str, **arguments: object) -> Any:
    """Ask the master at a control socket for a command; return its answer.

    Cancelling this gives the request up.

    Raises:
        RefusedError: the master refuses.
        ControlError: there is none, or it ends before it has answered.
    """
    try:
        stream = await open_unix_stream(path)
    except OSError as error:
        raise ControlError(f"control socket {path}: {why_unreachable(path, error)}") from error
    async with stream:
        try:
            await stream.send_all(request(do, arguments))
            async with aclosing(_lines(stream)) as lines:
                async for line in lines:
                    reply = parse_reply(line)
                    if "error" in reply:
                        raise RefusedError(reply["error"])
                    if "answer" in reply:
                        return reply["answer"]
        except trio.BrokenResourceError:
            pass
        except ValueError:
            raise ControlError(f"control socket {path}: no trisig master listens there") from None
    raise ControlError(f"control socket {path}: the master has ended, or has closed the connection")


async def _lines(stream: trio.SocketStream) -> AsyncGenerator[bytes, None]:
    rest = b""
    async for data in stream:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line
