"""Two chat servers that share their rooms."""

from __future__ import annotations

import signal
from pathlib import Path

import trio
from postgres_server import a_server
from witness import eventually

from chat_harness import BOUND, Terminal, Visitor, chat_server, everyone


async def test_two_servers_share_their_rooms(tmp_path: Path) -> None:
    """What is said on one is read on the other, once; what it has not got when it is killed it reads later."""
    folders = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
    with a_server() as database:
        database.start()
        options = ("--workers=2", f"--cluster={database.tcp()}")
        with chat_server(folders[0], *options, "--node=one") as one:
            with chat_server(folders[1], *options, "--node=two") as two:
                async with everyone(one) as (nursery, ada, bob):
                    eve = await nursery.start(Visitor(two, "eve").live)
                    bert = await nursery.start(Terminal(two, "bert").live)
                    await ada.say("from one")
                    await eve.until(lambda: eve.bodies == ["from one"])
                    await bert.type("from two")
                    for person in (ada, eve):
                        await person.until(lambda: person.bodies == ["from one", "from two"])  # noqa: B023  at once
                    await bob.until(lambda: bob.said == ["from one", "from two"])
                    two.process.send_signal(signal.SIGSTOP)
                    await ada.say("to be read later")
                    await eventually(lambda: database.ask("SELECT 1 FROM trisig.signal WHERE node = 'two'"))
                two.process.kill()
                two.process.wait()
            with trio.fail_after(BOUND):
                with chat_server(folders[1], *options, "--node=two") as two:
                    async with trio.open_nursery() as nursery:
                        eve = await nursery.start(Visitor(two, "eve").live)
                        await eve.until(lambda: eve.bodies == ["from one", "from two", "to be read later"])
                        assert two.stop() == 0
                        nursery.cancel_scope.cancel()
            assert one.stop() == 0
        assert "Traceback" not in one.log + two.log
