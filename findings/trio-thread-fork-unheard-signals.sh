#!/usr/bin/env bash
# trio 0.35.0 on CPython 3.13, 3.14 and 3.15: Unix signals in a process that a thread has forked.
#
# One would guess: it makes no difference where a process with the start method "fork" was started. The thread that forked
# is the main thread of the new process, so the Python handler of a Unix signal runs there soon after the signal.
#
# Seen: started by `trio.to_thread.run_sync(process.start)`, the new process does not run the handler while it computes,
# for as long as no system call of it is interrupted. Started in the main thread, it runs the handler at once. From
# CPython 3.13 on, a signal marks the thread state that was the main one when the interpreter began; in a process
# that another thread has forked that one is gone. With CPython 3.11 and 3.12 both run the handler at once.
#
# Needs CPython 3.13 or later: PYTHON=python3.13 findings/trio-thread-fork-unheard-signals.sh
set -euo pipefail
python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then
  echo "needs Python 3.13 or later: write PYTHON=python3.13 $0" >&2
  exit 2
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check trio==0.35.0
cat >"$folder/program.py" <<'PYTHON'
import multiprocessing
import os
import signal
import sys
import time

import trio

fork = multiprocessing.get_context("fork")


def compute(answers):
    heard = []
    signal.signal(signal.SIGUSR1, lambda *_: heard.append(time.monotonic()))
    end = time.monotonic() + 2
    answers.send("computes")
    while not heard and time.monotonic() < end:
        pass
    answers.send("heard" if time.monotonic() < end else "not heard within 2 s")
    os._exit(0)


async def started(how):
    ours, theirs = fork.Pipe()
    process = fork.Process(target=compute, args=(theirs,))
    await how(process.start)
    assert ours.recv() == "computes"
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGUSR1)
    answer = ours.recv()
    process.join()
    return answer


async def here(start):
    start()


async def main():
    print("Python", sys.version.split()[0], "trio", trio.__version__)
    print("started in the main thread:", await started(here))
    print("started in another thread:", await started(trio.to_thread.run_sync))


trio.run(main)
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/program.py" | tee "$folder/seen"
grep -qx "started in the main thread: heard" "$folder/seen"
grep -qx "started in another thread: not heard within 2 s" "$folder/seen"
