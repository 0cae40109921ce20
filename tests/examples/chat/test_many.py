"""Many clients over several workers: everyone is shown everything once, in one order, whoever dies meanwhile."""

import os
import random
import signal
from collections import Counter
from pathlib import Path

import trio

from chat_harness import Server, Terminal, Visitor, chat_server

VISITORS, EACH = 100, 5
TERMINALS = 12
BOUND = 180  # seconds; a thirtieth of it when nothing else keeps the two cores busy


async def enter(nursery: trio.Nursery, server: Server, count: int) -> list[Visitor]:
    """Let visitors in, a few at a time."""
    visitors = [Visitor(server, f"v{number}") for number in range(count)]
    few = trio.CapacityLimiter(20)

    async def one(visitor: Visitor) -> None:
        async with few:
            await nursery.start(visitor.live)

    async with trio.open_nursery() as entering:
        for visitor in visitors:
            entering.start_soon(one, visitor)
    return visitors


async def test_a_killed_worker_costs_nobody_a_message(tmp_path: Path) -> None:
    """100 clients, 500 messages, 4 workers, one SIGKILLed: each client sees each message once, all in one order."""
    with chat_server(tmp_path) as server, trio.fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            visitors = await enter(nursery, server, VISITORS)
            terminals = [Terminal(server, f"t{number}") for number in range(TERMINALS)]
            for terminal in terminals:
                await nursery.start(terminal.live)
            crowd = Counter(visitor.welcomes[-1]["worker"] for visitor in visitors)
            assert len(crowd) > 1
            doomed = max(crowd, key=lambda number: crowd[number])

            async def talk(visitor: Visitor) -> None:
                for number in range(EACH):
                    await trio.sleep(random.uniform(0, 1))
                    await visitor.say(f"{visitor.name}#{number}")

            async with trio.open_nursery() as talking:
                for visitor in visitors:
                    talking.start_soon(talk, visitor)
                await visitors[0].until(lambda: len(visitors[0].texts) > VISITORS * EACH // 4)
                assert len(visitors[0].texts) < VISITORS * EACH * 3 // 4
                os.kill(server.worker_pid(doomed), signal.SIGKILL)
            for visitor in visitors:
                await visitor.until(lambda visitor=visitor: len(visitor.texts) >= VISITORS * EACH)
            await trio.sleep(0.3)  # what is shown twice would come now
            whole = [terminal for terminal in terminals if not terminal.ended]
            nursery.cancel_scope.cancel()
        assert server.stop() == 0

    order = visitors[0].texts
    assert [number for number, _ in order] == sorted({number for number, _ in order})
    assert sorted(visitors[0].bodies) == sorted(f"v{n}#{m}" for n in range(VISITORS) for m in range(EACH))
    for visitor in visitors:
        assert visitor.texts == order
    came_back = [visitor for visitor in visitors if len(visitor.welcomes) > 1]
    assert {visitor.welcomes[0]["worker"] for visitor in came_back} == {doomed}
    assert len(came_back) == crowd[doomed]
    assert whole
    for terminal in whole:
        assert terminal.said == visitors[0].bodies


async def test_hundreds_at_once(tmp_path: Path) -> None:
    """300 clients that come in the same moment all get in, and all read what one of them says."""
    with chat_server(tmp_path) as server, trio.fail_after(BOUND):
        async with trio.open_nursery() as nursery:
            visitors = [Visitor(server, f"v{number}") for number in range(300)]
            async with trio.open_nursery() as entering:
                for visitor in visitors:
                    entering.start_soon(nursery.start, visitor.live)
            await visitors[7].say("hello, all of you")
            for visitor in visitors:
                await visitor.until(lambda visitor=visitor: visitor.texts)
            crowd = Counter(visitor.welcomes[0]["worker"] for visitor in visitors)
            assert set(crowd) == {1, 2, 3, 4}
            nursery.cancel_scope.cancel()
        assert server.stop() == 0
    assert all(visitor.bodies == ["hello, all of you"] for visitor in visitors)
    assert all(len(visitor.welcomes) == 1 for visitor in visitors)
