"""Run one storm; exit status 0 if nothing was lost and every promise held, 1 otherwise."""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import trio

import trisig
from tests.support.job_storm import Storm as JobStorm
from tests.support.restarts import restarting
from trisig._master.hearing import Hearing
from trisig._master.incarnation import Incarnation
from trisig._master.keeper import Keeper
from trisig._master.restart import RestartPolicy
from trisig._model.dead_letter import DeadLetter
from trisig._model.lane import DONE, WAITING, WINDOW, Lane
from trisig._util.backoff import Backoff

from . import masters
from .application import Application
from .evidence import Evidence
from .fire import Killer
from .plan import CORES, RAISERS, TOPOLOGY
from .verdict import Verdict, holds, judge

LOOKS = 24  # at the account, while the signals are raised
PATIENCE = 3.0  # seconds without a new execution after which the account is asked what is still to be expected
MANY = 10  # faults that are told
STUCK = 300.0  # seconds after the last kill until which everything must have been raised


@contextmanager
def no_accounting() -> Iterator[None]:
    """Switch the accounting off: what a dead process held counts as done, as if the pipe was all there is."""
    died = Lane.died

    def forget(lane: Lane, *, blame: bool) -> list[DeadLetter]:
        lane._marks[:] = bytes([DONE]) * WINDOW
        for queue, place, signum in lane.aside.values():
            lane._ledger.finish(queue, place, bytes((signum,)), lane.process)
            lane.done += 1
        lane.aside.clear()
        return died(lane, blame=blame)

    with patch.object(Lane, "died", forget):
        yield


@contextmanager
def forgetful() -> Iterator[None]:
    """Do not see the newest mark of a process that died: what it stands for was done, and is run again."""
    settle = Keeper._settle

    def forget(keeper: Keeper, now: Incarnation, hearing: Hearing) -> None:
        lane = keeper._slot.lane
        if lane is not None:
            done = (n % WINDOW for n in reversed(range(lane.base, lane.sent)) if lane._marks[n % WINDOW] == DONE)
            for newest in islice(done, 1):
                lane._marks[newest] = WAITING
        settle(keeper, now, hearing)

    with patch.object(Keeper, "_settle", forget):
        yield


CONTROLS = {"no-accounting": no_accounting, "forgetful": forgetful}
CHOICES = tuple(dict.fromkeys((*CONTROLS, *masters.CONTROLS)))  # both storms have one of the name `forgetful`


@contextmanager
def patient() -> Iterator[None]:
    """Kills may hit one slot many times in a row: that is no reason to give up here, or to slow down."""
    with restarting(RestartPolicy(Backoff(0.1, 0.1, steady=1.0), tries=sys.maxsize)):
        yield


class Watcher:
    """Looks at the master's account now and then, and waits for the end without touching anything.

    A look makes the master read all marks, which could hide that it was not told of one: so looks are few, and there
    is none while the last signals run.
    """

    def __init__(self, master: trisig.Master, application: Application) -> None:
        self._master = master
        self._application = application
        self.looks = 0

    async def look(self) -> None:
        """Look whenever another part was raised: by the clock there would be more looks on a slow machine."""
        returned, quota = self._application.evidence.returned, self._application.quota
        for self.looks in range(1, LOOKS + 1):
            while sum(returned) * LOOKS < self.looks * quota * len(returned):  # noqa: ASYNC110  others count there
                await trio.sleep(0.01)
            if not holds(now := self._master.statistics()):
                raise SystemExit(f"the ledger does not add up: {now}")

    async def wait_until_raised(self) -> None:
        returned, quota = self._application.evidence.returned, self._application.quota
        while any(count < quota for count in returned):  # noqa: ASYNC110  other processes count there
            await trio.sleep(0.01)

    async def wait_until_executed(self) -> None:
        """Wait until each id was executed; not for ever, since ids may be lost."""
        missing, moved = -1, trio.current_time()
        while now := self._application.evidence.missing():
            if now != missing or (trio.current_time() - moved > PATIENCE and self._expects_more()):
                missing, moved = now, trio.current_time()
            elif trio.current_time() - moved > PATIENCE:
                return
            await trio.sleep(0.02)

    def _expects_more(self) -> bool:
        now = self._master.statistics()
        return bool(now.queued or now.in_flight)


