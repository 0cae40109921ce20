"""Applications in Lua: `trisig.lua.load`, and what their table `uwsgi` has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from witness import eventually, unhandled

import trisig
from trisig._api.signals import application_of
from trisig._model.targets import Topology
from trisig.lua import LuaError, load

# As uWSGI's description of the framework has it, but for two dots too many at the end of the second line.
EXAMPLE = """
function hello_signal(sig)
    print("i am Lua, received signal " .. sig)
end

-- define a single signal table item (signal 1)
uwsgi.register_signal(1, "worker", hello_signal)
"""

# Writes a line to `notes`, in one piece.
NOTE = """
function note(...)
    local file = io.open("notes", "a")
    file:write(table.concat({...}, " ") .. "\\n")
    file:close()
end
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(folder: Path, source: str) -> trisig.Signals:
    """The application that a script declares."""
    (folder / "app.lua").write_text(source)
    return load(folder / "app.lua")


async def notes_with(folder: Path, *wanted: str) -> list[str]:
    """All notes, once these are among them."""

    def look() -> list[str] | None:
        found = (folder / "notes").read_text().splitlines() if (folder / "notes").exists() else []
        return found if set(wanted) <= set(found) else None

    return await eventually(look)


async def test_the_example_of_the_description(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It registers a handler, which runs in a worker."""
    signals = loaded(here, EXAMPLE)
    async with trisig.open_master(signals, workers=2):
        await signals.send(1)
    assert capfd.readouterr().out == "i am Lua, received signal 1\n"


async def test_what_the_table_has(here: Path) -> None:
    """Signals, what raises them, services that wait, and who a process is."""
    (here / "watched").mkdir()
    (here / "helper.lua").write_text("return {number = 10 / 2}\n")
    source = """
        local helper = require("helper")  -- 5.0
        uwsgi.register_signal(helper.number, "farm_busy", function(sig)
            note("farm", sig, uwsgi.signal_received(), tostring(uwsgi.in_farm("busy")), tostring(uwsgi.in_farm("idle")))
        end)
        uwsgi.register_signal(6, "worker1", function(sig)
            note("timer", uwsgi.worker_id(), uwsgi.mule_id(), uwsgi.spooler_id())
        end)
        uwsgi.add_timer(6, 0.01, 1)
        uwsgi.add_ms_timer(7, 10)
        uwsgi.add_rb_timer(8, 0.01, 1)
        uwsgi.add_cron(9, -1, -1, -1, -1, -1)
        uwsgi.add_cron(9, "* * * * *")
        uwsgi.add_file_monitor(10, "watched")
        uwsgi.service("mule2", function()
            note("service", uwsgi.mule_id())
            while true do
                uwsgi.signal(uwsgi.signal_wait(20) + 1)
            end
        end)
        note("registered", tostring(uwsgi.signal_registered(6)), tostring(uwsgi.signal_registered(7)))
    """
    signals = loaded(here, NOTE + source)
    async with trisig.open_master(signals, workers=1, mules=2, farms={"busy": (1,)}) as master:
        await signals.send(5)
        await signals.send(20)
        (here / "watched" / "file").touch()
        found = await notes_with(here, "farm 5 5 true false", "timer 1 0 0", "service 2", "registered true false")
        assert found[0] == "registered true false"
        waited = {7, 8, 10, 21}
        while waited:
            waited.discard(await unhandled(signals))
        assert [one.source for one in master.statistics().sources if "cron" in one.source] == [
            "cron of signal 9 at -1 -1 -1 -1 -1",
            "cron of signal 9 at * * * * *",
        ]


async def test_each_process_has_its_own_numbers(here: Path) -> None:
    """Neither a variable nor the state of the generator of random numbers is shared."""
    source = """
        count = 0
        math.randomseed(1)
        uwsgi.register_signal(1, "workers", function()
            count = count + 1
            note(math.random(1 << 40), count)
        end)
    """
    signals = loaded(here, NOTE + source)
    async with trisig.open_master(signals, workers=3):
        await signals.send(1)
        await signals.send(1)
    pairs = [line.split() for line in (here / "notes").read_text().splitlines()]
    assert len({number for number, _ in pairs}) == 6
    assert sorted(count for _, count in pairs) == ["1"] * 3 + ["2"] * 3


async def test_an_error_is_logged_with_the_traceback_of_lua(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is one record, without frames of Python; the process goes on. Errors of trisig know their line of Lua."""
    source = """
local function inner() local t = nil; return t.field end
function broken(sig) inner() end
uwsgi.register_signal(1, "worker1", broken)
uwsgi.register_signal(2, "worker1", function() note(select(2, pcall(uwsgi.signal, 256))) end)
uwsgi.register_signal(3, "worker1", function() coroutine.wrap(function() uwsgi.signal_wait() end)() end)
uwsgi.register_signal(4, "worker1", function() coroutine.yield() end)
"""
    signals = loaded(here, f"{NOTE.strip()}{source}")
    async with trisig.open_master(signals, workers=1) as master:
        [_, worker] = master.processes
        for signum in (1, 2, 3, 4):
            await signals.send(signum)
        await eventually(lambda: master.statistics().done == 4)
        assert master.statistics().failed == 3
        assert master.processes[1] == worker
    logged = capfd.readouterr().err
    assert logged.count(" failed\n") == 3
    first, third, fourth = [record.splitlines() for record in re.split(r"^\S+ ERROR ", logged, flags=re.MULTILINE)[1:]]
    assert first[:5] == [
        "worker1: the handler of signal 1 failed",
        "    trisig.lua.LuaError: app.lua:6: attempt to index a nil value (local 't')",
        "    stack traceback:",
        "    \tapp.lua:6: in upvalue 'inner'",
        "    \tapp.lua:7: in local 'fn'",
    ]
    assert "app.lua:10: only a handler can wait" in third[1]
    assert "trisig.lua.LuaError: it has yielded, and nobody resumes it" in fourth[1]
    assert (here / "notes").read_text().startswith("a signal is a number from 0 to 255, not 256")


async def test_raising_waits_for_room(here: Path) -> None:
    """A handler that raises more than there is room for goes on when there is; none is lost."""
    source = """
        uwsgi.register_signal(1, "worker", function()
            for n = 1, 20 do uwsgi.signal(50) end
            uwsgi.signal(51)
        end)
    """
    signals = loaded(here, source)
    async with trisig.open_master(signals, workers=1, max_queued=2):
        await signals.send(1)
        assert [await unhandled(signals) for _ in range(21)] == [50] * 20 + [51]


async def test_a_signal_for_another_program(here: Path) -> None:
    """`signal` takes an address; nobody there is an error, and so is what is no address."""
    there = trisig.Signals()
    source = """
        uwsgi.register_signal(1, "worker", function() uwsgi.signal(17, "there") end)
        uwsgi.register_signal(2, "worker", function() note(select(2, pcall(uwsgi.signal, 17, "nowhere"))) end)
        uwsgi.register_signal(3, "worker", function() note(select(2, pcall(uwsgi.signal, 17, "3031"))) end)
    """
    signals = loaded(here, NOTE + source)
    async with (
        trisig.open_master(there, workers=0, sockets=["there"]),
        trisig.open_master(signals, workers=1),
    ):
        for signum in (1, 2, 3):
            await signals.send(signum)
        assert await unhandled(there) == 17
        example = "write HOST:PORT, like 127.0.0.1:3031, or the path of a Unix socket"
        await notes_with(here, "unable to deliver signal 17 to node nowhere", f"'3031' is not an address: {example}")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = = 1", r"^app\.lua:1: unexpected symbol near '='$"),
        ("local x = 1 .. nil", r"^app\.lua:1: attempt to concatenate a nil value\nstack traceback:"),
        ('uwsgi.register_signal(1, "nobody", print)', r"^app\.lua:1: 'nobody' is not a target; write worker"),
        ('uwsgi.register_signal(1, "worker", 5)', r"^app\.lua:1: a handler is a function of Lua, not 5"),
        ('uwsgi.register_signal("1", "worker", print)', r"^app\.lua:1: a signal is a number from 0 to 255, not '1'"),
        ("uwsgi.signal_wait()", r"^app\.lua:1: only a handler can wait"),
        ("uwsgi.signal(1)", r"^app\.lua:1: .*needs a master"),
        ('error({"a table"})', r"^an error that is no string$"),
    ],
)
def test_mistakes_in_a_script(here: Path, source: str, said: str) -> None:
    """Each is an error with its line when the script is loaded."""
    with pytest.raises(LuaError, match=said):
        loaded(here, source)


def test_the_first_line_may_name_an_interpreter(here: Path) -> None:
    """And lines are counted from it."""
    with pytest.raises(LuaError, match=r"^app\.lua:2: here"):
        loaded(here, '#!/usr/bin/env -S trisig run\nerror("here")')


def test_a_script_that_is_not_there() -> None:
    """It is the error of the system."""
    with pytest.raises(FileNotFoundError):
        load("nowhere.lua")


def test_the_scripts_of_the_page_on_lua_load(here: Path) -> None:
    """Each is complete as the page shows it, and its targets are those of the command below it."""
    page = (Path(__file__).parents[2] / "docs" / "lua.md").read_text()
    scripts = re.findall(r"^```lua\n-- (\w+\.lua)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert [name for name, _ in scripts] == ["app.lua", "waiting.lua"]
    for name, source in scripts:
        (here / name).write_text(source)
        application_of(load(name)).check(Topology(2, 1, 0, {}), has_spool=False, has_cluster=False)
