#!/usr/bin/env bash
# uWSGI 2.0.31: reload-on-rss with a worker that handles signals and no requests.
#
# One would guess: a worker whose resident memory is above `reload-on-rss` is replaced when its handler has ended.
#
# Seen: it never is, however large it becomes and however many signals it handles. uWSGI looks at the memory of a worker
# after a request only. The control shows that the same worker handled several signals meanwhile, with five times
# the memory that the option allows.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --quiet --disable-pip-version-check uwsgi==2.0.31
cat >"$folder/app.py" <<'PYTHON'
import os

import uwsgi

kept = []


def grow(signum):
    if not kept:
        kept.append(b"x" * (250 * 2**20))
    with open("/proc/self/statm") as sizes:
        resident = int(sizes.read().split()[1]) * os.sysconf("SC_PAGESIZE") // 2**20
    with open("seen", "a") as seen:
        seen.write(f"{os.getpid()} {resident}\n")


uwsgi.register_signal(1, "worker", grow)
uwsgi.add_rb_timer(1, 1)


def application(environ, start_response):
    start_response("200 OK", [])
    return [b""]
PYTHON
cd "$folder"
timeout --signal=INT 12 venv/bin/uwsgi --master --socket=127.0.0.1:0 --wsgi-file=app.py --reload-on-rss=50 \
  --min-worker-lifetime=0 >log 2>&1 || true
grep -m1 -o "Starting uWSGI [0-9.]*" log
awk '{ print "worker", $1, "has", $2, "MiB" }' seen
[ "$(cut -d' ' -f1 seen | sort -u | wc -l)" = 1 ]
[ "$(awk '$2 > 250' seen | wc -l)" -ge 5 ]
echo "one worker all along, above the 50 MiB of reload-on-rss"
