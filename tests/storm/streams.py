"""What is raised while masters are killed, and the file in which all lives of the application leave their evidence.

A raiser's stream is drawn by the seed and has no period, so a signal is known by its place in it. No number follows
itself on its way to one destination: what a process handled, less what came twice in a row, must be what was raised
for it, number by number.

A pool has no order. There, at most one signal of each number is on its way, and executions are counted by number.
"""

import mmap
import random
from array import array
from dataclasses import dataclass
from pathlib import Path

WORKERS = MULES = 2
RAISERS = ("mule1", "master", "thread")  # a service in a child, the master's trio thread, another thread of it
EXECUTORS = ("worker1", "worker2", "mule2")


@dataclass(frozen=True)
class Track:
    """The way of some numbers.

    Attributes:
        executors: who handles each of them.
        share: how often they are raised, compared to the others.
        aside: whether the handler is async.
    """

    numbers: range
    raiser: str
    target: str
    executors: tuple[str, ...]
    share: int
    aside: bool = False


TRACKS = (
    Track(range(60), "mule1", "worker1", ("worker1",), 4),
    Track(range(60, 120), "mule1", "worker2", ("worker2",), 2, aside=True),
    Track(range(120, 150), "mule1", "workers", ("worker1", "worker2"), 1),
    Track(range(150, 180), "master", "workers", ("worker1", "worker2"), 1),
    Track(range(180, 210), "master", "mule2", ("mule2",), 1, aside=True),
    Track(range(210, 230), "thread", "mule2", ("mule2",), 1),
)
POOL = range(230, 256)  # raised by `mule1` beside its stream, for whichever worker is free


def draw(raiser: str, seed: int, length: int) -> bytes:
    """The stream of a raiser."""
    rng = random.Random(f"{seed} {raiser}")
    tracks = [track for track in TRACKS if track.raiser == raiser]
    last = dict.fromkeys(tracks, -1)
    drawn = bytearray()
    for track in rng.choices(tracks, [track.share for track in tracks], k=length):
        number = rng.choice([number for number in track.numbers if number != last[track]])
        last[track] = number
        drawn.append(number)
    return bytes(drawn)


class Evidence:
    """A mapped file: it outlives every process.

    Args:
        length: of each stream; the first who maps the file makes it.

    Attributes:
        streams: by raiser.
        allowed: how much of its stream each raiser may have raised.
        returned: how many of its raises have returned.
        pool: raises for the pool that have returned, by number.
        logged, logs: by executor, how many signals of streams it handled, and which.
        pooled: by worker and number, how many signals of the pool it handled.
    """

    def __init__(self, path: Path, length: int) -> None:
        room = 2 * length * len(RAISERS) + 4096  # what is raised, and as many repeats
        with path.open("a+b") as file:
            file.truncate(3 * 4096 + len(RAISERS) * length + len(EXECUTORS) * room)
            memory = memoryview(mmap.mmap(file.fileno(), 0))
        words = memory[: 3 * 4096].cast("Q")
        self.allowed, self.returned, self.logged, self.pool = words[:3], words[8:11], words[16:19], words[256:512]
        self.pooled = {worker: words[512 * number :][:256] for number, worker in enumerate(("worker1", "worker2"), 1)}
        streams, logs = memory[3 * 4096 :][: len(RAISERS) * length], memory[3 * 4096 + len(RAISERS) * length :]
        self.streams = {raiser: streams[nth * length :][:length] for nth, raiser in enumerate(RAISERS)}
        self.logs = {executor: logs[nth * room :][:room] for nth, executor in enumerate(EXECUTORS)}

    def allow(self, count: int) -> None:
        """Let each raiser raise so much of its stream in all."""
        self.allowed[:] = array("Q", [count] * len(RAISERS))

    def log(self, executor: str, signum: int) -> None:
        """Note that a signal was handled; the last step is the one that counts."""
        nth = EXECUTORS.index(executor)
        self.logs[executor][self.logged[nth]] = signum
        self.logged[nth] += 1

    def log_pooled(self, worker: str, signum: int) -> None:
        """Note that a signal of the pool was handled."""
        self.pooled[worker][signum] += 1

    def is_on_its_way(self, signum: int) -> bool:
        """Whether a signal of the pool was raised and not handled yet."""
        return sum(pooled[signum] for pooled in self.pooled.values()) < self.pool[signum]

    def handled(self, executor: str) -> bytes:
        """What a process handled, in order."""
        return bytes(self.logs[executor][: self.logged[EXECUTORS.index(executor)]])
