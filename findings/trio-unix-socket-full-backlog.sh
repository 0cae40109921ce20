#!/usr/bin/env bash
# trio 0.35.0 on CPython 3.11, Linux: `trio.open_unix_socket` and a listener whose backlog is full.
#
# One would guess: it waits until there is room, as it does for a TCP connection that is not there yet, or raises
# BlockingIOError, as `connect` of a non-blocking socket does.
#
# Seen: it returns a stream at once. That stream is not connected: `send_all` raises trio.BrokenResourceError, caused by
# "Transport endpoint is not connected". Linux answers a non-blocking `connect` to a unix socket with EAGAIN while the
# backlog is full, does not go on connecting, and has no event for the moment when there is room. trio takes every
# BlockingIOError of `connect` for a connection that is being made, waits until the socket is writable, which an
# unconnected one is at once, and finds no error in SO_ERROR.
#
# So a client that may meet a busy server connects with a socket of its own, and tries again after EAGAIN.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check trio==0.35.0
cat >"$folder/program.py" <<'PYTHON'
import errno
import socket
import sys

import trio

path = sys.argv[1]
waiting = []


def connect():
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    waiting.append(client)
    client.connect(path)


async def main():
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(1)
        try:
            while True:
                connect()
        except BlockingIOError as error:
            print("connect:", errno.errorcode[error.errno])
        with trio.fail_after(10):
            stream = await trio.open_unix_socket(path)
        print("open_unix_socket: returned")
        try:
            await stream.send_all(b"hello")
        except trio.BrokenResourceError as error:
            print("send_all:", errno.errorcode[error.__cause__.errno])
        await stream.aclose()
    for client in waiting:
        client.close()


trio.run(main)
PYTHON
"$folder/venv/bin/python" -c 'import sys, trio; print("Python", sys.version.split()[0], "trio", trio.__version__)'
seen=$("$folder/venv/bin/python" "$folder/program.py" "$folder/socket")
echo "$seen"
[ "$seen" = "$(printf '%s\n' 'connect: EAGAIN' 'open_unix_socket: returned' 'send_all: ENOTCONN')" ]
