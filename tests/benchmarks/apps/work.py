"""What both sides do in a benchmark: the same handlers, the same raisers' loops, the same clock and counters.

Only how a signal is raised differs, so that is what `ours.py` and `theirs.py` pass in. The counters are in an
anonymous mapping made before the fork. Every process writes to a slot of its own; a handler does no more than
store the time and add one, in this order, so whoever sees the count sees its time too.
"""

import json
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic

SLOTS, SLOT = 128, 8  # words of eight bytes: one cache line a process
MULES = 100  # mule n has slot MULES + n, worker n has slot n
COUNT, STAMP, PID, UP, RAISED = range(5)
GO, READY, CLOCK = 0, 1, 2  # words of slot 0, which no process has
LOG = 65_536  # moments that the `note` handler keeps

PING, OTHER = 1, 2  # signal numbers
SETTLED = 1.0  # seconds without a handled signal after which the missing ones are lost
NEAR = 0.002  # seconds within which two timers are taken for one
QUICK = 0.0002  # seconds that a look at a timer may take to be believed
LONGEST_LOOK = 15.0  # seconds to find all timers in
PATIENCE = 2.0  # seconds that one signal may take before it is lost

JOB = json.loads(os.environ["BENCHMARK_JOB"])


def _map() -> mmap.mmap:
    size = 8 * (SLOTS * SLOT + LOG)
    if "memory" not in JOB:
        return mmap.mmap(-1, size)
    with Path(JOB["memory"]).open("a+b") as file:  # for programs whose processes are not forked
        file.truncate(size)
        return mmap.mmap(file.fileno(), size)


_memory = memoryview(_map())
_ints = _memory[: 8 * SLOTS * SLOT].cast("q")
_floats = _memory[: 8 * SLOTS * SLOT].cast("d")
_log = _memory[8 * SLOTS * SLOT :].cast("d")

# This process's own count and stamp, set by `claim`; one word long each.
_count, _stamp = _ints[:1], _floats[:1]


def claim(slot: int) -> None:
    """Be the process of a slot, from its start on."""
    global _count, _stamp
    at = slot * SLOT
    _count, _stamp = _ints[at + COUNT : at + COUNT + 1], _floats[at + STAMP : at + STAMP + 1]
    _ints[at + PID] = os.getpid()
    _floats[at + UP] = monotonic()


# Handlers


def handle(signum: int) -> None:
    """The work of a handler."""
    _stamp[0] = monotonic()
    _count[0] += 1


def note(signum: int) -> None:
    """The work of a handler, and keep the moment."""
    now = monotonic()
    _log[_count[0] % LOG] = now
    _stamp[0] = now
    _count[0] += 1


# What the raisers see


def pid_of(slot: int) -> int:
    """The pid of a slot's latest process."""
    return _ints[slot * SLOT + PID]


def count_of(slot: int) -> int:
    """How many handlers have run in a slot's processes."""
    return _ints[slot * SLOT + COUNT]


def handled() -> int:
    """How many handlers have run, in all processes."""
    return sum(_ints[SLOT + COUNT : SLOTS * SLOT : SLOT])


def last_handled() -> float:
    """When the latest of them ran."""
    return max(_floats[SLOT + STAMP : SLOTS * SLOT : SLOT])


def slots(workers: int, mules: int) -> list[int]:
    """The slots of so many processes."""
    return [*range(1, workers + 1), *range(MULES + 1, MULES + mules + 1)]


def all_up(workers: int, mules: int) -> float:
    """When the last of the processes came up; 0 if not all are."""
    times = [_floats[slot * SLOT + UP] for slot in slots(workers, mules)]
    return max(times) if all(times) else 0.0


def set_ready() -> None:
    """Let the raisers begin."""
    _ints[READY] = 1


def is_ready() -> bool:
    """Whether the raisers may begin."""
    return bool(_ints[READY])


def start_clock() -> None:
    """Keep the moment at which something begins, for all processes."""
    _floats[CLOCK] = monotonic()


def stop_clock() -> None:
    """Keep how long it took."""
    _floats[CLOCK] = monotonic() - _floats[CLOCK]


