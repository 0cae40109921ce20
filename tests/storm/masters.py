"""The storm that kills masters: one life of an application after the other, each killed with some of its children.

The next life begins at once, while the processes of the one before are still dying. The last one is let run to its
end, and what all of them left in the evidence is compared with what was raised.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import groupby
from pathlib import Path

import trio

from .streams import EXECUTORS, POOL, RAISERS, TRACKS, Evidence, draw
from .verdict import Verdict

ROOT = Path(__file__).parents[2]
CONTROLS = ("no-journal", "forgetful")
LONGEST_LIFE = 0.06  # seconds that a master lives once it is ready, or is opening
LONGEST_PAUSE = 0.03  # seconds between two deaths in one life
AT_MOST = 300.0  # seconds that a start or the end may take, on a busy machine too
SAME_PLACE = 8  # signals in a row by which a place in a stream is known again


class Killer:
    """Starts lives and ends them.

    Attributes:
        deaths: by name of the process; that of a master is one of each of its children too.
        did: what was killed, in words.
    """

    def __init__(self, command: list[str], seed: int) -> None:
        self._command = command
        self._rng = random.Random(f"{seed} killer of masters")
        self.deaths: Counter[str] = Counter()
        self.did: Counter[str] = Counter()

    async def rage(self, evidence: Evidence, lives: int) -> None:
        """Kill so many masters, and let the last life run to its end."""
        length = len(evidence.streams["master"])
        async with AsyncExitStack() as stack:
            life = await stack.enter_async_context(self._life())
            for number in range(1, lives + 1):
                evidence.allow(length * number // (lives + 1))
                following = await stack.enter_async_context(self._life())  # it takes its time to import everything
                await self._end_early(life)
                life.kill()
                await life.wait()
                life = following
            evidence.allow(length)
            await self._begin(life, b"ready")
            with trio.move_on_after(AT_MOST):  # if signals were lost it may wait for ever
                if await life.wait():
                    raise SystemExit(f"the last life ended with status {life.returncode}")

    @asynccontextmanager
    async def _life(self) -> AsyncIterator[trio.Process]:
        """A life that waits for its line; it has ended after the block."""
        life = await trio.lowlevel.open_process(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)
        try:
            yield life
        finally:
            life.kill()
            with trio.CancelScope(shield=True):
                await life.wait()
                for stream in (life.stdin, life.stdout):
                    if stream is not None:
                        await stream.aclose()

    async def _end_early(self, life: trio.Process) -> None:
        opening = self._rng.random() < 0.2
        await self._begin(life, b"opening" if opening else b"ready")
        for _ in range(0 if opening else self._rng.randrange(3)):
            await trio.sleep(self._rng.random() * LONGEST_PAUSE)
            self._kill_child(life.pid)
        await trio.sleep(self._rng.random() * LONGEST_LIFE)
        if life.poll() is not None:
            raise SystemExit(f"a life ended by itself, with status {life.returncode}")
        self.deaths.update((*RAISERS, *EXECUTORS))
        self.did["master while it opens" if opening else "master"] += 1

    async def _begin(self, life: trio.Process, until: bytes) -> None:
        """Give a life its line, and wait until it has said a word."""
        assert life.stdin is not None
        assert life.stdout is not None
        said = b""
        with trio.fail_after(AT_MOST):
            await life.stdin.send_all(b"go\n")
            while until not in said:
                more = await life.stdout.receive_some()
                if not more:
                    raise SystemExit(f"a life ended as it began, with status {await life.wait()}")
                said += more

    def _kill_child(self, master: int) -> None:
        """End a child, or hold it until its master is killed."""
        names = children(master)
        pid = self._rng.choice([*names]) if names else 0
        held = self._rng.random() < 0.15
        with suppress(ProcessLookupError, KeyError):
            os.kill(pid, signal.SIGSTOP if held else signal.SIGKILL)
            self.did["child stopped" if held else "child"] += 1
            self.deaths[names[pid]] += not held


def children(master: int) -> dict[int, str]:
    """The processes of a master, by pid; the one that forks them is among them."""
    found = {}
    with suppress(FileNotFoundError):
        for task in Path(f"/proc/{master}/task").iterdir():
            for pid in map(int, (task / "children").read_text().split()):
                with suppress(FileNotFoundError):
                    found[pid] = Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("trisig:")
    return found


def judge(evidence: Evidence, deaths: Counter[str]) -> Verdict:
    """Compare what was handled with what was raised, for each process and each raiser."""
    verdict = Verdict(accepted=sum(evidence.returned) + sum(evidence.pool))
    for executor in EXECUTORS:
        raisers = {track.raiser for track in TRACKS if executor in track.executors}
        repeated = sum(_judge_stream(verdict, evidence, raiser, executor) for raiser in raisers)
        # A death of the process repeats the handler that it ran, that of a raiser the raise that had not returned.
        reasons = deaths[executor] + sum(deaths[raiser] for raiser in raisers)
        if repeated > reasons:
            verdict.faults.append(f"{repeated} repeats in {executor}, and {reasons} reasons")
    _judge_pool(verdict, evidence, deaths)
    return verdict


def _judge_stream(verdict: Verdict, evidence: Evidence, raiser: str, executor: str) -> int:
    """Hold what a process handled of a stream against the stream; how much came again."""
    numbers = {
        number for track in TRACKS if track.raiser == raiser and executor in track.executors for number in track.numbers
    }
    others = bytes(set(range(256)) - numbers)
    wanted = bytes(evidence.streams[raiser]).translate(None, others)
    handled = evidence.handled(executor).translate(None, others)
    each = bytes(number for number, _ in groupby(handled))
    verdict.executed += len(handled)
    verdict.duplicated += len(handled) - len(each)
    if each != wanted:
        lost, again = _differences(wanted, each)
        verdict.lost += lost
        verdict.faults.append(f"{executor} did not handle what {raiser} raised: {lost} lost, {again} out of turn")
    return len(handled) - len(each)


def _differences(wanted: bytes, handled: bytes) -> tuple[int, int]:
    """(how many of `wanted` are not there, how many are there that do not belong), for people to read."""
    lost = again = place = 0
    for nth, number in enumerate(handled):
        if wanted[place : place + 1] == bytes((number,)):
            place += 1
            continue
        found = wanted.find(handled[nth : nth + SAME_PLACE], place)
        if found < 0:
            again += 1
        else:
            lost += found - place
            place = found + 1
    return lost + len(wanted) - place, again


def _judge_pool(verdict: Verdict, evidence: Evidence, deaths: Counter[str]) -> None:
    repeated = 0
    for number in POOL:
        executed = sum(pooled[number] for pooled in evidence.pooled.values())
        verdict.executed += executed
        verdict.lost += max(0, evidence.pool[number] - executed)
        repeated += max(0, executed - evidence.pool[number])
    verdict.duplicated += repeated
    reasons = deaths["worker1"] + deaths["worker2"] + deaths["mule1"]
    if repeated > reasons:
        verdict.faults.append(f"{repeated} repeats in the pool, and {reasons} reasons")


def run(options: argparse.Namespace) -> int:
    """Run what the command line asks for; the exit status."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        length = -(-options.signals // len(RAISERS))
        evidence = Evidence(Path(directory, "evidence"), length)
        for raiser in RAISERS:
            evidence.streams[raiser][:] = draw(raiser, options.seed, length)
        command = [sys.executable, "-W", "error", "-m", "tests.storm.continued"]
        arguments = [f"{directory}/journal", f"{directory}/evidence", str(length), options.control or ""]
        killer = Killer([*command, *arguments], options.seed)
        trio.run(killer.rage, evidence, options.masters)
        verdict = judge(evidence, killer.deaths)
    print(f"seed {options.seed}")
    print(f"raised {verdict.accepted}, executed {verdict.executed}")
    print(f"duplicated {verdict.duplicated}, lost {verdict.lost}")
    print("killed:", ", ".join(f"{count} {what}" for what, count in killer.did.items()))
    for fault in verdict.faults:
        print("BROKEN:", fault)
    print(f"{time.monotonic() - began:.1f} s: {'passed' if verdict.passed else 'FAILED'}")
    return 0 if verdict.passed else 1
