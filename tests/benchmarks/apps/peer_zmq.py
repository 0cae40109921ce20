"""The peers' two tasks with pyzmq: PUSH to two processes that PULL, over Unix sockets."""

import os
import time
from pathlib import Path

import work
import zmq

JOB = work.JOB
FOLDER = Path(JOB["path"]).parent
TODO, REPLIES = (f"ipc://{FOLDER / name}" for name in ("todo", "replies"))
END = 0


def serve(slot: int) -> None:
    """Handle what comes, until END."""
    work.claim(slot)
    context = zmq.Context()
    todo, replies = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    todo.connect(TODO)
    replies.connect(REPLIES)
    replies.send(b"up")
    while (item := todo.recv()[0]) != END:
        if item == work.PING:
            replies.send(b"x")
        else:
            work.handle(item)


def main() -> None:
    """First one at a time, then as many as the sockets take."""
    for slot in (1, 2):
        fork_off(slot)
    context = zmq.Context()
    todo, replies = context.socket(zmq.PUSH), context.socket(zmq.PULL)
    todo.bind(TODO)
    replies.bind(REPLIES)
    for _ in (1, 2):
        replies.recv()

    def round_trip() -> float:
        start = time.monotonic()
        todo.send(bytes((work.PING,)))
        replies.recv()
        return time.monotonic() - start

    [round_trip() for _ in range(50)]
    result = work.quantiles([round_trip() for _ in range(JOB["rounds"])])
    item = bytes((work.OTHER,))
    start = time.monotonic()
    for _ in range(JOB["items"]):
        todo.send(item)
    result["throughput"] = work.throughput(start, JOB["items"], 0)
    for _ in (1, 2):
        todo.send(bytes((END,)))
    for _ in (1, 2):
        os.wait()
    work.report(result)


def fork_off(slot: int) -> None:
    """Start a child that serves."""
    if os.fork() == 0:
        try:
            serve(slot)
        finally:
            os._exit(0)


main()
