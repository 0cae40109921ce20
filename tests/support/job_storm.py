"""Jobs with numbers of their own, while those who send them, run them and hand them out are killed.

Every number has a row of words in a file that all processes map: whether `send` was called and has returned, how often
the job started and ended, and who runs it now. So what was lost, ran twice or ran twice at once is counted however
everything ends. Run as a program, this is one master of the storm: it goes on where the one before was killed.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import trio

import trisig

_CALLED, _RETURNED, _STARTED, _ENDED, _RUNS = range(5)
_ROW = 5
SENDERS, SPOOLERS = 2, 3
_NAMES = [*(f"worker{n + 1}" for n in range(SENDERS)), *(f"spooler{n + 1}" for n in range(SPOOLERS))]
_AT_ONCE = 8  # jobs that a sender writes at the same time
_STUCK_S = 60.0
_EXITING = 0x4  # among the kernel's flags of a process that comes to its end; its locks are released after that
_STEP_S = 0.01


class Evidence:
    """What all processes of a storm share.

    Args:
        path: of the file.
        jobs: how many numbers there are.
    """

    def __init__(self, path: Path, jobs: int) -> None:
        self.jobs = jobs
        size = 8 * (_ROW * jobs + 32)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(fd, size)
        self._words = memoryview(mmap.mmap(fd, size)).cast("Q")
        os.close(fd)
        self.rows = self._words[32:]
        self.pids = self._words[: len(_NAMES)]
        self.next_number = self._words[8 : 8 + SENDERS]
        self.has_sent = self._words[10 : 10 + SENDERS]  # all that it had to
        self._few = self._words[16:20]  # allowed, overlaps, damaged, masters that have opened

    @property
    def allowed(self) -> int:
        """How many jobs each sender may send."""
        return self._few[0]

    @allowed.setter
    def allowed(self, count: int) -> None:
        self._few[0] = count

    @property
    def overlaps(self) -> int:
        """How often a job began while another process was running it."""
        return self._few[1]

    @property
    def damaged(self) -> int:
        """How many jobs had the arguments of others."""
        return self._few[2]

    def begin(self, number: int, data: bytes) -> None:
        """A job begins here."""
        row = _ROW * number
        if (other := self.rows[row + _RUNS]) and _is_alive(other):
            self._few[1] += 1
        if data != arguments_of(number):
            self._few[2] += 1
        self.rows[row + _RUNS] = os.getpid()
        self.rows[row + _STARTED] += 1

    def end(self, number: int) -> None:
        """It has ended."""
        self.rows[_ROW * number + _RUNS] = 0
        self.rows[_ROW * number + _ENDED] += 1

    def column(self, which: int) -> list[int]:
        """One word of each number."""
        return self.rows[which : _ROW * self.jobs : _ROW].tolist()


def _is_alive(pid: int) -> bool:
    """Whether a process is going to do anything more: one that was killed needs a moment to end."""
    for _ in range(100):
        try:
            state, *others = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state in "ZX" or int(others[5]) & _EXITING:
            return False
        time.sleep(0.001)
    return True


def arguments_of(number: int) -> bytes:
    """Different for each number."""
    return random.Random(number).randbytes(number % 200)


def application(evidence: Evidence) -> trisig.Signals:
    """Two workers that send, three spoolers that run."""
    signals = trisig.Signals()

    @signals.on_start()
    def note_pid() -> None:
        process = trisig.current_process()
        evidence.pids[_NAMES.index(process.name)] = process.pid

    @signals.task("spooler", durable=True, retry=trisig.Backoff(0, 0, attempts=1000))
    async def run(number: int, data: bytes) -> None:
        evidence.begin(number, data)
        await trio.sleep(0.001 * (number % 3))
        evidence.end(number)

    async def send_one(number: int) -> None:
        evidence.rows[_ROW * number + _CALLED] = 1
        await run.configure(priority=number % 3 or None).send(number, arguments_of(number))
        evidence.rows[_ROW * number + _RETURNED] = 1

    @signals.service("workers")
    async def send() -> None:
        sender = trisig.current_process().number - 1
        share = evidence.jobs // SENDERS
        while (first := evidence.next_number[sender]) < share:
            last = min(first + _AT_ONCE, evidence.allowed)
            evidence.next_number[sender] = max(first, last)  # before: a number is sent once at most
            async with trio.open_nursery() as nursery:
                for number in range(first, last):
                    nursery.start_soon(send_one, sender * share + number)
            await trio.sleep(_STEP_S)
        evidence.has_sent[sender] = 1

    return signals


def run_master(folder: Path, jobs: int) -> None:
    """Be one master of the storm."""
    signals = application(Evidence(folder / "evidence", jobs))
    trisig.run(signals, workers=SENDERS, spoolers=SPOOLERS, cores=2, spool=folder / "spool", max_attempts=1000)


@dataclass(frozen=True)
class Outcome:
    """What a storm leaves.

    Attributes:
        sent: how many `send` have returned.
        deaths: of processes that run jobs.
        repeated: how many runs came to their end beside the first of each number.
        faults: what breaks a promise.
    """

    sent: int
    deaths: int
    repeated: int
    faults: list[str]


class Storm:
    """Kills and waits, from outside.

    Args:
        folder: for the spool and the evidence.
        jobs: how many are sent in all.
        kills: how many processes are killed, every eighth of them a master.
        seed: of the choices.
        program: what a master runs: itself, or with a fault built in.
    """

    def __init__(self, folder: Path, jobs: int, kills: int, seed: int, program: str = "") -> None:
        self._folder = folder
        self._kills = kills
        self._chance = random.Random(seed)
        self._evidence = Evidence(folder / "evidence", jobs)
        here = str(Path(__file__).parent)
        lines = ("import sys", f"sys.path.insert(0, {here!r})", "import job_storm", "from pathlib import Path", program)
        self._program = "\n".join((*lines, f"job_storm.run_master(Path({str(folder)!r}), {jobs})"))
        self._deaths = 0

    def run(self) -> Outcome:
        """Let it pass."""
        master = self._open()
        try:
            for kill in range(self._kills):
                self._advance(kill + 1)
                if kill % 8 == 7:
                    self._deaths += SPOOLERS
                    master.kill()
                    master.wait()
                    master = self._open()
                else:
                    self._kill_child()
            self._advance(self._kills + 1)
            self._until(self._is_over)
        finally:
            master.send_signal(signal.SIGTERM)
            master.wait()
        return self._outcome()

    def _open(self) -> subprocess.Popen[bytes]:
        self._evidence.pids[:] = memoryview(bytes(8 * len(_NAMES))).cast("Q")
        with (self._folder / "log").open("a") as log:
            return subprocess.Popen([sys.executable, "-c", self._program], stderr=log)

    def _advance(self, part: int) -> None:
        """Allow another part of the jobs, and wait until something of it has run."""
        evidence = self._evidence
        before = sum(evidence.column(_ENDED))
        evidence.allowed = evidence.jobs // SENDERS * part // (self._kills + 1)
        self._until(lambda: sum(evidence.column(_ENDED)) > before or self._is_idle())
        time.sleep(self._chance.random() * 0.01)

    def _is_idle(self) -> bool:
        """Whether all that was allowed has been sent and has run."""
        evidence = self._evidence
        sent = all(number >= evidence.allowed for number in evidence.next_number)
        return sent and sum(evidence.column(_RETURNED)) <= sum(map(bool, evidence.column(_ENDED)))

    def _kill_child(self) -> None:
        place = self._chance.choice((0, 1, 2, 2, 3, 3, 4, 4))
        self._until(lambda: self._evidence.pids[place] > 0)
        victim, self._evidence.pids[place] = self._evidence.pids[place], 0
        self._deaths += place >= SENDERS
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it went with its master, and has not been replaced yet

    def _is_over(self) -> bool:
        all_sent = all(self._evidence.has_sent)
        return all_sent and not self._waiting()

    def _waiting(self) -> list[Path]:
        return [path for path in (self._folder / "spool").rglob("uwsgi_spoolfile_on_*") if path.parent.name != "dead"]

    def _until(self, state: object) -> None:
        assert callable(state)
        give_up = time.monotonic() + _STUCK_S
        while not state():
            if time.monotonic() > give_up:
                raise AssertionError(f"stuck: {self._outcome()}; left: {self._waiting()}")
            time.sleep(_STEP_S)

    def _outcome(self) -> Outcome:
        evidence = self._evidence
        called, returned, started, ended = (evidence.column(which) for which in (_CALLED, _RETURNED, _STARTED, _ENDED))
        repeated = sum(max(0, count - 1) for count in ended)
        counts = {
            "lost": sum(sent and not ran for sent, ran in zip(returned, ended, strict=True)),
            "invented": sum(ran and not sent for sent, ran in zip(called, started, strict=True)),
            "damaged": evidence.damaged,
            "run twice at once": evidence.overlaps,
            "given up": len(list((self._folder / "spool" / "dead").glob("uwsgi*"))),
            f"repeated after {self._deaths} deaths": max(0, repeated - 2 * self._deaths),  # two cores each
        }
        faults = [f"{count} {what}" for what, count in counts.items() if count]
        log = (self._folder / "log").read_text()
        return Outcome(sum(returned), self._deaths, repeated, [*faults, *([log] if "Traceback" in log else [])])
