#!/usr/bin/env bash
# trio 0.35.0 on CPython 3.11: a Unix signal that arrives at the very end of `trio.run`.
#
# One would guess: a program with a handler of its own for SIGTERM (`signal.signal`, not trio's receiver) runs that
# handler and nothing else, whenever the signal comes.
#
# Seen: for a signal that comes while the run ends, CPython also writes a traceback to standard error, "Exception ignored
# when trying to write to the signal wakeup fd: BrokenPipeError", or with OSError, bad file descriptor. trio closes both
# ends of its wake-up socket pair before it takes the writing end back with `signal.set_wakeup_fd`. The handler runs all the same, and the status is 0.
# A program that is sent many signals there, and whose standard error is a pipe that nobody reads, blocks once the pipe
# is full of tracebacks.
#
# `signal.set_wakeup_fd(-1)` as the last step of the main function avoids it.
#
# The moment is chosen here by sockets that raise the signal right after they were closed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check trio==0.35.0
cat >"$folder/program.py" <<'PYTHON'
import signal
import socket
import sys

import trio

heard = []
close = socket.socket.close


def closing(self):
    close(self)
    signal.raise_signal(signal.SIGTERM)


async def main():
    socket.socket.close = closing
    if "careful" in sys.argv:
        signal.set_wakeup_fd(-1)


signal.signal(signal.SIGTERM, lambda *_: heard.append("SIGTERM"))
trio.run(main)
print(*sorted(set(heard)))
PYTHON
run() { "$folder/venv/bin/python" "$folder/program.py" "$@" 2>"$folder/errors"; }

"$folder/venv/bin/python" -c 'import sys, trio; print("Python", sys.version.split()[0], "trio", trio.__version__)'
heard=$(run)
echo "handler: $heard"
cat "$folder/errors"
[ "$heard" = SIGTERM ]
grep -q "Exception ignored when trying to write to the signal wakeup fd" "$folder/errors"
grep -q "BrokenPipeError" "$folder/errors"

heard=$(run careful)
echo "with the wake-up descriptor taken back first: $heard"
[ "$heard" = SIGTERM ]
[ ! -s "$folder/errors" ]
