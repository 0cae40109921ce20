"""Programs that behave alike under uWSGI and trisig, and what they note; differences have their reason here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Scenario:
    """A program and what it notes.

    Attributes:
        files: by name; `app.py` is imported.
        words: of the command line, beyond `--wsgi-file app.py`.
        notes: every one must be noted, and what begins like one of them must be among them.
        in_uwsgi: what uWSGI notes instead, and why trisig does not: note of trisig -> (note of uWSGI or None, reason).
        decorated: it imports uwsgidecorators.
        own_words: of the command line of trisig alone.
    """

    files: Mapping[str, str]
    words: tuple[str, ...]
    notes: tuple[str, ...]
    in_uwsgi: Mapping[str, tuple[str | None, str]] = field(default_factory=dict)
    decorated: bool = False
    own_words: tuple[str, ...] = ()


IDENTITY = Scenario(
    files={
        "app.py": """
import os, sys, threading, uwsgi
from notes import note
where = lambda: f"{uwsgi.worker_id()} {uwsgi.mule_id()}"
note("import", __name__, where(), uwsgi.masterpid() == os.getpid(), uwsgi.numproc)
note("opt", sorted((k, v) for k, v in uwsgi.opt.items() if k in ("custom", "master", "mule", "processes")))
note("version", uwsgi.version, uwsgi.version_info, uwsgi.is_a_reload, uwsgi.i_am_the_lord("x"))
note("threads", uwsgi.opt["threads"], uwsgi.cores, uwsgi.has_threads)
note("absent", hasattr(uwsgi, "atexit"), hasattr(uwsgi, "request_context"), hasattr(uwsgi, "spool"))
note("outside", uwsgi.request_id(), uwsgi.total_requests(), uwsgi.logsize(), uwsgi.connection_fd(),
     uwsgi.set_logvar("a", "b"), uwsgi.rpc_list(), uwsgi.i_am_the_spooler(), uwsgi.in_farm("busy"))
def fork_hook():
    main = threading.current_thread() is threading.main_thread()
    note("hook", where(), uwsgi.masterpid() == os.getppid(), uwsgi.in_farm("busy"), uwsgi.in_farm("idle"), main)
uwsgi.post_fork_hook = fork_hook
""",
        "script.py": """
import sys, uwsgi
from notes import note
note("script", __name__, __file__, sys.argv, uwsgi.mule_id())
while True:
    uwsgi.signal_wait()
""",
        "functions.py": """
import uwsgi
from notes import note
def run():
    note("function", __name__, uwsgi.mule_id())
    while True:
        uwsgi.signal_wait()
""",
    },
    words=(
        "--master", "--processes=2", "--mule", "--mule=script.py", "--mule=functions:run", "--farm=busy:1,2",
        "--farm=idle:3", "--set=custom=1", "--threads=2",
    ),
    notes=(
        "import uwsgi_file_app 0 0 True 2",
        "opt [('custom', b'1'), ('master', True), ('mule', b'functions:run'), ('processes', b'2')]",
        "version b'2.0.31' (2, 0, 31, 0, b'') False False",
        "threads b'2' 2 1",
        "absent False False False",
        "outside 0 0 0 0 None () None None",
        "hook 1 0 True None None True",
        "hook 2 0 True None None True",
        "hook 0 1 True True None True",
        "hook 0 2 True True None True",
        "hook 0 3 True None True True",
        "script __main__ script.py ['uwsgi'] 2",
        "function functions 3",
    ),
)  # fmt: skip

SIGNALS = Scenario(
    files={
        "app.py": """
import threading, uwsgi
from notes import note
def where(): return f"{uwsgi.worker_id()} {uwsgi.mule_id()}"
def handler(signum): note("ran", signum, where(), threading.current_thread() is threading.main_thread())
def attempt(what, call):
    try:
        note(what, call())
    except Exception as error:
        note(what, type(error).__name__, error if isinstance(error, ValueError) else "")
