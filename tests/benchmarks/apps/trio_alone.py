"""The least that processes on trio take: what is raised goes through a relay to the processes that handle it.

No table, no order, no accounting, nothing is restarted. So it shows how much of a figure is trio's, and the kernel's.
"""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial

import trio
import work

JOB = work.JOB


def forked(run: Callable[[], object]) -> None:
    """Run something in a process of its own."""
    if os.fork() == 0:
        run()
        os._exit(0)


async def read(pipe: int, act: Callable[[bytes], object], *, waits: bool = False) -> None:
    """Act on what comes through a pipe until nobody holds its other end."""
    while True:
        await trio.lowlevel.wait_readable(pipe)
        data = os.read(pipe, 65536)
        if not data:
            return
        act(data)
        if waits:
            await trio.lowlevel.checkpoint()


def handle(data: bytes) -> None:
    """The work of a handler."""
    work.handle(data[0])


def handling(slot: int, pipe: int, up: int, others: Sequence[int]) -> None:
    """A process that handles."""
    for writer in others:
        os.close(writer)
    work.claim(slot)

    async def live() -> None:
        os.write(up, b"!")
        await read(pipe, handle, waits=JOB["handler"] == "async")

    trio.run(live)


def raising(pipe: int) -> None:
    """The process that raises."""
    if JOB["kind"] == "stay":
        work.report(work.exercise(lambda _: os.write(pipe, b"!"), JOB["workers"], JOB["signals"]))
        time.sleep(work.PATIENCE * 30)
        return
    time.sleep(0.3)
    work.ping(lambda _: os.write(pipe, b"!"), JOB["watched"], 200)
    work.report(work.ping(lambda _: os.write(pipe, b"!"), JOB["watched"], JOB["signals"]))


def fork_all(slots: Sequence[int]) -> list[int]:
    """Fork the processes that handle, and wait until all are up; the pipes to them."""
    up_reader, up = os.pipe()
    writers: list[int] = []
    for slot in slots:
        reader, writer = os.pipe2(os.O_NONBLOCK)
        writers.append(writer)
        forked(partial(handling, slot, reader, up, tuple(writers)))
        os.close(reader)
    for _ in slots:
        os.read(up_reader, 1)
    return writers


def relay(pipe: int, writers: Sequence[int]) -> None:
    """What the master is elsewhere."""

    def pass_on(data: bytes) -> None:
        for writer in writers:
            os.write(writer, data)

    trio.run(read, pipe, pass_on)


def main() -> None:
    """Start all processes; this one becomes the relay."""
    slots = [work.MULES + 1] if JOB["handling_mules"] else list(range(1, JOB["workers"] + 1))
    writers = fork_all(slots)
    if JOB["kind"] == "up":
        work.report({"start": time.monotonic() - JOB["started"]})
    reader, writer = os.pipe2(os.O_NONBLOCK)
    if JOB["raisers"]:
        forked(partial(raising, writer))
        os.close(writer)
    relay(reader, writers)


if __name__ == "__main__":
    main()