def elapsed() -> float:
    """How long it took, in seconds."""
    return _floats[CLOCK]


# A burst


def numbers() -> list[int]:
    """The signals of the job."""
    return [(PING + number) % 256 for number in range(JOB["numbers"])]


def raises() -> list[int]:
    """What one raiser raises, in turn."""
    known = numbers()
    return [known[number % len(known)] for number in range(JOB["signals"])]


def line_up(slot: int, raisers: int) -> None:
    """Wait until all raisers are here; the first one lets them go and keeps the moment."""
    _ints[slot * SLOT + RAISED] = -1
    if slot != JOB["first"]:
        while not _floats[GO]:
            time.sleep(0.0005)
        return
    others = range(slot + 1, slot + raisers)
    while any(_ints[other * SLOT + RAISED] != -1 for other in others):
        time.sleep(0.0005)
    _floats[GO] = monotonic()


def raised(slot: int, signals: int) -> None:
    """This raiser is done."""
    _ints[slot * SLOT + RAISED] = signals


def settle(first: int, raisers: int, expected: int) -> dict[str, float]:
    """Wait until everything is handled, or nothing has been for a while; what came of the burst."""
    start = _floats[GO]
    while any(_ints[slot * SLOT + RAISED] < 0 for slot in range(first, first + raisers)):
        time.sleep(0.002)
    sent_in = monotonic() - start
    while (done := handled()) < expected and monotonic() - max(last_handled(), start + sent_in) < SETTLED:
        time.sleep(0.002)
    rate = done / (last_handled() - start) if done else 0.0
    return {"rate": rate, "lost": expected - done, "sent": expected, "raise_seconds": sent_in}


# One at a time


def ping(raise_signal: Callable[[int], object], slot: int, rounds: int, signum: int = PING) -> dict[str, float]:
    """Raise a signal, give way until its handler has run in the process of `slot`, and so on."""
    delays, lost = [], 0
    for _ in range(rounds):
        delay = _wait_for_handler(slot, raise_signal, signum, os.sched_yield)
        if delay is None:
            lost += 1
        else:
            delays.append(delay)
    return {**quantiles(delays), "lost": lost, "sent": rounds}


def _wait_for_handler(
    slot: int, act: Callable[[int], object], argument: int, give_way: Callable[[], object]
) -> float | None:
    before, start = count_of(slot), monotonic()
    act(argument)
    at = slot * SLOT + COUNT
    while _ints[at] == before:
        give_way()
        if monotonic() - start > PATIENCE:
            return None
    return _floats[slot * SLOT + STAMP] - start


def quantiles(values: list[float]) -> dict[str, float]:
    """Median, the 99th percentile and the greatest of some seconds, in microseconds."""
    ordered = sorted(values) or [float("nan")]
    last = len(ordered) - 1
    return {
        "p50": ordered[round(last * 0.5)] * 1e6,
        "p99": ordered[round(last * 0.99)] * 1e6,
        "max": ordered[-1] * 1e6,
    }


def throughput(start: float, items: int, before: int) -> float:
    """Wait until so many more than before are handled; how many a second that was since the start."""
    while handled() - before < items:
        time.sleep(0.002)
    return items / (last_handled() - start)


