"""Anything at all is thrown at the control socket of a live master, which goes on as if nothing had been.

`TRISIG_FUZZ` is for how many seconds, and `TRISIG_FUZZ_SEED` chooses what is thrown.
"""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import trio
from program import SECONDS, read_until, running
from witness import eventually

from trisig._control.conversation import ask_master

SECONDS_OF_FUZZ = float(os.environ.get("TRISIG_FUZZ", "1.5"))
SEED = int(os.environ.get("TRISIG_FUZZ_SEED", "20260329"))
# Those that change nothing that the test looks at. `send` is there with a number that has a handler.
REQUESTS: tuple[dict[str, Any], ...] = (
    {"do": "status"},
    {"do": "send", "signum": 7},
    {"do": "check-alive", "patience": 0.5},
    {"do": "check-alive", "patience": 0.5, "handler_limit": 3},
    {"do": "dead-letters"},
    {"do": "requeue", "id": "x"},
    {"do": "drop-letter", "id": "x"},
    {"do": "run-now", "source": "8"},
    {"do": "pause", "source": "none"},
    {"do": "resume", "source": "8"},
    {"do": "remove-source", "source": "none"},
    {"do": "drop", "signum": 7},
    {"do": "log", "level": "info"},
    {"do": "wake", "number": 1, "wait": False},
    {"do": "wait"},
)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 256, 2**70, 1e400, "", "\0", "\ud800", "x" * 3000, [], {}, [[]] * 50, {"do": {}}, 0.5,
)  # fmt: skip
APP = """
import trisig
signals = trisig.Signals()

@signals.handler(7, target="worker1")
def handle(signum):
    with open("handled", "ab") as file:
        file.write(b"x")

signals.add_timer(8, 3600)
signals.register(8, "worker1", lambda signum: None)
"""

Client = Callable[[socket.socket, random.Random], None]


def half_a_line(client: socket.socket, chance: random.Random) -> None:
    """A request that stops in its middle."""
    line = json.dumps(chance.choice(REQUESTS)).encode()
    client.sendall(line[: chance.randrange(len(line))])


def a_megabyte(client: socket.socket, chance: random.Random) -> None:
    """Bytes without an end of line, or with many."""
    client.sendall(chance.randbytes(2**20) if chance.random() < 0.5 else b"\n" * 2**20)


def nesting(client: socket.socket, chance: random.Random) -> None:
    """JSON that is deeper than a parser goes."""
    client.sendall(chance.choice((b"[", b'{"do":')) * 8000 + b"\n")


def unknown(client: socket.socket, chance: random.Random) -> None:
    """A command that does not exist, or no request at all."""
    thrown = ({"do": chance.choice(VALUES)}, chance.choice(VALUES), {"do": "__class__"}, {"do": "status", "self": 1})
    client.sendall(json.dumps(chance.choice(thrown)).encode() + b"\n")


def mutated(client: socket.socket, chance: random.Random) -> None:
    """A real request with other values, other names, or some bytes changed."""
    request = dict(chance.choice(REQUESTS))
    name = chance.choice([*request, "extra"])
    if request["do"] != "send" or name != "signum":  # or it may be a signal that nobody takes
        request[name] = chance.choice(VALUES)
    line = bytearray(json.dumps(request).encode())
    if request["do"] != "send":
        for _ in range(chance.randrange(3)):
            line[chance.randrange(len(line))] = chance.randrange(256)
    client.sendall(line + b"\n")


def no_reader(client: socket.socket, chance: random.Random) -> None:
    """Many requests, whose answers are never read."""
    client.sendall(b'{"do": "status"}\n' * chance.randrange(1, 3000))


def reset(client: socket.socket, chance: random.Random) -> None:
    """A request whose client is gone in the same moment."""
    client.sendall(json.dumps(chance.choice(REQUESTS[:1] + REQUESTS[2:])).encode() + b"\n")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


CLIENTS: tuple[Client, ...] = (half_a_line, a_megabyte, nesting, unknown, mutated, no_reader, reset)


def throw(path: Path, chance: random.Random, held: list[socket.socket]) -> None:
    """Be one client, which stays for a while or leaves at once."""
    client = socket.socket(socket.AF_UNIX)
    held.append(client)
    client.connect(str(path))
    client.settimeout(0.02)  # who does not read its answers is not read either
    with suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
        chance.choice(CLIENTS)(client, chance)
    if len(held) > 20:
        held.pop(chance.randrange(len(held))).close()


def fuzz(path: Path, seconds: float) -> int:
    """Throw for so long; how many clients that were."""
    chance, held, end, count = random.Random(SEED), list[socket.socket](), time.monotonic() + seconds, 0
    try:
        while time.monotonic() < end:
            throw(path, chance, held)
            count += 1
    finally:
        for client in held:
            client.close()
    return count


def descriptors(pid: int) -> int:
    """How many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def test_nothing_that_clients_send_disturbs_a_master(tmp_path: Path) -> None:
    """Meanwhile its signals are handled, each once; afterwards it answers, and no descriptor is left over."""
    control, sent = tmp_path / "control", 0
    with running(tmp_path, APP, "--grace=30") as app:
        at_first = descriptors(app.pid)
        before = await ask_master(control, "status")
        async with trio.open_nursery() as nursery:
            end = trio.current_time() + SECONDS_OF_FUZZ
            nursery.start_soon(trio.to_thread.run_sync, fuzz, control, SECONDS_OF_FUZZ)
            while trio.current_time() < end:
                await ask_master(control, "send", signum=7)
                sent += 1
        await eventually(lambda: descriptors(app.pid) <= at_first)
        with trio.fail_after(SECONDS):
            while (status := await ask_master(control, "status"))["queued"] + status["in_flight"]:
                pass
        assert status["accepted"] == status["done"] == status["signals"]["7"]["done"] + status["signals"]["8"]["done"]
        assert status["signals"].keys() == {"7", "8"}
        assert status["signals"]["7"]["done"] >= sent > 0
        assert status["failed"] == status["dead_lettered"] == 0
        assert status["processes"]["worker1"]["pid"] == before["processes"]["worker1"]["pid"]
        assert (tmp_path / "handled").stat().st_size == status["signals"]["7"]["done"]
        app.terminate()
        log = read_until(app, "master: stopped")
        assert not [line for line in log if "Traceback" in line or "ERROR" in line]
