"""Run one storm; exit status 0 if nothing was lost and every promise held, 1 otherwise."""

import argparse
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from unittest.mock import patch

import trio

import trisig
from trisig._ledger import DONE, WINDOW, DeadLetter, Lane

from .application import Application
from .evidence import Evidence, watching
from .fire import Killer
from .plan import CORES, RAISERS, TOPOLOGY
from .verdict import Verdict, holds, judge

PATIENCE = 20.0  # seconds without any progress after which a storm is stuck


@contextmanager
def no_accounting() -> Iterator[None]:
    """Switch the accounting off: what a dead process held counts as done, as if the pipe was all there is."""
    died = Lane.died

    def forget(lane: Lane) -> list[DeadLetter]:
        lane._marks[:] = bytes([DONE]) * WINDOW
        for number, (queue, place, signum) in lane.aside.items():
            lane._ledger.finish(queue, place, bytes((signum,)))
            lane.done += 1
        lane.aside.clear()
        return died(lane)

    with patch.object(Lane, "died", forget):
        yield


async def storm(application: Application, seed: int, kills: int) -> tuple[Killer, trisig.MasterStatistics, int]:
    """Raise everything under fire, wait until all of it is done; the identity must hold at every look."""
    evidence, looks = application.evidence, 0
    async with trisig.open_master(
        application.signals, **TOPOLOGY, cores=CORES, max_attempts=1000, max_queued=50_000
    ) as master:
        killer = Killer(master, evidence, seed, application.quota, kills)
        before, moved = None, trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(killer.rage)
            nursery.start_soon(application.raise_all, 0)
            while True:
                await trio.sleep(0.02)
                now, looks = master.statistics(), looks + 1
                if not holds(now):
                    raise SystemExit(f"seed {seed}: the ledger does not add up: {now}")
                if (now.accepted, now.done) != before:
                    before, moved = (now.accepted, now.done), trio.current_time()
                all_raised = all(evidence.returned[r] >= application.quota for r in range(len(RAISERS)))
                if all_raised and now.done == now.accepted:
                    break
                if trio.current_time() - moved > PATIENCE:
                    print(f"seed {seed}: STUCK at {now}")
                    nursery.cancel_scope.cancel()
                    break
    return killer, master.statistics(), looks


def tell(seed: int, verdict: Verdict, killer: Killer, final: trisig.MasterStatistics, looks: int, deaths: int) -> None:
    print(f"seed {seed}")
    print(f"accepted {verdict.accepted}, executed {verdict.executed}, done {final.done}")
    print(f"duplicated {verdict.duplicated}, lost {verdict.lost}")
    print(f"deaths {deaths}, redelivered {final.redelivered}:", ", ".join(f"{n} {how}" for how, n in killer.did.items()))
    print(
        f"ledger: accepted {final.accepted} = done {final.done} + queued {final.queued} + in flight {final.in_flight}"
        f" + dead-lettered {final.dead_lettered}: {'holds' if holds(final) else 'BROKEN'}, as in {looks} looks before"
    )
    for fault in verdict.faults:
        print("BROKEN:", fault)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storm", description=__doc__)
    parser.add_argument("--signals", type=int, default=20_000, help="how many are raised by raisers, echoes apart")
    parser.add_argument("--kills", type=int, default=40, help="how many kills of children")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 100_000)
    parser.add_argument("--no-accounting", action="store_true", help="the negative control, which must lose")
    options = parser.parse_args()
    logging.getLogger("trisig").setLevel(logging.ERROR)
    began = time.monotonic()
    quota = -(-options.signals // len(RAISERS))
    evidence = Evidence(capacity=2 * options.signals + 65_536)
    application = Application(evidence, options.seed, quota)
    with watching(evidence), no_accounting() if options.no_accounting else nullcontext():
        killer, final, looks = trio.run(storm, application, options.seed, options.kills)
    deaths = sum(process.respawns for process in final.processes.values())
    verdict = judge(evidence, options.seed, final, deaths)
    tell(options.seed, verdict, killer, final, looks, deaths)
    print(f"{time.monotonic() - began:.1f} s: {'passed' if verdict.passed else 'FAILED'}")
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
