"""Messages for mules and farms: whole, in order, to whoever asks; and the decorators that rest on them."""

from __future__ import annotations

from pathlib import Path

from uwsgi_program import decorators, running

APP = """
import uwsgi
from notes import note
from uwsgidecorators import farm, mulefunc, mulemsg
@mulefunc(1)
def in_first(number, *, word): note("mulefunc", uwsgi.mule_id(), number, word)
@mulemsg(3)
def got(message): note("mulemsg", uwsgi.mule_id(), message)
@farm("busy")
def busy(message): note("farm", uwsgi.mule_id(), message)
note("early", uwsgi.mule_msg("early", 3), uwsgi.mule_msg(b"x", 9))
try:
    uwsgi.mule_get_msg()
except ValueError as error:
    note("refused", type(error).__name__)
"""

MULE = """
import threading, uwsgi
import uwsgi_file_app as app
from notes import note
note("sent", uwsgi.mule_msg("to three", 3), uwsgi.farm_msg("busy", b"for the farm"), uwsgi.farm_msg("none", "x"))
note("by name", uwsgi.mule_msg(b"by name", b"busy"))
app.in_first(7, word="x")
note("timeout", uwsgi.mule_get_msg(timeout=0))
uwsgi.mule_msg("a" * 300000, 2)
uwsgi.mule_msg("second", 2)
note("long", len(uwsgi.mule_get_msg()), uwsgi.mule_get_msg())
uwsgi.register_signal(9, "mule2", lambda signum: uwsgi.mule_msg("from a handler", 2))
uwsgi.signal(9)
note("meanwhile", uwsgi.mule_get_msg())
thread = threading.Thread(target=lambda: note("thread", uwsgi.mule_get_msg()))
thread.start()
uwsgi.mule_msg("for the thread", 2)
thread.join()
note("joined")
while True:
    uwsgi.signal_wait()
"""


def test_messages_reach_the_mules_whole(tmp_path: Path) -> None:
    """By number, by farm, by the decorators; of any length, in threads too, with handlers running meanwhile."""
    files = {"app.py": APP, "mule.py": MULE, "uwsgidecorators.py": decorators()}
    words = ("--mule", "--mule=mule.py", "--mule", "--mule", "--farm=busy:4", "--wsgi-file=app.py")
    with running(tmp_path, files, *words) as program:
        program.wait_for(
            "early True False",
            "refused ValueError",
            "sent True None None",
            "mulefunc 1 7 x",
            "mulemsg 3 b'early'",
            "mulemsg 3 b'to three'",
            "farm 4 b'for the farm'",
            "farm 4 b'by name'",
            "timeout b''",
            "long 300000 b'second'",
            "meanwhile b'from a handler'",
            "thread b'for the thread'",
            "joined",
        )
