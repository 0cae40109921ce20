"""What the harness measures from outside, in /proc, while a job's program is at rest."""

from __future__ import annotations

import os
import time
from pathlib import Path

from .sides import Job, Result, Side, run, running

PROC = Path("/proc")
FEW, MANY = 1, 5  # workers
REST = 0.3  # seconds
WATCHED = 3.0  # seconds


def memory(side: Side, job: Job) -> Result:
    """Bytes of memory (PSS) that a worker adds: the whole tree with many workers less that with few."""
    few, many = (_whole_memory(side, {**job, "workers": workers}) for workers in (FEW, MANY))
    return {"pss": (many - few) / (MANY - FEW)}


def _whole_memory(side: Side, job: Job) -> float:
    with running(side, job) as (root, _):
        time.sleep(REST)
        return float(sum(_pss(pid) for pid in tree(root)))


def _pss(pid: int) -> int:
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    raise LookupError(f"no Pss of {pid}")


def idle(side: Side, job: Job) -> Result:
    """CPU seconds and voluntary context switches in a minute, of all processes but the one that raised."""
    with running(side, job) as (root, result):
        pids = [pid for pid in tree(root) if pid != result["raiser"]]
        time.sleep(REST)
        before = _spent(pids)
        time.sleep(WATCHED)
        after = _spent(pids)
    cpu, switches = ((late - early) * 60 / WATCHED for early, late in zip(before, after, strict=True))
    return {"cpu": cpu, "switches": switches}


def _spent(pids: list[int]) -> tuple[float, float]:
    tasks = [task for pid in pids for task in (PROC / str(pid) / "task").iterdir()]
    nanoseconds = sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
    return nanoseconds / 1e9, sum(_voluntary(task) for task in tasks)


def _voluntary(task: Path) -> int:
    for line in (task / "status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    raise LookupError(f"no context switches in {task}")


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    parents = {int(path.name): _parent(path) for path in PROC.iterdir() if path.name.isdigit()}
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _parent(path: Path) -> int:
    try:
        stat = (path / "stat").read_text()
    except OSError:
        return 0  # it has ended meanwhile
    return int(stat.rpartition(")")[2].split()[1])


def pinned(side: Side, job: Job) -> Result:
    """What the program measures with all its processes on one CPU, where no wake-up has to end another CPU's rest."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cpus)})
    try:
        return run(side, job)
    finally:
        os.sched_setaffinity(0, cpus)


MEASURES = {"program": run, "pinned": pinned, "memory": memory, "idle": idle}