attempt("register", lambda: uwsgi.register_signal(10, "workers", handler))
attempt("again", lambda: uwsgi.register_signal(10, "workers", handler))
attempt("two", lambda: uwsgi.register_signal(11, "workers"))
attempt("named", lambda: uwsgi.register_signal(11, "workers", handler=handler))
attempt("long", lambda: uwsgi.register_signal(11, "x" * 64, handler))
attempt("bogus", lambda: uwsgi.register_signal(12, "bogus", handler))
attempt("wrapped", lambda: uwsgi.register_signal(256 + 13, "mule1", handler))
attempt("any", lambda: uwsgi.register_signal(14, "mules", handler))
attempt("farm", lambda: uwsgi.register_signal(15, "farm_busy", handler))
attempt("first farm", lambda: uwsgi.register_signal(16, "farm1", handler))
attempt("one", lambda: uwsgi.register_signal(17, "worker2", handler))
attempt("registered", lambda: (uwsgi.signal_registered(10), uwsgi.signal_registered(13), uwsgi.signal_registered(99)))
attempt("received", uwsgi.signal_received)
attempt("text", lambda: uwsgi.signal("3"))
attempt("float", lambda: uwsgi.signal(3.0))
attempt("seconds", lambda: uwsgi.add_timer(1, 0.5))
attempt("never", lambda: (uwsgi.add_timer(200, 0), uwsgi.add_timer(200, -1)))
attempt("cron", lambda: uwsgi.add_cron(200, 99, 60, 0, 0, 99))
attempt("file", lambda: uwsgi.add_file_monitor(200, "/nonexistent/file"))
attempt("lock", lambda: uwsgi.lock("name"))
attempt("lock number", lambda: uwsgi.lock(7))
uwsgi.register_signal(20, "mule2", lambda signum: note("raised in mule", signum))
""",
        "raiser.py": """
import uwsgi
from notes import note
for number in (10, 256 + 10, 13, 14, 15, 16, 17):
    note("signal", number, uwsgi.signal(number))
while True:
    note("waited", uwsgi.signal_wait(20), uwsgi.signal_received())
    uwsgi.lock()
    note("locked", uwsgi.is_locked(), uwsgi.unlock(), uwsgi.is_locked())
""",
        "feeder.py": """
import time, uwsgi
time.sleep(0.3)
uwsgi.signal(20)
while True:
    uwsgi.signal_wait()
""",
    },
    words=("--master", "--processes=2", "--mule", "--mule=raiser.py", "--mule=feeder.py", "--farm=busy:1"),
    notes=(
        "register None",
        "again ValueError unable to register signal",
        "two TypeError ",
        "named TypeError ",
        "long ValueError unable to register signal",
        "bogus None",
        "wrapped None",
        "registered (True, True, None)",
        "received 0",
        "text TypeError ",
        "float TypeError ",
        "seconds TypeError ",
        "never (None, None)",
        "cron True",
        "file None",
        "lock TypeError ",
        "lock number ValueError Invalid lock number",
        *(f"signal {number} None" for number in (10, 266, 13, 14, 15, 16, 17)),
        "ran 10 1 0 True",
        "ran 10 2 0 True",
        "ran 13 0 1 True",
        "ran 14 0 1 True",
        "ran 14 0 2 True",
        "ran 14 0 3 True",
        "ran 15 0 1 True",
        "ran 16 0 1 True",
        "ran 17 2 0 True",
        "raised in mule 20",
        "waited b'' 20",
        "locked True None False",
    ),
)

DECORATORS = Scenario(
    decorated=True,
    files={
        "app.py": """
import os, time, uwsgi
from notes import note
from uwsgidecorators import (cron, filemon, get_free_signal, harakiri, lock, mule, muleloop, postfork, rbtimer, rpc,
                             signal, thread, timer)
