"""Raw messages: bytes that wait in a box, whole and in order, until somebody asks for them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from witness import Journal, eventually, pid_of, words

import trisig
from trisig._api.messages import Messages

LONGEST = 16 * 2**20


def digest(message: bytes) -> str:
    """What a test notes of a message."""
    return f"{len(message)} {hashlib.sha256(message).hexdigest()[:8]}"


SIZES = [1, 4000, 5000, 65_536, 70_000, 300_000, LONGEST, 3, 0, 100]


def content(sender: int, number: int) -> bytes:
    """Different for each message but the empty ones."""
    return (bytes((sender, number)) * SIZES[number])[: SIZES[number]]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_messages_arrive_whole_and_in_order(tmp_path: Path, *, in_thread: bool) -> None:
    """Empty ones and those of 16 MiB, from the master and from a worker, to a task or to a thread of a mule."""
    notes, signals = Journal(tmp_path), trisig.Signals()
    messages = Messages(signals)

    @signals.service("mules")
    async def read() -> None:
        if in_thread:
            threading.Thread(target=read_in_thread, daemon=True).start()
            return
        while True:
            notes.note(digest(await messages.receive("mule1", "mule")))

    def read_in_thread() -> None:
        with suppress(trio.Cancelled, trisig.NoMasterError):
            while (message := messages.receive_in_thread("mule1", "mule")) is not None:
                notes.note(digest(message))

    @signals.service("workers")
    async def write() -> None:
        for number in range(len(SIZES)):
            await messages.send("mule", content(1, number))

    async with trisig.open_master(signals, mules=1) as master:
        for number in range(len(SIZES)):
            messages.send_nowait("mule1", bytearray(content(0, number)))
        await eventually(lambda: len(notes.read()) == 2 * len(SIZES))
        end = await eventually(lambda: now if not (now := master.statistics()).in_flight else None)
        assert (end.accepted, end.done) == (20, 20)
    told = [note[1] for note in notes.read()]
    empty = digest(b"")
    assert told.count(empty) == 2
    for sender in (0, 1):
        wanted = [digest(content(sender, number)) for number, size in enumerate(SIZES) if size > 1]
        assert [one for one in told if one in wanted] == wanted


async def test_each_message_has_one_reader_though_readers_die(tmp_path: Path) -> None:
    """The members of a farm share a box; what a reader that dies has not taken is read by another, in its place."""
    notes, signals, dies = Journal(tmp_path), trisig.Signals(), words()
    messages = Messages(signals)

    @signals.service("farm_busy")
    async def read() -> None:
        while True:
            message = await messages.receive("farm_busy")
            notes.note(message.decode(), os.getpid())
            if message == b"die" and not dies[0]:
                dies[0] = 1
                os.kill(os.getpid(), signal.SIGKILL)
            await trio.sleep(0.001)

    async with trisig.open_master(signals, mules=2, farms={"busy": (1, 2)}) as master:
        for number in range(60):
            await messages.send("farm_busy", b"die" if number == 30 else b"%d" % number)
        await eventually(lambda: len(notes.read()) >= 60)
        end = await eventually(lambda: now if not (now := master.statistics()).in_flight + now.queued else None)
        assert end.accepted == end.done == 60
    told = [note[1] for note in notes.read()]
    assert {*map(str, range(60))} - {"30"} <= {*told}
    assert len(told) <= 61, "only the one that a reader died with may come twice"
    assert len({note[2] for note in notes.read()}) >= 2


async def test_a_receive_that_is_cancelled_loses_nothing() -> None:
    """A message stays in its place, with a timeout in a thread too; boxes are looked into in the order of the call."""
    signals = trisig.Signals()
    messages = Messages(signals)
    async with trisig.open_master(signals, mules=1) as master:
        with trio.move_on_after(0.01):
            await messages.receive("mule")
        taken = list[bytes]()

        async def take() -> None:
            taken.append(await messages.receive("mule"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(take)
            await trio.testing.wait_all_tasks_blocked()
            messages.send_nowait("mule", b"one")
            nursery.cancel_scope.cancel()
        messages.send_nowait("mule", b"two")
        messages.send_nowait("mule1", b"three")
        left = master.statistics().queued
        assert len(taken) + left == 3  # the cancellation came before it had returned, or after
        received = [await messages.receive("mule1", "mule") for _ in range(left)]
        assert received[0] == b"three"
        assert [*taken, *received[1:]] == [b"one", b"two"]

        def wait_in_thread() -> bytes | None:
            return messages.receive_in_thread("mule0", timeout=0.01)

        assert await trio.to_thread.run_sync(wait_in_thread) is None
        await messages.send("worker1", memoryview(b"kept"))
        assert await trio.to_thread.run_sync(messages.receive_in_thread, "worker1") == b"kept"


async def test_what_is_no_message_and_no_box() -> None:
    """It is an error where it is written."""
    signals = trisig.Signals()
    messages = Messages(signals)
    with pytest.raises(trisig.NoMasterError):
        await messages.receive("mule")
    async with trisig.open_master(signals, mules=1):
        for box in ("mules", "mule2", "farm_none", "nobody"):
            with pytest.raises(trisig.TargetError):
                messages.send_nowait(box, b"x")
            with pytest.raises(trisig.TargetError):
                await messages.receive(box)
        with pytest.raises(TypeError, match="a message is bytes, not str"):
            await messages.send("mule", "text")  # type: ignore[arg-type]  # the mistake
        with pytest.raises(ValueError, match="16777217 bytes long"):
            await messages.send("mule", bytes(LONGEST + 1))


async def test_messages_survive_the_master(tmp_path: Path) -> None:
    """With a journal the next master has those that nobody has taken, in order."""
    signals = trisig.Signals()
    messages = Messages(signals)
    path, copy = tmp_path / "kept", tmp_path / "copy"
    async with trisig.open_master(signals, mules=1, journal=path) as master:
        assert pid_of(master.processes, "mule1")
        for message in (b"taken", b"one", bytes(300_000)):
            await messages.send("mule", message)
        assert await messages.receive("mule") == b"taken"
        shutil.copy(path, copy)  # what a kill would leave now
    async with trisig.open_master(signals, mules=1, journal=copy):
        assert [await messages.receive("mule") for _ in range(2)] == [b"one", bytes(300_000)]
