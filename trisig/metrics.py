"""The statistics of a master for Prometheus: a collector, and a page that a task of the master serves.

Needs prometheus-client and h11: `python -m pip install ".[metrics]"` in a checkout.

All of it comes from the statistics of the master at the moment of the scrape. So no files are shared by processes, and
what a process had counted is still there when another one has replaced it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from time import time
from typing import Any

import trio

from ._control.outlet import open_outlet
from ._master.master import Master
from ._model.durations import BOUNDS, Durations
from ._model.statistics import (
    MasterStatistics,
    ProcessStatistics,
    SignalStatistics,
    SourceStatistics,
    SpoolStatistics,
    TaskStatistics,
)

try:
    import h11
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "trisig.metrics needs prometheus-client and h11: "
        f'python -m pip install ".[metrics]" in a checkout of trisig ({error})'
    ) from None

_LE = BOUNDS[::4]  # each the double of the one before, from a microsecond
_REQUEST_BYTES = 16_384

_COUNTED = {
    "accepted": "Taken over for delivery.",
    "done": "Handled to the end.",
    "failed": "Handlers that raised.",
    "retried": "Failures that were followed by another attempt.",
    "skipped": "Not accepted, because overlap= allowed no other one.",
}


class MasterCollector(Collector):
    """Gives the statistics of a master to a registry of prometheus_client.

    A registry that collects in another thread than the master's must be given a snapshot:
    `MasterCollector(master.statistics)` asks whenever it is asked itself.

    Args:
        statistics: returns what to tell.
    """

    def __init__(self, statistics: Callable[[], MasterStatistics]) -> None:
        self._statistics = statistics

    def describe(self) -> Iterable[Metric]:
        """Nothing: what there is depends on the application, and may change while it runs."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics of this moment."""
        now = self._statistics()
        yield from _totals(now)
        yield from _work("signal", "signum", [(str(one.signum), one) for one in now.signals.values()])
        yield from _work("task", "task", [(one.task, one) for one in now.tasks.values()])
        yield from _processes(now.processes.values())
        yield from _sources(now.sources)
        if now.spool is not None:
            yield from _jobs(now.spool)


def _totals(now: MasterStatistics) -> Iterator[Metric]:
    yield _gauge("trisig_queued", "What waits in the master.", now.queued)
    yield _gauge("trisig_in_flight", "Handed to a process, not done.", now.in_flight)
    yield _gauge("trisig_dead_lettered", "Given up, and not requeued.", now.dead_lettered)
    yield _gauge("trisig_locks_held", "Locks that are held.", len(now.locks))
    redelivered = CounterMetricFamily("trisig_redelivered", "Put back because a process ended.")
    redelivered.add_metric((), now.redelivered)
    yield redelivered
    unjournaled = CounterMetricFamily("trisig_unjournaled", "Accepted while the journal had no room.")
    unjournaled.add_metric((), now.unjournaled)
    yield unjournaled


def _gauge(name: str, words: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, words)
    family.add_metric((), value)
    return family


def _work(kind: str, label: str, each: list[tuple[str, Any]]) -> Iterator[Metric]:
    """Counters and times of signals or of tasks."""
    yield from _counters(kind, label, each)
    pending = GaugeMetricFamily(f"trisig_{kind}_pending", "Accepted, and neither done nor given up.", labels=[label])
    letters = GaugeMetricFamily(f"trisig_{kind}_dead_lettered", "Given up, and not requeued.", labels=[label])
    handler = HistogramMetricFamily(f"trisig_{kind}_handler_seconds", "How long handlers took.", labels=[label])
    queueing = HistogramMetricFamily(
        f"trisig_{kind}_queueing_seconds", "From the acceptance to the handler, of a sample.", labels=[label]
    )
    for name, one in each:
        pending.add_metric((name,), one.accepted - one.done - one.dead_lettered)
        letters.add_metric((name,), one.dead_lettered)
        _add_times(handler, name, one.handler_time)
        _add_times(queueing, name, one.queueing_time)
    yield from (pending, letters, handler, queueing)


def _counters(kind: str, label: str, each: list[tuple[str, SignalStatistics | TaskStatistics]]) -> Iterator[Metric]:
    for field, words in _COUNTED.items():
        family = CounterMetricFamily(f"trisig_{kind}_{field}", words, labels=[label])
        for name, one in each:
            if (value := getattr(one, field, None)) is not None:  # tasks have no retries
                family.add_metric((name,), value)
        if family.samples:
            yield family


def _add_times(family: HistogramMetricFamily, name: str, times: Durations) -> None:
    counts, below = dict(times.buckets), 0
    buckets = []
    for place, bound in enumerate(BOUNDS):
        below += counts.get(bound, 0)
        if place % 4 == 0:
            buckets.append((f"{bound:g}", float(below)))
    family.add_metric((name,), [*buckets, ("+Inf", float(times.count))], times.total)


