"""Three nodes of a cluster raise, handle, tick and lead, while they and their server are killed, stopped and cut off.

    python tests/support/cluster_storm.py --seconds 60

Every process writes what it does into one file, a line each, so that no death takes a note away. Each task has an id of
its own: what was lost, and what ran twice, is counted by it.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import psycopg
from kernel_view import children
from postgres_server import Postgres, a_server

LEASE = 1.0
NODES = ("one", "two", "three")
EVENTS = ("kill", "kill", "stop", "cut", "end", "crash", "sessions")
LEAST = 4  # of them, however short the storm is
EVERY = 2  # seconds between two occurrences of a timer that the cluster lets through once
Done = tuple[float, str, str]  # when, what, to whom
Run = tuple[float, str]  # when, and on which node
PATIENCE = 60.0  # seconds for what is under way to come to its end

APPLICATION = """
import itertools, os, sys, time, trio, trisig
sys.path.append({support!r})
from deaf import Network
from trisig._cluster.claimer import Claimer
from trisig._cluster.postgres import statements
from trisig.postgres import Cluster

node, folder, conninfo, lease, forgets = {words!r}
if forgets:
    statements.CLAIM = statements.CLAIM.replace(
        "UPDATE trisig.signal SET owner = $1, attempts = attempts + 1\\nFROM", "DELETE FROM trisig.signal USING")
    Claimer.spare = lambda self: 0
signals = trisig.Signals()

def note(*words):
    with open(folder + "/notes", "a") as file:
        file.write(" ".join(map(str, (time.time(), node, *words))) + chr(10))

@signals.task("cluster")
async def handle(number: str) -> None:
    await trio.sleep({takes})
    note("handled", number)

@signals.timer({every}, signum=1, unique=True, overlap="queue")
def tick(signum):
    note("ticked", int(signals.event().due))

@signals.service("mules")
async def send() -> None:
    for count in itertools.count():
        if os.path.exists(folder + "/enough"):
            return
        number = f"{{node}}-{{os.getpid()}}-{{time.monotonic_ns()}}-{{count}}"
        await handle.send(number)
        note("sent", number)
        await trio.sleep({takes} / 12)

@signals.service("master")
async def be_cut_off(master):
    network = Network()
    while True:
        if os.path.exists(folder + "/cut-" + node) != network.is_cut:
            (network.mend if network.is_cut else network.cut)()
            note("network", network.is_cut)
        await trio.sleep(0.01)

@signals.service("leader")
async def lead(master, token):
    while True:
        note("leads", token)
        await trio.sleep(0.02)

if __name__ == "__main__":
    cluster = Cluster(conninfo, node=node, lease=lease)
    trisig.run(signals, workers=2, mules=1, cores=4, max_attempts=1000, cluster=cluster)
