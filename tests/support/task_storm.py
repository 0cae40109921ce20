"""Tasks with numbers of their own, sent by processes that are killed to processes that are killed.

Every number has a row of words in memory that all processes share: whether `send` was called and whether it returned,
and how often the task ran to its end. So what was lost, and what ran twice, can be counted however everything ends.
"""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass

import trio
from witness import eventually, words

import trisig

_CALLED, _RETURNED, _STARTED, _ENDED = range(4)
RAISERS = 2


@dataclass(frozen=True)
class Outcome:
    """What a storm leaves.

    Attributes:
        sent: the numbers whose `send` has returned.
        lost: of those, the ones whose task never ran to its end.
        damaged: tasks that ran with other arguments than were sent.
        invented: tasks that ran and were never sent.
        repeated: how many runs there were beside the first of each number.
        deaths: of workers.
        final: the master's own account.
    """

    sent: int
    lost: int
    damaged: int
    invented: int
    repeated: int
    deaths: int
    final: trisig.MasterStatistics

    def faults(self) -> list[str]:
        """What breaks a promise."""
        found = [f"{count} {what}" for what in ("lost", "damaged", "invented") if (count := getattr(self, what))]
        if self.repeated > self.deaths:
            found.append(f"{self.repeated} ran again after {self.deaths} deaths")
        final = self.final
        if final.accepted != final.done + final.dead_lettered:
            found.append(f"the account is wrong: {final}")
        return found


def arguments_of(number: int) -> bytes:
    """Different for each number, mostly short, now and then long enough for another way."""
    size = 60_000 if number % 97 == 5 else 5_000 if number % 31 == 7 else number % 120
    return random.Random(number).randbytes(8) * (size // 8 + 1)


async def storm(tasks: int, kills: int, seed: int) -> Outcome:
    """Send so many tasks from two mules to two workers, while both are killed so many times.

    Args:
        tasks: how many numbers each of the mules sends.
        kills: how many processes are killed, one after another.
        seed: of the choices.
    """
    rows, damaged, next_number, allowed = words(4 * RAISERS * tasks), words(), words(), words()
    signals, chance = trisig.Signals(), random.Random(seed)

    @signals.task("worker")
    def run(number: int, data: bytes) -> None:
        rows[4 * number + _STARTED] += 1
        if data != arguments_of(number):
            damaged[0] += 1
        rows[4 * number + _ENDED] += 1

    @signals.service("mules")
    async def send() -> None:
        mule = trisig.current_process().number - 1
        while next_number[mule] < tasks:
            if next_number[mule] >= allowed[0]:  # a part for each kill, so that all of them meet work
                await trio.sleep(0.001)
                continue
            number = mule * tasks + next_number[mule]
            next_number[mule] += 1  # before: a number is sent once at most, whatever happens
            rows[4 * number + _CALLED] = 1
            await run.send(number, arguments_of(number))
            rows[4 * number + _RETURNED] = 1

    def all_sent() -> bool:
        return all(next_number[mule] >= tasks for mule in range(RAISERS))

    def ended() -> int:
        return sum(1 for number in range(RAISERS * tasks) if rows[4 * number + _ENDED])

    victims = set[int]()
    deaths = 0
    async with trisig.open_master(signals, workers=2, mules=RAISERS, grace=60, max_attempts=1000) as master:
        for kill in range(kills):
            before = ended()
            allowed[0] = tasks * (kill + 1) // (kills + 1)
            await eventually(lambda least=before + tasks // kills // 2: ended() >= least)  # type: ignore[misc]
            name = chance.choice(("worker1", "worker2") if kill % 3 else ("mule1", "mule2"))
            victim = await eventually(lambda name=name: _pid(master, name, victims))  # type: ignore[misc]
            victims.add(victim)
            deaths += kill % 3 != 0
            os.kill(victim, signal.SIGKILL)
        allowed[0] = tasks
        await eventually(all_sent)
        await eventually(lambda: not master.statistics().queued + master.statistics().in_flight)
    table = [rows[4 * number : 4 * number + 4].tolist() for number in range(RAISERS * tasks)]
    return Outcome(
        sent=sum(row[_RETURNED] for row in table),
        lost=sum(1 for row in table if row[_RETURNED] and not row[_ENDED]),
        damaged=damaged[0],
        invented=sum(1 for row in table if row[_STARTED] and not row[_CALLED]),
        repeated=sum(max(0, row[_ENDED] - 1) for row in table),
        deaths=deaths,
        final=master.statistics(),
    )


def _pid(master: trisig.Master, name: str, victims: set[int]) -> int:
    """Of a process that is ready and was not killed; 0 if there is none."""
    slot = master.statistics().processes[name]
    return slot.pid if slot.state == "ready" and slot.pid not in victims else 0