note("free", get_free_signal())
def where(): return f"{uwsgi.worker_id()} {uwsgi.mule_id()}"
@signal(17, target="workers")
def on_signal(signum): note("signal", signum, where())
@timer(1, target="mule1")
def on_timer(signum): note("timer", where())
@rbtimer(1, target="mule1")
def on_rb_timer(signum): note("rbtimer", where())
@cron(-1, -1, -1, -1, -1, target="mule1")
def on_cron(signum): note("cron", where())
@filemon("watched", target="mule1")
def on_file(signum): note("filemon", where())
@postfork
def everywhere(): note("postfork", where())
@postfork(2)
def second(): note("second", where())
@lock
def locked(): note("locked", uwsgi.is_locked())
@thread
def threaded(what): note("thread", what, where())
@harakiri(30)
def bounded(): return "bounded"
note("rpc", rpc("name")(where) is where)
@mule(2)
def brain():
    note("mule", where())
    uwsgi.signal(17)
    locked()
    threaded("x")
    note("harakiri", bounded(), uwsgi.is_locked())
    with open("watched", "w") as file:
        file.write("x")
    while True:
        uwsgi.signal_wait()
@muleloop(3)
def loop():
    note("muleloop", where())
    uwsgi.signal_wait(18)
    note("muleloop again", where())
@signal(18, target="mule3")
def on_eighteen(signum): note("eighteen", where())
@timer(1, target="mule2")
def raise_eighteen(signum): uwsgi.signal(18)
""",
        "watched": "",
    },
    words=("--master", "--processes=2", "--mules=3"),
    notes=(
        "free 0",
        "signal 17 1 0",
        "signal 17 2 0",
        "timer 0 1",
        "rbtimer 0 1",
        "filemon 0 1",
        *(f"postfork {where}" for where in ("1 0", "2 0", "0 1", "0 2", "0 3")),
        "second 2 0",
        "locked True",
        "thread x 0 2",
        "harakiri bounded False",
        "rpc True",
        "mule 0 2",
        "muleloop 0 3",
        "muleloop again 0 3",
        "eighteen 0 3",
    ),
)

STRICT = Scenario(
    files={
        "app.py": """
import time, uwsgi
from notes import note
ran = []
uwsgi.register_signal(9, "mule1", ran.append)
uwsgi.register_signal(10, "mule2", lambda signum: note("cron at once"))
uwsgi.register_signal(11, "mule2", lambda signum: note("cron of another minute"))
uwsgi.add_cron(10, -1, -1, -1, -1, -1)
uwsgi.add_cron(11, (time.localtime().tm_min + 30) % 60, -1, -1, -1, -1)
""",
        "script.py": """
import uwsgi
import uwsgi_file_app as app
from notes import note
uwsgi.signal(9)
note("default", uwsgi.mule_get_msg(timeout=1), app.ran)
note("handled", uwsgi.mule_get_msg(signals=False), app.ran)
note("timeout", uwsgi.mule_get_msg(signals=None, timeout=0))
uwsgi.mule_msg("text", 1)
note("message", uwsgi.mule_get_msg(signals=False, farms=False))
while True:
    uwsgi.signal_wait()
""",
    },
    words=("--master", "--processes=1", "--mule=script.py", "--mule"),
    own_words=("--strict-uwsgi",),
    notes=("default b'' []", "handled None [9]", "timeout b''", "message b'text'", "cron at once"),
)

READY = Scenario(
    files={
        "app.py": """
import os, signal, uwsgi
from notes import note
def handler(signum):
    if not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    done = [line.split()[1] for line in open("notes") if line.startswith("hook ")]
    note("order", *done)
uwsgi.register_signal(1, "worker1", handler)
uwsgi.add_timer(1, 1)
""",
    },
    words=(
        "--master",
        "--processes=1",
        "--mule",
        "--hook-accepting1-once=appendn:notes hook 1-once",
        "--hook-accepting1=appendn:notes hook 1",
        "--hook-accepting-once=appendn:notes hook once",
        "--hook-accepting=appendn:notes hook each",
        "--hook-post-fork=create:forked -",
    ),
    notes=(
        "order each once 1 1-once each 1",
        *(f"hook {name}" for name in ("each", "once", "1", "1-once")),
    ),
)

SCENARIOS = {"identity": IDENTITY, "signals": SIGNALS, "decorators": DECORATORS, "strict": STRICT, "ready": READY}
