"""Scripts in Lua as `trisig run`, `check` and `reload` have them, and as `trisig uwsgi` does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from program import read_until, run, running
from uwsgi_program import running as running_uwsgi

from trisig._cli.load import ApplicationError, LoadError, load_signals
from trisig._remote.deliver import deliver

SCRIPT = """
function greet(sig)
    print("VERSION", sig)
    uwsgi.log("caf\\u{e9}, bytes \\xff")
end
uwsgi.register_signal(1, "worker", greet)
uwsgi.register_signal(2, "mules", function() end)
uwsgi.add_timer(1, 3600)
"""

CLASSIC = """
function note(...)
    local file = io.open("notes", "a")
    file:write(table.concat({...}, " ") .. "\\n")
    file:close()
end
uwsgi.register_signal(1, "workers", function(sig) note("got", sig, "worker", uwsgi.worker_id()) end)
uwsgi.register_signal(2, "mule1", function()
    note("waited", uwsgi.signal_wait(20))
    uwsgi.signal(1)
    uwsgi.signal(1, "nowhere")
end)
uwsgi.register_signal(3, "worker1", function()
    uwsgi.lock()
    uwsgi.cache_set("key", "va\\0lue")
    uwsgi.unlock()
    note("cached", #uwsgi.cache_get("key"), tostring(pcall(uwsgi.register_signal, 300)))
end)
uwsgi.add_rb_timer(20, 1, 1)
uwsgi.add_rb_timer(2, 0, 1)
uwsgi.add_rb_timer(3, 0, 1)
note("loaded", uwsgi.version, uwsgi.opt.lua, uwsgi.numproc, tostring(uwsgi.cache_get("x")), uwsgi.SPOOL_OK)
"""


def test_a_script_runs_and_is_reloaded(tmp_path: Path) -> None:
    """`--reload` follows it; the log has what it logs, in any bytes."""
    one, two, socket = SCRIPT.replace("VERSION", "one"), SCRIPT.replace("VERSION", "two"), tmp_path / "socket"
    words = "--mules=1", "--reload", f"--socket={os.path.relpath(socket, tmp_path)}"
    with running(tmp_path, one, *words, application="app.lua") as app:
        assert app.stdout is not None
        deliver(1, os.path.relpath(socket))
        assert app.stdout.readline() == "one\t1\n"
        assert "worker1: caf\u00e9, bytes \\udcff" in read_until(app, "bytes")[-1]
        (tmp_path / "app.lua").write_text("error('not yet')")
        assert "(trisig.lua.LuaError: app.lua:1: not yet)" in read_until(app, "not reloaded")[-1]
        (tmp_path / "app.lua").write_text(two)
        read_until(app, "master: reloaded in")
        deliver(1, os.path.relpath(socket))
        assert app.stdout.readline() == "two\t1\n"


def test_check_names_the_functions(tmp_path: Path) -> None:
    """Those that are global; of others the line."""
    (tmp_path / "app.lua").write_text(SCRIPT)
    shown = run(tmp_path, "check", "app.lua", "--mules=1").stdout
    assert "1       worker  app.greet     queue" in shown
    assert "2       mules   app.<line 7>  queue" in shown


def test_what_is_wrong_with_a_script_is_said(tmp_path: Path) -> None:
    """Its error has Lua's traceback; a file that is not there, and a name in a script, are one line."""
    (tmp_path / "app.lua").write_text("local x = 1\nerror('out of order')\n")
    traceback = r"^trisig\.lua\.LuaError: app\.lua:2: out of order\nstack traceback:\n\t.*'error'\n\tapp\.lua:2: in"
    with pytest.raises(ApplicationError, match=traceback):
        load_signals(str(tmp_path / "app.lua"))
    with pytest.raises(LoadError, match=r"^cannot read 'nowhere\.lua': No such file or directory$"):
        load_signals("nowhere.lua")
    with pytest.raises(LoadError, match=r"^'app\.lua:signals' names something in a Lua script; write app\.lua$"):
        load_signals("app.lua:signals")


@pytest.mark.parametrize(("words", "status"), [(("check", "app.lua"), 2), (("uwsgi", "--lua", "app.lua"), 1)])
def test_without_lupa_one_line_says_what_to_install(tmp_path: Path, words: tuple[str, ...], status: int) -> None:
    """And nothing starts."""
    (tmp_path / "app.lua").write_text(SCRIPT)
    (tmp_path / "lupa.py").write_text("raise ImportError('No module named lupa', name='lupa')\n")
    done = run(tmp_path, *words, **{**os.environ, "PYTHONPATH": str(tmp_path)})
    assert done.returncode == status
    [line] = done.stderr.splitlines()
    assert line.endswith(
        'Lua needs lupa: python -m pip install ".[lua]" in a checkout of trisig (No module named lupa)'
    )


@pytest.mark.parametrize("words", [(), ("--lazy-apps",)])
def test_a_script_under_uwsgi(tmp_path: Path, words: tuple[str, ...]) -> None:
    """It has the functions of the module `uwsgi`, and what the module knows; handlers may wait for signals."""
    with running_uwsgi(
        tmp_path, {"app.lua": CLASSIC}, "--lua=app.lua", "--processes=2", "--cache2=name=c,items=9", "--mules=1", *words
    ) as program:
        notes = program.wait_for("waited 20", "got 1 worker 1", "got 1 worker 2", "cached 6 false")
        assert notes[0] == "loaded 2.0.31 app.lua 2 nil -2"
        program.until(lambda: "app.lua:11: unable to deliver signal 1 to node nowhere" in program.log())
