"""The peers' two tasks with multiprocessing.Queue and two processes that read it."""

import multiprocessing
import time
from typing import Any

import work

JOB = work.JOB
fork = multiprocessing.get_context("fork")


def serve(slot: int, todo: Any, replies: Any) -> None:
    """Handle what comes, until None."""
    work.claim(slot)
    while (item := todo.get()) is not None:
        if item == work.PING:
            replies.put(item)
        else:
            work.handle(item)


def round_trip(todo: Any, replies: Any) -> float:
    """Seconds from an item to its answer."""
    start = time.monotonic()
    todo.put(work.PING)
    replies.get()
    return time.monotonic() - start


def main() -> None:
    """First one at a time, then as many as the queue takes."""
    todo, replies = fork.Queue(), fork.Queue()
    processes = [fork.Process(target=serve, args=(slot, todo, replies)) for slot in (1, 2)]
    for process in processes:
        process.start()
    [round_trip(todo, replies) for _ in range(50)]
    result = work.quantiles([round_trip(todo, replies) for _ in range(JOB["rounds"])])
    start = time.monotonic()
    for _ in range(JOB["items"]):
        todo.put(work.OTHER)
    result["throughput"] = work.throughput(start, JOB["items"], 0)
    for _ in processes:
        todo.put(None)
    for process in processes:
        process.join()
    work.report(result)


main()
