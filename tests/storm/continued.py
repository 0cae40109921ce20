"""One life of the application whose master is killed.

    python -m tests.storm.continued JOURNAL EVIDENCE LENGTH [CONTROL]

It goes on where the life before it stopped: raisers know from the evidence how much they have raised, and what was
pending is in the journal. A line on standard input starts it; it says `opening` and `ready`, and ends when all that
there is to raise has been raised and done.
"""

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter_ns
from unittest.mock import patch

import trio
import trio.lowlevel

import trisig
from tests.support.restarts import restarting
from trisig._journal import recovery
from trisig._master.restart import RestartPolicy
from trisig._util.backoff import Backoff

from .streams import MULES, POOL, RAISERS, TRACKS, WORKERS, Evidence, Track

BREATH = 200  # signals that a raiser raises before it lets others run
SLOW = 10  # of so many numbers, one is handled slowly
SLOWNESS = 200_000  # nanoseconds


class Application:
    """Handlers that leave evidence, and raisers that follow their streams."""

    def __init__(self, evidence: Evidence) -> None:
        self.signals = trisig.Signals()
        self._evidence = evidence
        for track in TRACKS:
            for number in track.numbers:
                self.signals.register(number, track.target, self._handler(track))
        for number in POOL:
            self.signals.register(number, "worker", self._pooled)
        self.signals.service("mule1")(self.raise_in_child)

    def _handler(self, track: Track) -> Callable[[int], object]:
        return self._aside if track.aside else self._plain

    def _plain(self, signum: int) -> None:
        if signum % SLOW == 0:
            until = perf_counter_ns() + SLOWNESS
            while perf_counter_ns() < until:
                pass
        self._evidence.log(trisig.current_process().name, signum)

    async def _aside(self, signum: int) -> None:
        await trio.lowlevel.checkpoint()
        self._plain(signum)

    def _pooled(self, signum: int) -> None:
        self._evidence.log_pooled(trisig.current_process().name, signum)

    async def raise_in_child(self) -> None:
        """Raise the stream of `mule1`, and for the pool."""
        while True:
            raised = self._raise_some("mule1")
            for signum in POOL:
                if not self._evidence.is_on_its_way(signum) and raised:
                    await self.signals.send(signum)
                    self._evidence.pool[signum] += 1
            await trio.sleep(0.001)

    async def raise_in_master(self) -> None:
        """Raise the stream of the master's own trio thread."""
        while True:
            self._raise_some("master")
            await trio.sleep(0.001)

    async def raise_in_thread(self) -> None:
        """Raise the stream of another thread of the master."""
        while True:
            await trio.to_thread.run_sync(self._raise_some, "thread")
            await trio.sleep(0.001)

    def _raise_some(self, raiser: str) -> int:
        evidence, nth = self._evidence, RAISERS.index(raiser)
        stream = evidence.streams[raiser]
        some = min(BREATH, evidence.allowed[nth] - evidence.returned[nth])
        for _ in range(some):
            try:
                self.signals.send_nowait(stream[evidence.returned[nth]])
            except trio.WouldBlock:
                break
            evidence.returned[nth] += 1
        return some

    def has_raised_all(self) -> bool:
        return all(returned == len(self._evidence.streams["master"]) for returned in self._evidence.returned)


async def live(application: Application, journal: str | None) -> None:
    """Run until everything is raised and done."""
    print("opening", flush=True)
    async with trisig.open_master(
        application.signals, workers=WORKERS, mules=MULES, journal=journal, max_attempts=1000
    ) as master:
        print("ready", flush=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(application.raise_in_master)
            nursery.start_soon(application.raise_in_thread)
            while not application.has_raised_all() or (now := master.statistics()).done < now.accepted:  # noqa: ASYNC110  a snapshot is no event
                await trio.sleep(0.02)
            nursery.cancel_scope.cancel()


def main(journal: str, evidence: str, length: str, control: str = "") -> None:
    """Wait for the line, then live."""
    logging.getLogger("trisig").setLevel(logging.CRITICAL)
    application = Application(Evidence(Path(evidence), int(length)))
    with ExitStack() as patches:
        # Many deaths in a row are no reason to slow down or to give up here.
        patches.enter_context(restarting(RestartPolicy(Backoff(0.1, 0.1, steady=1.0), tries=sys.maxsize)))
        if control == "forgetful":
            patches.enter_context(patch.object(recovery, "_mark_finished", lambda *_: None))
        if sys.stdin.readline():
            trio.run(live, application, None if control == "no-journal" else journal)


if __name__ == "__main__":
    main(*sys.argv[1:])
