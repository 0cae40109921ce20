"""The same with multiprocessing.Queue: one process puts, two get; there are no results."""

import multiprocessing
import time
from typing import Any

import work

JOB = work.JOB
SHORT, LONG = bytes(100), bytes(2**20)
fork = multiprocessing.get_context("fork")


def serve(slot: int, todo: Any) -> None:
    """Count what comes, until None."""
    work.claim(slot)
    while todo.get() is not None:
        work.handle(work.OTHER)


def put(todo: Any) -> None:
    """Put as many as the queue takes; how many were taken in a second, short ones and long ones."""
    work.claim(3)
    rate(todo, SHORT, JOB["short"] // 10)
    work.report({"short": rate(todo, SHORT, JOB["short"]), "long": rate(todo, LONG, JOB["long"])})


def rate(todo: Any, data: bytes, items: int) -> float:
    """Put them all; how many were taken in a second."""
    before, start = work.handled(), time.monotonic()
    for _ in range(items):
        todo.put(data)
    return work.throughput(start, items, before)


def main() -> None:
    """Two that get, one that puts."""
    todo = fork.Queue()
    processes = [fork.Process(target=serve, args=(slot, todo)) for slot in (1, 2)]
    for process in processes:
        process.start()
    putting = fork.Process(target=put, args=(todo,))
    putting.start()
    putting.join()
    for _ in processes:
        todo.put(None)
    for process in processes:
        process.join()


main()
