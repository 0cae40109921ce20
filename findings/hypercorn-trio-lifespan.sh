#!/usr/bin/env bash
# hypercorn 0.18.0 with its trio worker (trio 0.35.0, CPython 3.11): an application that ignores the lifespan.
#
# One would guess: hypercorn serves WSGI applications with each of its workers, and an ASGI application may return from
# the scope `lifespan` at once, as the wrapper that hypercorn puts around WSGI applications does.
#
# Seen: the asyncio worker serves such an application. The trio worker ends while it starts, with trio.ClosedResourceError
# in a nest of exception groups, and with status 0. When the application has returned, the task for the lifespan closes
# its channel, and the server then sends "lifespan.startup" into it. An ASGI application that raises instead is served,
# with a warning, since the server asks first whether the lifespan is supported.
#
# So with trio, a WSGI application needs another server, and an ASGI application answers the lifespan or raises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check hypercorn==0.18.0 trio==0.35.0
cat >"$folder/programs.py" <<'PYTHON'
def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


async def answer(send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def returns(scope, receive, send):
    if scope["type"] == "http":
        await answer(send)


async def raises(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await answer(send)
PYTHON
cat >"$folder/look.py" <<'PYTHON'
"""Start hypercorn with a worker and a program; print what it answers, or its last error and its status."""

import socket
import subprocess
import sys
import time
from urllib.request import urlopen

worker, program = sys.argv[1:]
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
command = [sys.executable, "-m", "hypercorn", "-k", worker, "-b", f"127.0.0.1:{port}", program]
server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
try:
    for _ in range(100):
        time.sleep(0.1)
        try:
            print(urlopen(f"http://127.0.0.1:{port}/", timeout=5).read().decode())
            break
        except OSError:
            if server.poll() is not None:
                errors = [line.strip(" |") for line in server.stderr.read().splitlines() if "ClosedResource" in line]
                print(errors[-1] if errors else "another error", "status", server.returncode)
                break
finally:
    server.terminate()  # its worker is a process of its own, which SIGKILL would leave behind
    server.wait()
PYTHON
cd "$folder"
look() {
    seen=$("$folder/venv/bin/python" look.py "$1" "$2")
    echo "$1, $2: $seen"
    [ "$seen" = "$3" ]
}
"$folder/venv/bin/python" -c 'import sys, trio; print("Python", sys.version.split()[0], "trio", trio.__version__)'
ends="trio.ClosedResourceError status 0"
look asyncio wsgi:programs:wsgi hello
look asyncio programs:returns hello
look trio wsgi:programs:wsgi "$ends"
look trio programs:returns "$ends"
look trio programs:raises hello