def _processes(each: Iterable[ProcessStatistics]) -> Iterator[Metric]:
    restarts = CounterMetricFamily("trisig_process_restarts", "Processes after the first one.", labels=["process"])
    done = CounterMetricFamily("trisig_process_done", "Handlers that have ended here.", labels=["process"])
    failed = CounterMetricFamily("trisig_process_failed", "Handlers that raised here.", labels=["process"])
    ready = GaugeMetricFamily("trisig_process_ready", "Whether it is ready to run handlers.", labels=["process"])
    queued = GaugeMetricFamily("trisig_process_queued", "What waits for it alone.", labels=["process"])
    in_flight = GaugeMetricFamily("trisig_process_in_flight", "What it holds or runs.", labels=["process"])
    memory = GaugeMetricFamily("trisig_process_resident_memory_bytes", "Its resident memory.", labels=["process"])
    for one in each:
        label = (one.name,)
        for family, value in (
            (restarts, one.respawns),
            (done, one.done),
            (failed, one.failed),
            (ready, int(one.state == "ready")),
            (queued, one.queued),
            (in_flight, one.in_flight),
            (memory, one.rss),
        ):
            family.add_metric(label, value)
    yield from (restarts, done, failed, ready, queued, in_flight, memory)


def _sources(each: Iterable[SourceStatistics]) -> Iterator[Metric]:
    by_name: defaultdict[str, list[SourceStatistics]] = defaultdict(list)
    for one in each:
        by_name[one.source].append(one)
    for field, words in (
        ("fired", "Signals that it raised."),
        ("missed", "Occurrences that were folded into others."),
        ("restarts", "How often it failed and was started again."),
    ):
        family = CounterMetricFamily(f"trisig_source_{field}", words, labels=["source"])
        for name, ones in by_name.items():
            family.add_metric((name,), sum(getattr(one, field) for one in ones))
        yield family
    late = GaugeMetricFamily("trisig_source_late_seconds", "For how long its signal has been due.", labels=["source"])
    for name, ones in by_name.items():
        late.add_metric((name,), max(map(_lateness, ones)))
    yield late


def _lateness(source: SourceStatistics) -> float:
    if source.next_due is None or source.state == "paused":
        return 0.0
    return max(0.0, time() - source.next_due)


def _jobs(spool: SpoolStatistics) -> Iterator[Metric]:
    for field, words in (
        ("waiting", "Jobs that are not due, or wait for a process."),
        ("running", "Jobs that were handed to processes."),
        ("dead_lettered", "Jobs that were given up."),
    ):
        yield _gauge(f"trisig_jobs_{field}", words, getattr(spool, field))


# The page


async def serve_metrics(
    master: Master, address: str, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the metrics of a master over HTTP until cancelled; for a service of the master.

    Args:
        master: whose.
        address: where: HOST:PORT.
        task_status: started when it listens.

    Raises:
        ValueError: not an address.
        OSError: it is in use, or cannot be had.
    """
    async with open_outlet(address) as outlet:
        task_status.started()
        await outlet.serve(lambda stream: answer_scrape(master, stream))


async def answer_scrape(master: Master, stream: trio.SocketStream) -> None:
    """Answer one request for `/metrics`."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_REQUEST_BYTES)
    try:
        request = await _read_request(connection, stream)
        if request is None:
            return
        status, kind, body = await _page(master, request)
    except h11.RemoteProtocolError as error:
        status, kind, body = error.error_status_hint, "text/plain", f"{error}\n".encode()
        if connection.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        request = None
    headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")]
    data = connection.send(h11.Response(status_code=status, headers=headers)) or b""
    if request is None or request.method != b"HEAD":
        data += body
    await stream.send_all(data)
    await stream.send_eof()


async def _read_request(connection: h11.Connection, stream: trio.SocketStream) -> h11.Request | None:
    """The request, when all of it has come; None if the client leaves before."""
    request = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(_REQUEST_BYTES))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage):
            return request
        elif not isinstance(event, h11.Data):
            return None


async def _page(master: Master, request: h11.Request) -> tuple[int, str, bytes]:
    """Status, type and content."""
    if request.method not in (b"GET", b"HEAD"):
        return 405, "text/plain", b"the metrics can be read by GET\n"
    if request.target.partition(b"?")[0] not in (b"/", b"/metrics"):
        return 404, "text/plain", b"the metrics are at /metrics\n"
    accept = b",".join(value for name, value in request.headers if name == b"accept").decode("latin-1")
    encoder, kind = choose_encoder(accept)
    registry, now = CollectorRegistry(), master.statistics()
    registry.register(MasterCollector(lambda: now))
    # In a thread: the text of 256 signals takes longer to write than a signal may wait for the master.
    return 200, kind, await trio.to_thread.run_sync(encoder, registry)
