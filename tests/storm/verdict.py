"""What became of every id."""

from collections import Counter
from dataclasses import dataclass, field

import trisig

from .evidence import Evidence
from .plan import ECHO, ECHOES, HANDLED, QUEUES, RAISERS, SELF_ECHO, cycle

FAN_OUT = {"workers": 4}


@dataclass
class Verdict:
    """The sum of a storm.

    Attributes:
        duplicated: executions beyond the first, over all ids.
        lost: ids that were never executed, and raises that returned and never arrived.
        faults: other broken promises, in words.
    """

    accepted: int = 0
    executed: int = 0
    duplicated: int = 0
    lost: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.lost and not self.faults


def judge(evidence: Evidence, seed: int, quota: int, final: trisig.MasterStatistics, deaths: int) -> Verdict:
    """Compare what was raised, accepted, executed and what the master says of it."""
    verdict = Verdict()
    for raiser in range(len(RAISERS)):
        _judge_raiser(verdict, evidence, raiser, seed, quota, deaths)
    _judge_echoes(verdict, evidence, deaths)
    _judge_queues(verdict, evidence)
    _judge_repeats(verdict, evidence)
    _judge_ledger(verdict, evidence, final)
    if final.failed:
        verdict.faults.append(f"{final.failed} handlers raised")
    if any(evidence.disorder):
        verdict.faults.append(f"{sum(evidence.disorder)} signals overtook an older one of the same destination")
    return verdict


def _judge_raiser(verdict: Verdict, evidence: Evidence, raiser: int, seed: int, quota: int, deaths: int) -> None:
    """What arrived of a raiser is its sequence; an element comes again only if its raise had not returned."""
    numbers = cycle(raiser, seed)
    others = bytes(set(range(256)) - set(numbers))
    nth = again = 0
    for signum in bytes(evidence.raw).translate(None, others):
        if signum == numbers[nth % len(numbers)]:
            nth += 1
        elif nth and signum == numbers[(nth - 1) % len(numbers)]:
            again += 1
        else:
            verdict.faults.append(f"{RAISERS[raiser]}: signal {signum} arrived out of turn as number {nth}")
            break
    verdict.lost += max(0, evidence.returned[raiser] - nth)
    if nth < quota:
        verdict.faults.append(f"{RAISERS[raiser]}: raised {nth} of {quota}")
    if again > (deaths if raiser else 0):
        verdict.faults.append(f"{RAISERS[raiser]}: {again} raises arrived twice")


def _judge_echoes(verdict: Verdict, evidence: Evidence, deaths: int) -> None:
    arrived, returned = evidence.raw.count(ECHO) + evidence.raw.count(SELF_ECHO), sum(evidence.echoed)
    verdict.lost += max(0, returned - arrived)
    if arrived > returned + deaths:
        verdict.faults.append(f"{arrived} echoes arrived of {returned} that were raised")


def _judge_queues(verdict: Verdict, evidence: Evidence) -> None:
    """Every byte that arrived has its places, and each place was executed once."""
    routed = Counter(dict.fromkeys(HANDLED, 0))
    for queue, name in enumerate(QUEUES):
        signals = evidence.queued_in[name]
        for signum in set(signals):
            routed[signum] += signals.count(signum)
        executions = evidence.executions[queue][: len(signals)]
        verdict.accepted += len(signals)
        verdict.executed += sum(executions)
        verdict.lost += executions.count(0)
        verdict.duplicated += sum(executions) - len(executions) + executions.count(0)
    for signum, count in routed.items():
        fan_out = FAN_OUT.get((HANDLED | ECHOES)[signum].target, 1)
        missing = evidence.raw.count(signum) * fan_out - count
        if missing:
            verdict.faults.append(f"{missing} of signal {signum} reached no queue")


def _judge_repeats(verdict: Verdict, evidence: Evidence) -> None:
    """An id runs again only if its process died while it ran, or before that could be told: once a death."""
    for queue, name in enumerate(QUEUES):
        executions = evidence.executions[queue][: len(evidence.queued_in[name])]
        repeated = (place for place, count in enumerate(executions) if count > 1)
        for place in repeated:
            if executions[place] > 1 + evidence.unfinished[name, place]:
                verdict.faults.append(f"place {place} of {name} ran {executions[place]} times without a reason")


def _judge_ledger(verdict: Verdict, evidence: Evidence, final: trisig.MasterStatistics) -> None:
    """The master's own account must add up, and be true."""
    if not holds(final):
        verdict.faults.append("the ledger does not add up")
    if final.accepted != verdict.accepted:
        verdict.faults.append(f"the ledger has accepted {final.accepted}, its queues {verdict.accepted}")
    if final.done != final.accepted:
        verdict.faults.append(f"{final.accepted - final.done} signals are not done")
    if sum(process.done for process in final.processes.values()) != final.done:
        verdict.faults.append("what the processes did is not what was done")
    for signum, signal in final.signals.items():
        if signal.accepted != sum(signals.count(signum) for signals in evidence.queued_in.values()):
            verdict.faults.append(f"the account of signal {signum} is wrong")


def holds(now: trisig.MasterStatistics) -> bool:
    """The identity of the ledger, and that what is in flight is what the processes hold."""
    held = sum(process.in_flight for process in now.processes.values())
    return now.in_flight == held and now.accepted == now.done + now.queued + now.in_flight + now.dead_lettered
