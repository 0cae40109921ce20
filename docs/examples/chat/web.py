"""The web side: the files of the page over HTTP, and the WebSocket that the page talks through.

h11 and wsproto read the two protocols and leave all sending to us. Servers that run whole applications were tried
first: the one for trio shields what it sends from cancellation, so a browser that stops reading could neither be
dropped nor left behind when the server stops.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import aclosing
from pathlib import Path

import h11
import trio
from wsproto.utilities import RemoteProtocolError

from client import Client
from events import Notice
from hosts import is_allowed
from hub import Hub
from words import BadInput, Join, Older, Say, parse
from ws import WebSocketLine, drain

PATIENCE = 10.0  # seconds for a whole request, and for taking the answer
BEAT = 15.0  # seconds of silence after which the page is told that the connection lives
CHUNK = 16 * 1024
OTHER_NAME = "This server does not go by that name. Use its address, or start it with --allow-host NAME."

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Read once, in the master: no request waits for a disk, and none fails while the files are being replaced.
_FILES = (path for path in Path(__file__).with_name("page").iterdir() if path.suffix in _KINDS)
_PAGE = {path.name: (_KINDS[path.suffix], path.read_bytes()) for path in _FILES}
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'"


async def serve_web(names: Collection[str], stream: trio.SocketStream, client: Client, hub: Hub) -> None:
    """Serve one connection: a request for a file, or a WebSocket until either side ends it.

    The server goes by some names besides localhost and its address, and answers to no others.
    """
    line = None
    with trio.move_on_after(PATIENCE):
        line = await _serve_request(names, stream)
    if line is not None:
        await _talk(line, client, hub)


# HTTP


async def _serve_request(names: Collection[str], stream: trio.SocketStream) -> WebSocketLine | None:
    http = h11.Connection(h11.SERVER)
    request = await _read_request(stream, http)
    if request is None:
        return None
    if not is_allowed(dict(request.headers).get(b"host", b"").decode("latin-1"), names):
        await _refuse(stream, http, 403, OTHER_NAME)
        return None
    if _asks_for_socket(request):
        return await _open_socket(stream, http, request)
    await _answer(stream, http, request)
    return None


async def _read_request(stream: trio.SocketStream, http: h11.Connection) -> h11.Request | None:
    while True:
        try:
            event = http.next_event()
        except h11.RemoteProtocolError as problem:
            await _refuse(stream, http, problem.error_status_hint)
            return None
        if event is h11.NEED_DATA:
            http.receive_data(await stream.receive_some(CHUNK))
        else:
            return event if isinstance(event, h11.Request) else None


def _asks_for_socket(request: h11.Request) -> bool:
    return request.target == b"/talk" and dict(request.headers).get(b"upgrade", b"").lower() == b"websocket"


async def _answer(stream: trio.SocketStream, http: h11.Connection, request: h11.Request) -> None:
    if request.method not in {b"GET", b"HEAD"}:
        await _refuse(stream, http, 405)
        return
    name = request.target.partition(b"?")[0].decode().removeprefix("/") or "index.html"
    if name not in _PAGE:
        await _refuse(stream, http, 404)
        return
    kind, body = _PAGE[name]
    await _respond(stream, http, 200, kind, b"" if request.method == b"HEAD" else body, len(body))


async def _refuse(stream: trio.SocketStream, http: h11.Connection, status: int, why: str = "") -> None:
    words = f"{status} {why}".strip().encode() + b"\n"
    await _respond(stream, http, status, "text/plain", words, len(words))


async def _respond(
    stream: trio.SocketStream, http: h11.Connection, status: int, kind: str, body: bytes, length: int
) -> None:
    headers = [
        ("content-type", kind),
        ("content-length", str(length)),
        ("content-security-policy", _POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-cache"),
        ("connection", "close"),
    ]
    # A client that has said nonsense is past the point where h11 would answer it otherwise.
    response = h11.Response(status_code=status, headers=headers)
    data = http.send(response) or b""
    if body:
        data += http.send(h11.Data(data=body)) or b""
    await stream.send_all(data)
    await stream.send_eof()
    await drain(stream)


# WebSocket


async def _open_socket(stream: trio.SocketStream, http: h11.Connection, request: h11.Request) -> WebSocketLine | None:
    headers = [(bytes(name), bytes(value)) for name, value in request.headers]
    if not _is_from_here(dict(headers)):
        await _refuse(stream, http, 403)
        return None
    try:
        line = WebSocketLine(stream, headers, request.target.decode("ascii"), http.trailing_data[0])
    except RemoteProtocolError:
        await _refuse(stream, http, 400)
        return None
    await line.accept()
    return line


def _is_from_here(headers: dict[bytes, bytes]) -> bool:
    """A page of somebody else's, open in the same browser, must not talk in its user's name."""
    origin = headers.get(b"origin")
    return origin is None or origin.partition(b"://")[2] == headers.get(b"host")


async def _talk(line: WebSocketLine, client: Client, hub: Hub) -> None:
    async with trio.open_nursery() as nursery, aclosing(line.messages(client)) as messages:
        nursery.start_soon(_write, client, line, nursery.cancel_scope)
        async for message in messages:
            await client.keep_pace()
            try:
                await _obey(message, client, hub)
            except BadInput as problem:
                await client.put([Notice(str(problem), nonce=problem.nonce)])
        nursery.cancel_scope.cancel()


async def _write(client: Client, line: WebSocketLine, connection: trio.CancelScope) -> None:
    await client.write(line, BEAT)
    await line.close()
    connection.cancel()


async def _obey(message: str, client: Client, hub: Hub) -> None:
    request = parse(message)
    if not (client.room or isinstance(request, Join)):
        raise BadInput("Enter a room first.")
    match request:
        case Join():
            await hub.join(client, request)
        case Say():
            await hub.say(client, request)
        case Older():
            await hub.show_older(client, request)
