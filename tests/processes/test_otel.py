"""Spans of OpenTelemetry, as the SDK's own exporter in memory gets them; and from the command line."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
from program import run, running
from witness import eventually

import trisig

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trisig.otel import SignalSpans


class Spans:
    """What was exported."""

    def __init__(self, most: int = 10_000) -> None:
        self._memory = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._memory))
        self.instrument = SignalSpans(lambda: self._provider, most=most)

    async def until(self, count: int) -> Sequence[ReadableSpan]:
        """All spans, once there are that many."""
        await eventually(lambda: len(self._memory.get_finished_spans()) >= count)
        return self._memory.get_finished_spans()


def outcome(span: ReadableSpan) -> tuple[str, str]:
    """Its name, and what is wrong; `ok` for nothing."""
    return span.name, span.status.description or "ok"


async def test_a_signal_has_a_span_and_its_handler_one_below() -> None:
    """With the signal, who raised it, where it went and which process had it; the times contain each other."""
    signals, spans = trisig.Signals(), Spans()

    @signals.handler(7, target="worker")
    async def handle(signum: int) -> None:
        await trio.sleep(0.01)

    async with trisig.open_master(signals, workers=1, instruments=[spans.instrument]):
        await signals.send(7)
        handling, whole = await spans.until(2)
    assert (outcome(handling), outcome(whole)) == (("process signal 7", "ok"), ("signal 7", "ok"))
    within, own = handling.parent, whole.get_span_context()
    assert within is not None
    assert own is not None
    assert within.span_id == own.span_id
    assert whole.parent is None
    assert whole.attributes is not None
    assert handling.attributes is not None
    assert {name: whole.attributes[name] for name in ("trisig.signum", "trisig.raised_by")} == {
        "trisig.signum": 7,
        "trisig.raised_by": "master",
    }
    assert whole.attributes["messaging.destination.name"] == "worker1"
    assert handling.attributes["trisig.process"] == "worker1"
    times = [whole.start_time, handling.start_time, handling.end_time, whole.end_time]
    assert times == sorted(times, key=lambda time: time or 0)
    assert [event.name for event in handling.events] == ["started"]


async def test_what_goes_wrong_is_in_the_spans(tmp_path: Path) -> None:
    """A handler that raises and is tried again, one that kills its process, a task, and a dead letter."""
    signals, spans = trisig.Signals(), Spans()
    first = tmp_path / "first"

    @signals.handler(1, target="worker1", retry=trisig.Backoff(0.01, 0.01, attempts=2))
    def flaky(signum: int) -> None:
        if not first.exists():
            first.touch()
            raise ValueError

    @signals.handler(2, target="worker1")
    def deadly(signum: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @signals.task("worker1")
    def resize(width: int) -> None:
        raise ValueError

    async with trisig.open_master(signals, workers=1, max_attempts=1, instruments=[spans.instrument]):
        await signals.send(1)
        flaked = [outcome(span) for span in await spans.until(3)]
        await signals.send(2)
        died = [outcome(span) for span in (await spans.until(5))[3:]]
        await resize.send(3)
        ran = [outcome(span) for span in (await spans.until(7))[5:]]
    assert flaked == [("process signal 1", "the handler raised"), ("process signal 1", "ok"), ("signal 1", "ok")]
    assert [one[0] for one in died] == ["process signal 2", "signal 2"]
    assert all("dead-lettered" in one[1] or "process ended" in one[1] for one in died), died
    assert [(one[0].removeprefix("process "), one[1]) for one in ran] == [(ran[1][0], "the handler raised")] * 2
    assert ran[1][0].endswith("resize")


async def test_so_many_have_spans() -> None:
    """More than `most` on their way go without, and are counted; at the end open spans say so."""
    signals, spans = trisig.Signals(), Spans(most=3)
    async with trisig.open_master(signals, workers=1, instruments=[spans.instrument]):
        for _ in range(5):
            await signals.send(9)  # for which there is no handler
    spans.instrument.end()
    assert [outcome(span) for span in await spans.until(3)] == [("signal 9", "undelivered")] * 3
    assert spans.instrument.untraced == 2


APP = """
import trisig
signals = trisig.Signals()

@signals.handler(7, target="workers")
def handle(signum): ...
"""


def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--otel` exports as the variables of OpenTelemetry say; at the latest, when the master ends."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    with running(tmp_path, APP, "--workers=2", "--otel") as app:
        assert run(tmp_path, "send", "7", "--control=control").returncode == 0
        app.terminate()
        assert app.stdout is not None
        written = app.stdout.read()
        assert app.stderr is not None
        assert "thread" not in app.stderr.read()
    spans = [json.loads(text) for text in re.findall(r"^\{.*?^\}", written, re.MULTILINE | re.DOTALL)]
    assert sorted(span["name"] for span in spans) == ["process signal 7"] * 2 + ["signal 7"] * 2
    assert spans[0]["resource"]["attributes"]["service.name"] == "shop"


def test_an_exporter_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names it, and nothing starts."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "carrier_pigeon")
    (tmp_path / "app.py").write_text(APP)
    ended = run(tmp_path, "run", "app.py", "--otel")
    assert ended.returncode == 2
    assert ended.stderr.startswith("trisig: OTEL_TRACES_EXPORTER is 'carrier_pigeon', and no such exporter")
    assert ended.stderr.count("\n") == 1