"""


def application(node: str, folder: str, conninfo: str, lease: float, forgets: bool = False) -> str:  # noqa: FBT001, FBT002
    """The program of a node."""
    # In the control so long that whoever is killed holds something, however slow the machine is.
    takes = 1.0 if forgets else 0.05
    words = node, folder, conninfo, lease, forgets
    return APPLICATION.format(words=words, every=EVERY, takes=takes, support=str(Path(__file__).parent))


@dataclass
class Verdict:
    """What a storm leaves.

    Attributes:
        sent: tasks whose `send` has returned.
        handled: tasks that have run.
        lost: those that were sent and never ran.
        repeated: runs beside the first of each task.
        unexplained: those of them for which no death, stop or cut of their node, or of the server, accounts.
        due: how many occurrences of the unique timer were let through.
        missing: those, between the first and the last, that were not, or were not handled.
        terms: how many leaders there were.
        stale: times that one led whose successor had begun; a stopped process may do that once.
        events: what was done to nodes and server, and how often.
    """

    sent: int = 0
    handled: int = 0
    lost: int = 0
    repeated: int = 0
    unexplained: list[tuple[Run, Run]] = field(default_factory=list)
    due: int = 0
    missing: int = 0
    terms: int = 0
    stale: int = 0
    events: Counter[str] = field(default_factory=Counter)

    def faults(self) -> list[str]:
        """What breaks a promise."""
        found = [f"{count} {what}" for what in ("lost", "unexplained", "missing") if (count := getattr(self, what))]
        if self.stale > self.events["stop"]:
            found.append(f"{self.stale} times somebody led too long, after {self.events['stop']} stops")
        return found


class Storm:
    """Nodes and their server, under fire.

    Args:
        server: a server that runs.
        folder: for notes and programs.
        seed: of the choices.
        forgets: whether nodes delete what they claim before they have handled it: the negative control.
    """

    def __init__(self, server: Postgres, folder: Path, seed: int, *, forgets: bool = False) -> None:
        self._server = server
        self._folder = folder
        self._chance = random.Random(seed)
        self._forgets = forgets
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._done: list[Done] = []

    def _start(self, node: str) -> None:
        words = node, str(self._folder), self._server.tcp(), LEASE, self._forgets
        program = self._folder / f"{node}.py"
        program.write_text(application(*words))
        with (self._folder / f"{node}.log").open("ab") as log:
            self._started[node] = time.time()
            command = [sys.executable, str(program)]
            self._running[node] = subprocess.Popen(command, stderr=log, start_new_session=True)

    # What it does

    def run(self, seconds: float) -> Verdict:
        """Let it rage, let what is under way come to its end, and judge."""
        with self._nodes():
            self._until(
                lambda: {words[1] for words in notes_in(self._folder) if words[2] == "handled"} == set(NODES), "begun"
            )
            until = time.monotonic() + seconds
            while time.monotonic() < until or len(self._done) < 2 * LEAST:
                self._strike()
            (self._folder / "enough").touch()
            self._until(self._is_empty, "come to its end")
        return judge(self._server, self._folder, self._done)

    @contextmanager
    def _nodes(self) -> Iterator[None]:
        before = children()
        try:
            for node in NODES:
                self._start(node)
            yield
            for process in self._running.values():
                process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE)
        finally:
            for process in self._running.values():
                process.kill()
                process.wait()
            assert self._server.process is not None
            for pid in children() - before - {self._server.process.pid}:  # of killed masters
                with suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _strike(self) -> None:
        what, node = self._chance.choice(("kill",) if self._forgets else EVENTS), self._chance.choice(NODES)
        self._until(lambda: self._others_live(node), "had another node")
        self._done.append((time.time(), what, node if what in ("kill", "stop", "cut", "end") else "server"))
        getattr(self, f"_{what}")(node)
        self._done.append((time.time(), f"after {what}", self._done[-1][2]))
        time.sleep(self._chance.random())

    def _others_live(self, node: str) -> bool:
        """Whether another node has renewed its lease since the last event, and is there when something is due."""
        since = self._done[-1][0] if self._done else 0.0
        query = "SELECT name, extract(epoch FROM since) FROM trisig.node WHERE name <> %s AND lease > to_timestamp(%s)"
        with suppress(psycopg.OperationalError):
            rows = self._server.ask(query, node, since + LEASE)
            return any(float(str(joined)) > self._started[str(name)] for name, joined in rows)
        return False

    def _kill(self, node: str) -> None:
        self._running[node].kill()
        self._running[node].wait()
        self._start(node)

    def _end(self, node: str) -> None:
        self._running[node].send_signal(signal.SIGTERM)
        self._running[node].wait(PATIENCE)
        self._start(node)

    def _stop(self, node: str) -> None:
        self._running[node].send_signal(signal.SIGSTOP)
        time.sleep(LEASE * 1.6)
        self._running[node].send_signal(signal.SIGCONT)

    def _cut(self, node: str) -> None:
        mark = self._folder / f"cut-{node}"
        mark.touch()
        time.sleep(LEASE * 1.6)
        mark.unlink()

    def _crash(self, _node: str) -> None:
        self._server.stop()
        self._server.start()

    def _sessions(self, _node: str) -> None:
        self._server.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trisig'")

    def _until(self, done: Callable[[], bool], what: str) -> None:
        give_up = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > give_up:
                logs = "\n".join(path.read_text()[-2000:] for path in self._folder.glob("*.log"))
                raise TimeoutError(f"it has not {what} within {PATIENCE:g} s:\n{logs}")
            time.sleep(0.02)

    def _is_empty(self) -> bool:
        with suppress(psycopg.OperationalError):  # a moment after the server's start
            return not self._server.ask("SELECT 1 FROM trisig.signal WHERE task IS NOT NULL LIMIT 1")
        return False


def notes_in(folder: Path) -> list[list[str]]:
    """What the nodes have noted."""
    file = folder / "notes"
    whole, _, _ = (file.read_text() if file.exists() else "").rpartition("\n")  # the last one may be half written
    return [line.split() for line in whole.splitlines()]


def judge(server: Postgres, folder: Path, done: list[Done]) -> Verdict:
    """What has become of the tasks and occurrences that the nodes have noted.

    Args:
        server: that of the nodes.
        folder: where they have noted it.
        done: what was done to them meanwhile.
    """
    by_kind: dict[str, list[tuple[float, str, str]]] = defaultdict(list)
    for at, node, kind, subject in notes_in(folder):
        by_kind[kind].append((float(at), node, subject))
    handled, sent = _runs(by_kind["handled"]), {subject for _, _, subject in by_kind["sent"]}
    ticked = _runs(by_kind["ticked"])
    again = [pair for runs in (*handled.values(), *ticked.values()) for pair in pairwise(runs)]
    tokens = [int(subject) for _, _, subject in by_kind["leads"]]
    fired = {int(str(due)) for (due,) in server.ask("SELECT extract(epoch FROM due)::int FROM trisig.fired")}
    due = set(range(min(fired, default=0), max(fired, default=EVERY) + 1, EVERY))
    return Verdict(
        sent=len(sent),
        handled=len(handled),
        lost=len(sent - set(handled)),
        repeated=len(again),
        unexplained=[pair for pair in again if not _explains(done, *pair)],
        due=len(fired),
        missing=len(due - (fired & set(map(int, ticked)))),
        terms=len(set(tokens)),
        stale=sum(token < most for token, most in zip(tokens, _highest(tokens), strict=True)),
        events=Counter(what for _, what, _ in done if not what.startswith("after")),
    )


def _explains(done: list[Done], first: Run, second: Run) -> bool:
    """Whether something was done to the first one's node, or to the server, around the time until the second.

    Or the second one's node was stopped or cut off: it goes on with what it had begun, and another one has run
    meanwhile.
    """
    since, until = first[0] - 3 * LEASE, second[0]
    near = [(what, whom) for at, what, whom in done if since < at < until]
    held_up = {("stop", second[1]), ("cut", second[1])} & set(near)
    return bool(held_up) or any(whom in (first[1], "server") for _, whom in near)


def _runs(notes: list[tuple[float, str, str]]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = defaultdict(list)
    for at, node, subject in notes:
        found[subject].append((at, node))
    return found


def _highest(tokens: list[int]) -> list[int]:
    """The largest one so far, at each place."""
    most, found = 0, []
    for token in tokens:
        most = max(most, token)
        found.append(most)
    return found


def storm(folder: Path, seconds: float, seed: int, *, forgets: bool = False) -> Verdict:
    """A storm on a server of its own."""
    with a_server() as server:
        server.start()
        return Storm(server, folder, seed, forgets=forgets).run(seconds)


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True)
@click.option("--seed", type=int, default=lambda: int(time.time()), show_default="the time")
def main(seconds: float, seed: int) -> None:
    """Let a storm rage over a cluster, and say what has become of it; then the same with nodes that forget."""
    for forgets in (False, True):
        with TemporaryDirectory() as folder:
            verdict = storm(Path(folder), min(seconds, 10) if forgets else seconds, seed, forgets=forgets)
        click.echo(f"{'control' if forgets else 'storm'}, seed {seed}: {verdict}")
        if forgets != bool(verdict.lost) or (not forgets and verdict.faults()):
            click.echo(f"FAILED: {verdict.faults() or 'the control has lost nothing'}")
            sys.exit(1)


if __name__ == "__main__":
    main()
