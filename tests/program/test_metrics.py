"""The metrics: what Prometheus reads, over respawns, whatever other clients do."""

from __future__ import annotations

import os
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio
from ports import free_port
from program import run, running
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from witness import eventually

import trisig
from trisig.metrics import MasterCollector, serve_metrics

APP = """
import os, signal, time, trisig
signals = trisig.Signals()

@signals.handler(17, target="worker1")
def slow(signum):
    time.sleep(0.01)

@signals.handler(18, target="worker1")
def fails(signum):
    raise ValueError

@signals.handler(19, target="worker1")
def dies(signum):
    os.kill(os.getpid(), signal.SIGKILL)

@signals.timer(3600, target="mule1", signum=20)
def tick(signum): ...

@signals.task("mule1")
def resize(width: int) -> None: ...
"""

Samples = dict[tuple[str, str], float]


def raise_signal(folder: Path, signum: int) -> None:
    """As `trisig send` does, without the start of a process."""
    with socket.socket(socket.AF_UNIX) as control:
        control.connect(str(folder / "control"))
        control.sendall(b'{"do": "send", "signum": %d}\n' % signum)
        assert control.recv(1000) == b'{"answer": null}\n'


def scraped(port: int, path: str = "/metrics") -> Samples:
    """What a scrape reads: values by the name of the sample and its labels, which Prometheus' own parser gives."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def refused_with(port: int, path: str, method: str) -> int:
    """The status of a request that is refused."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    refused.value.close()
    return refused.value.code


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[int]:
    """The application with metrics at a port."""
    port = free_port()
    with running(folder, APP, "--mules=1", "--max-attempts=2", f"--metrics=127.0.0.1:{port}", *options):
        yield port


async def test_a_scrape_has_all_there_is_and_counts_on_over_a_death(tmp_path: Path) -> None:
    """Signals, tasks, processes and sources; two deaths of a process take nothing from its counters."""
    began = trio.current_time()
    with serving(tmp_path) as port:
        for signum in (17, 18, 17):
            raise_signal(tmp_path, signum)
        await eventually(lambda: scraped(port)["trisig_process_done_total", "worker1"] == 3)
        raise_signal(tmp_path, 19)
        await eventually(lambda: scraped(port)["trisig_signal_dead_lettered", "19"] == 1)
        raise_signal(tmp_path, 17)
        await eventually(lambda: scraped(port)["trisig_signal_done_total", "17"] == 3)
        await eventually(lambda: scraped(port)["trisig_signal_handler_seconds_count", "17"] == 3)
        now = scraped(port)
    assert now["trisig_process_restarts_total", "worker1"] == 2
    assert now["trisig_process_done_total", "worker1"] == 4
    assert now["trisig_process_ready", "mule1"] == 1
    assert now["trisig_process_resident_memory_bytes", "mule1"] > 2**20
    assert now["trisig_signal_failed_total", "18"] == 1
    assert now["trisig_signal_accepted_total", "19"] == 1
    assert now["trisig_redelivered_total", ""] >= 1
    assert now["trisig_dead_lettered", ""] == 1
    assert now["trisig_source_fired_total", "timer of signal 20 every 3600 s"] == 0
    assert now["trisig_source_late_seconds", "timer of signal 20 every 3600 s"] == 0
    assert now["trisig_task_accepted_total", "app.resize"] == 0
    assert 0.03 <= now["trisig_signal_handler_seconds_sum", "17"] < trio.current_time() - began
    of_17 = [one for one in now if one[0] == "trisig_signal_handler_seconds_bucket" and ",17" in one[1]]
    buckets = [now[place] for place in of_17]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-1]) == (0, 3)
    assert now["trisig_signal_queueing_seconds_count", "17"] >= 1


async def test_bad_clients_hurt_themselves_alone(tmp_path: Path) -> None:
    """Garbage, half a request, a megabyte, silence, and one who does not read: others are answered, signals go on."""
    with serving(tmp_path) as port:
        with closing(socket.create_connection(("127.0.0.1", port))) as garbage:
            garbage.sendall(b"\x00\xff\r\n\r\n")
            assert garbage.recv(100).startswith(b"HTTP/1.1 400")
        with closing(socket.create_connection(("127.0.0.1", port))) as large:
            try:
                large.sendall(b"GET /" + b"x" * 1_000_000)
                assert large.recv(100).startswith(b"HTTP/1.1 431")
            except ConnectionError:
                pass  # the answer was overtaken by the end of the connection, since not all was read
        with closing(socket.create_connection(("127.0.0.1", port))) as half:
            half.sendall(b"GET /metrics HT")
        for path, method, status in (("/other", "GET", 404), ("/metrics", "POST", 405)):
            assert refused_with(port, path, method) == status
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        for one in silent:
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        silent[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        silent[0].sendall(b"\r\n")
        assert scraped(port)["trisig_queued", ""] == 0
        raise_signal(tmp_path, 17)
        await eventually(lambda: scraped(port)["trisig_signal_done_total", "17"] == 1)
        assert scraped(port, "/")["trisig_process_ready", "worker1"] == 1
        many = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        assert many[-1].recv(1) == b""  # more than there is room for
        for one in (*silent, *many):
            one.close()
        raise_signal(tmp_path, 18)


def test_an_address_that_cannot_be_had_is_an_error_at_once(tmp_path: Path) -> None:
    """One that is in use, and one that is none: a line each, and no child."""
    (tmp_path / "app.py").write_text(APP)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run(tmp_path, "run", "app.py", "--mules=1", "--control=control", f"--metrics=127.0.0.1:{port}")
    assert refused.returncode == 1
    assert "in use" in refused.stderr.splitlines()[-1]
    wrong = run(tmp_path, "run", "app.py", "--metrics=here:there")
    assert wrong.returncode == 2
    assert "write HOST:PORT" in wrong.stderr


async def test_a_service_of_the_master_serves_them(nursery: trio.Nursery) -> None:
    """A program that opens the master itself has the same page, and may fill a registry of its own."""
    signals, port = trisig.Signals(), free_port()

    @signals.handler(1, target="worker1")
    def handle(signum: int) -> None: ...

    @signals.service("master")
    async def page(master: trisig.Master, task_status: trio.TaskStatus[None]) -> None:
        await serve_metrics(master, f"127.0.0.1:{port}", task_status=task_status)

    async with trisig.open_master(signals, workers=1) as master:
        await signals.send(1)
        await eventually(lambda: master.statistics().done == 1)
        read = await trio.to_thread.run_sync(scraped, port)
        registry = CollectorRegistry()
        registry.register(MasterCollector(master.statistics))
        assert registry.get_sample_value("trisig_signal_done_total", {"signum": "1"}) == 1
        os.kill(master.processes[1].pid, signal.SIGTERM)
        await eventually(lambda: registry.get_sample_value("trisig_process_restarts_total", {"process": "worker1"}))
    assert read["trisig_signal_done_total", "1"] == 1
