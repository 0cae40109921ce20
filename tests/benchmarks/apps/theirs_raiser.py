"""A raiser of uWSGI's side: the program of its last mules."""

import time

import uwsgi
import work

JOB = work.JOB
FIRST = JOB["first"]
SLOT = work.MULES + uwsgi.mule_id()


def begin() -> None:
    """Wait until every process is up and has come to rest."""
    while not work.all_up(JOB["workers"], JOB["mules"]):
        time.sleep(0.002)
    time.sleep(0.3)


def burst() -> dict[str, float]:
    """Raise signals as fast as uWSGI takes them."""
    numbers = work.raises()
    raise_signal = uwsgi.signal
    work.line_up(SLOT, JOB["raisers"])
    for signum in numbers:
        raise_signal(signum)
    work.raised(SLOT, JOB["signals"])
    return work.settle(SLOT, JOB["raisers"], JOB["expected"]) if SLOT == FIRST else {}


def latency() -> dict[str, float]:
    """Raise one at a time."""
    work.ping(uwsgi.signal, JOB["watched"], 200)
    return work.ping(uwsgi.signal, JOB["watched"], JOB["signals"])


def timers() -> dict[str, float]:
    """Add timers, evenly spread over a second, and watch their ticks."""
    start = time.monotonic()
    for number in range(JOB["timers"]):
        uwsgi.add_timer(work.PING, 1)
        uwsgi.signal(work.PING)  # the master looks for new timers when something wakes it
        time.sleep(work.spread(number + 1, start))
    return work.watch_timers(uwsgi.masterpid(), JOB["watched"], JOB["seconds"])


def files() -> dict[str, float]:
    """Change a watched file, one change at a time."""
    uwsgi.add_file_monitor(work.PING, JOB["path"])
    uwsgi.signal(work.PING)
    time.sleep(1.2)  # the master looks for new monitors when something wakes it, or once a second
    return work.touch_files(JOB["watched"], [JOB["path"]], JOB["signals"])


def kills() -> dict[str, float]:
    """Kill a worker and wait for its successor."""
    return work.kill_worker(uwsgi.signal, JOB["signals"])


def stay() -> dict[str, float]:
    """Let the workers work a little, then be still."""
    return work.exercise(uwsgi.signal, JOB["workers"], JOB["signals"])


begin()
result = {"burst": burst, "latency": latency, "timers": timers, "files": files, "kills": kills, "stay": stay}[
    JOB["kind"]
]()
if result:
    work.report(result)
time.sleep(3600)  # the harness ends all of it