async def storm(application: Application, seed: int, kills: int) -> tuple[Killer, trisig.MasterStatistics, int]:
    """Raise everything under fire, and wait until all of it is done."""
    async with trisig.open_master(
        application.signals,
        **TOPOLOGY,
        cores=CORES,
        max_attempts=1000,
        max_queued=50_000,
        instruments=[application.evidence],
    ) as master:
        killer = Killer(master, application.evidence, seed, application.quota, kills)
        watcher = Watcher(master, application)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watcher.look)
            nursery.start_soon(application.raise_all, 0)
            await killer.rage()
            with trio.move_on_after(STUCK):
                await watcher.wait_until_raised()
            nursery.cancel_scope.cancel()
        await watcher.wait_until_executed()
    return killer, master.statistics(), watcher.looks


def tell(seed: int, verdict: Verdict, killer: Killer, final: trisig.MasterStatistics, looks: int, deaths: int) -> None:
    """Print the sum of it."""
    print(f"seed {seed}")
    print(f"accepted {verdict.accepted}, executed {verdict.executed}, done {final.done}")
    print(f"duplicated {verdict.duplicated}, lost {verdict.lost}")
    print(
        f"deaths {deaths}, redelivered {final.redelivered}:", ", ".join(f"{n} {how}" for how, n in killer.did.items())
    )
    print(
        f"ledger: accepted {final.accepted} = done {final.done} + queued {final.queued} + in flight {final.in_flight}"
        f" + dead-lettered {final.dead_lettered}: {'holds' if holds(final) else 'BROKEN'}, as in {looks} looks before"
    )
    for fault in verdict.faults[:MANY]:
        print("BROKEN:", fault)
    if len(verdict.faults) > MANY:
        print(f"BROKEN: and {len(verdict.faults) - MANY} more of the kind")


def main() -> int:
    """Run what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--signals", type=int, default=20_000, help="how many are raised by raisers, echoes apart")
    parser.add_argument("--kills", type=int, default=40, help="how many kills of children")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000)
    parser.add_argument("--masters", type=int, help="kill so many masters instead, and some of their children")
    parser.add_argument("--jobs", type=int, help="send so many durable jobs instead, and kill whoever is concerned")
    parser.add_argument("--control", choices=CHOICES, help="a negative control, which must fail")
    options = parser.parse_args()
    if options.masters is not None:
        return masters.run(options)
    if options.jobs is not None:
        return run_jobs(options.jobs, options.kills, options.seed)
    logging.getLogger("trisig").setLevel(logging.ERROR)
    began = time.monotonic()
    quota = -(-options.signals // len(RAISERS))
    evidence = Evidence(capacity=2 * options.signals + 65_536)
    application = Application(evidence, options.seed, quota)
    control = CONTROLS.get(options.control, nullcontext)
    with patient(), control():
        killer, final, looks = trio.run(storm, application, options.seed, options.kills)
    deaths = sum(process.respawns for process in final.processes.values())
    verdict = judge(evidence, options.seed, quota, final, deaths)
    tell(options.seed, verdict, killer, final, looks, deaths)
    print(f"{time.monotonic() - began:.1f} s: {'passed' if verdict.passed else 'FAILED'}")
    return 0 if verdict.passed else 1


def run_jobs(jobs: int, kills: int, seed: int) -> int:
    """A storm of durable jobs; the exit status."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = JobStorm(Path(folder), jobs, kills, seed).run()
    print(f"seed {seed}")
    print(f"sent {outcome.sent}; {outcome.repeated} ran again, after {outcome.deaths} deaths of those that run them")
    for fault in outcome.faults:
        print("BROKEN:", fault)
    print(f"{time.monotonic() - began:.1f} s: {'FAILED' if outcome.faults else 'passed'}")
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