def cpu_of(pid: int) -> float:
    """CPU seconds that the main thread of a process has used."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def memory_of(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * mmap.PAGESIZE


# Timers


def spread(number: int, begin: float) -> float:
    """Seconds from now until timer `number` is to be added: they are spread evenly over a second."""
    return max(0.0, begin + number / JOB["timers"] - monotonic())


def watch_timers(master: int, slot: int, seconds: float) -> dict[str, float]:
    """How late the ticks of the master's timers are, all of one second.

    The kernel tells when each timerfd is due (/proc/PID/fdinfo). For one second those moments are collected, then
    the ticks of the following ones are compared with them: each timer is due at the same fraction of a second.
    """
    phases = _collect_phases(master)
    begin, first = monotonic(), count_of(slot)
    time.sleep(seconds)
    ticks = [_log[number % LOG] for number in range(first, count_of(slot))]
    late = [min((tick - phase + NEAR) % 1.0 - NEAR for phase in phases) for tick in ticks]
    expected = round(JOB["timers"] * (monotonic() - begin))
    # A tick at the very edge of the time watched belongs to either side.
    return {**quantiles(late), "lost": max(0, expected - len(ticks) - 1), "sent": expected, "phases": len(phases)}


def _collect_phases(master: int) -> list[float]:
    """The fractions of a second at which the timers are due, each as told by the quickest look at it."""
    looks: list[tuple[float, float]] = []  # how long the look took, the fraction
    phases: list[float] = []
    fds, bound = _timer_fds(master), monotonic() + LONGEST_LOOK
    while len(phases) < JOB["timers"]:
        if monotonic() > bound:
            raise TimeoutError(f"found {len(phases)} of {JOB['timers']} timers in {LONGEST_LOOK} s")
        end = monotonic() + 0.55
        while monotonic() < end:
            looks += [look for fd in fds if (look := _look(master, fd)) and look[0] < QUICK]
            time.sleep(0.002)
        phases = _distinct(phase for _, phase in sorted(looks))
    return phases


def _distinct(moments: Iterable[float]) -> list[float]:
    phases: list[float] = []
    for moment in moments:
        if all(abs((moment - known + 0.5) % 1.0 - 0.5) > NEAR for known in phases):
            phases.append(moment)
    return phases


def _timer_fds(master: int) -> list[str]:
    return [fd.name for fd in Path(f"/proc/{master}/fd").iterdir() if "timerfd" in _link(fd)]


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""


def _look(master: int, fd: str) -> tuple[float, float] | None:
    path = Path(f"/proc/{master}/fdinfo/{fd}")
    before = monotonic()
    text = path.read_text()
    after = monotonic()
    values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if int(values["clockid"]) == time.CLOCK_MONOTONIC and not int(values["settime flags"], 8):
        return None  # trisig's lead, which wakes the master before a timer is due
    seconds, nanoseconds = values["it_value"].strip(" ()").split(",")
    left = int(seconds) + int(nanoseconds) / 1e9
    return (after - before, ((before + after) / 2 + left) % 1.0) if left else None


# Files


def touch_files(slot: int, paths: Sequence[str], rounds: int) -> dict[str, float]:
    """Append to a watched file, give way until the handler has run, rest, and go on with the next file."""
    delays, lost = [], 0
    for number in range(rounds):
        file = os.open(paths[number * 7 % len(paths)], os.O_WRONLY | os.O_APPEND)
        time.sleep(0.01)
        delay = _wait_for_handler(slot, partial(_append, file), 0, os.sched_yield)
        os.close(file)
        if delay is None:
            lost += 1
        else:
            delays.append(delay)
    return {**quantiles(delays), "lost": lost, "sent": rounds}


def _append(file: int, _: int) -> None:
    os.write(file, b"x")


# Kills


def kill_worker(raise_signal: Callable[[int], object], rounds: int) -> dict[str, float]:
    """SIGKILL worker 1; its successor is ready when it has handled a signal that was raised when it came up."""
    delays, lost = [], 0
    for _ in range(rounds):
        time.sleep(1.2)  # no process manager likes a worker that dies at once
        start, before = monotonic(), _floats[SLOT + UP]
        os.kill(pid_of(1), signal.SIGKILL)
        while _floats[SLOT + UP] == before and monotonic() - start < PATIENCE:
            time.sleep(0.0002)
        delay = _wait_for_handler(1, raise_signal, PING, os.sched_yield)
        if delay is None:
            lost += 1
        else:
            delays.append(_floats[SLOT + STAMP] - start)
    return {**quantiles(delays), "lost": lost, "sent": rounds}


# A process tree at rest


def exercise(raise_signal: Callable[[int], object], workers: int, rounds: int) -> dict[str, float]:
    """Let every worker handle some signals, one at a time, so that it has the memory that it needs to work."""
    for _ in range(rounds):
        expected = handled() + workers
        raise_signal(PING)
        while handled() < expected:
            os.sched_yield()
    return {"raiser": os.getpid()}


def report(result: dict[str, float]) -> None:
    """Print the one line that the harness reads."""
    os.write(1, json.dumps(result).encode() + b"\n")
