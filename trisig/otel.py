"""Spans of OpenTelemetry from the raise of a signal, or the sending of a task, to the end of its handler.

Needs opentelemetry-sdk: `python -m pip install ".[otel]"` in a checkout.

The master makes them, from what it sees: the whole way is one span, and each time that a process has the signal is a
span below it. What the application makes of its own in a handler has no link to them, as a signal has room for none.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any

from ._model.dead_letter import DeadLetter
from ._model.instrument import Instrument
from ._model.invocation import QueuedTask
from ._model.process import ProcessInfo

try:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
    from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
except ImportError as error:
    raise ImportError(
        f'trisig.otel needs opentelemetry-sdk: python -m pip install ".[otel]" in a checkout of trisig ({error})'
    ) from None

_EXPORTERS = "opentelemetry_traces_exporter"  # the group of entry points that the specification's names stand for


class _Way:
    """One signal or task on its way."""

    __slots__ = ("handling", "name", "whole")

    def __init__(self, name: str, whole: Span) -> None:
        self.name = name
        self.whole = whole
        self.handling: Span | None = None

    def handled(self, wrong: str = "") -> None:
        """The process has it no more."""
        if self.handling is not None:
            _end(self.handling, wrong)
            self.handling = None


class SignalSpans(Instrument):
    """An instrument that makes spans of all signals and tasks, for `open_master(..., instruments=[SignalSpans()])`.

    The tracer is asked for when the first child exists, so that no thread of an exporter is there when children are
    forked. What the master has taken over from a journal before that has no span.

    Args:
        provider: makes the tracer, when it is called; by default the provider that is set for the program.
        most: how many signals on their way have spans; more than that go without.

    Attributes:
        untraced: how many went without.
    """

    wants_ends_at_once = True

    def __init__(
        self, provider: Callable[[], trace.TracerProvider] = trace.get_tracer_provider, *, most: int = 10_000
    ) -> None:
        self._provider = provider
        self._most = most
        self._tracer: Tracer | None = None
        self._ways: dict[tuple[str, int], _Way] = {}
        self._task = ""
        self._raiser = ""
        self.untraced = 0

    def end(self) -> None:
        """End the spans of all that is still on its way; the master has ended."""
        for way in self._ways.values():
            way.handled("the master has ended")
            _end(way.whole, "undelivered")
        self._ways.clear()

    def process_started(self, process: ProcessInfo) -> None:
        """See `trisig.Instrument`."""
        if self._tracer is None:
            self._tracer = self._provider().get_tracer("trisig")

    def raised(self, process: str, signals: bytes) -> None:
        """See `trisig.Instrument`."""
        self._raiser = process

    def accepted(self, process: str, signals: bytes) -> None:
        """See `trisig.Instrument`."""
        self._raiser = ""

    def task_queued(self, destination: str, position: int, task: QueuedTask) -> None:
        """See `trisig.Instrument`."""
        self._task = task.task

    def queued(self, destination: str, position: int, signals: bytes) -> None:
        """See `trisig.Instrument`."""
        task, self._task = self._task, ""
        for place, signum in enumerate(signals, position):
            self._begin(destination, place, signum, task)

    def requeued(self, letter: DeadLetter, destination: str, position: int) -> None:
        """See `trisig.Instrument`."""
        self._task = ""
        self._begin(destination, position, letter.signum or 0, letter.task or "")

    def _begin(self, destination: str, position: int, signum: int, task: str) -> None:
        if self._tracer is None or len(self._ways) >= self._most:
            self.untraced += 1
            return
        attributes: dict[str, Any] = {"trisig.task": task} if task else {"trisig.signum": signum}
        if self._raiser:
            attributes["trisig.raised_by"] = self._raiser
        attributes["messaging.system"] = "trisig"
        attributes["messaging.destination.name"] = destination
        name = task or f"signal {signum}"
        self._ways[destination, position] = _Way(name, self._tracer.start_span(name, attributes=attributes))

    def moved(self, destination: str, position: int, to: str, start: int, signals: bytes) -> None:
        """See `trisig.Instrument`."""
        self._task = ""
        if (way := self._ways.pop((destination, position), None)) is not None:
            way.handled()
            way.whole.add_event("moved", {"messaging.destination.name": to})
            self._ways[to, start] = way

    def sent(self, process: str, number: int, destination: str, position: int, signals: bytes) -> None:
        """See `trisig.Instrument`."""
        for place in range(position, position + len(signals)):
            if (way := self._ways.get((destination, place))) is not None:
                self._hand_over(way, process)

    def _hand_over(self, way: _Way, process: str) -> None:
        """Begin the span of the handler. One that was taken back before it began is forgotten with its span."""
        assert self._tracer is not None
        way.handling = self._tracer.start_span(
            f"process {way.name}",
            context=trace.set_span_in_context(way.whole),
            kind=SpanKind.CONSUMER,
            attributes={"trisig.process": process, "messaging.system": "trisig", "messaging.operation.type": "process"},
        )

    def started(self, process: str, number: int, destination: str, position: int, signum: int) -> None:
        """See `trisig.Instrument`."""
        if (way := self._ways.get((destination, position))) is not None and way.handling is not None:
            way.handling.add_event("started")

    def finished(
        self, process: str, number: int | None, destination: str, position: int, signals: bytes, *, failed: bool
    ) -> None:
        """See `trisig.Instrument`."""
        wrong = "the handler raised" if failed else ""
        for place in range(position, position + len(signals)):
            if (way := self._ways.pop((destination, place), None)) is not None:
                way.handled(wrong)
                _end(way.whole, wrong)

    def retried(
        self, process: str, number: int | None, destination: str, position: int, signum: int, pause: float | None
    ) -> None:
        """See `trisig.Instrument`."""
        if (way := self._ways.get((destination, position))) is not None:
            way.handled("the handler raised")
            if pause is not None:
                way.whole.add_event("retried", {"trisig.pause": pause})

    def redelivered(self, destination: str, position: int, signals: bytes, *, blamed: bool) -> None:
        """See `trisig.Instrument`."""
        for place in range(position, position + len(signals)):
            if (way := self._ways.get((destination, place))) is not None:
                way.handled("the process ended" if blamed else "")
                way.whole.add_event("redelivered", {"trisig.blamed": blamed})

    def dead_lettered(self, letter: DeadLetter, position: int) -> None:
        """See `trisig.Instrument`."""
        if (way := self._ways.pop((letter.destination, position), None)) is not None:
            way.handled("dead-lettered")
            _end(way.whole, f"dead-lettered: {letter.reason}" if letter.reason else "dead-lettered")


def _end(span: Span, wrong: str) -> None:
    if wrong:
        span.set_status(Status(StatusCode.ERROR, wrong))
    span.end()


@contextmanager
def exported_spans(exporter: Callable[[], SpanExporter] | None = None) -> Iterator[SignalSpans]:
    """Spans that are exported in batches, with the resource and the sampler that the environment names.

    `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER` and the like mean what they mean to all programs. At the end of the block
    the last spans are sent, which may take seconds, and blocks.

    Args:
        exporter: makes the exporter, when the first child exists; None for that of `exporter_of_environment`.

    Raises:
        ValueError: the environment names an exporter that is not installed.
    """
    make = exporter_of_environment() if exporter is None else exporter
    made: list[TracerProvider] = []

    def provider() -> TracerProvider:
        made.append(TracerProvider())
        made[0].add_span_processor(BatchSpanProcessor(make()))
        return made[0]

    spans = SignalSpans(provider)
    try:
        yield spans
    finally:
        spans.end()
        for one in made:
            one.shutdown()


def exporter_of_environment() -> Callable[[], SpanExporter]:
    """What makes the exporter that `OTEL_TRACES_EXPORTER` names: `otlp`, which is the default, `console` or another.

    Raises:
        ValueError: it is not installed.
    """
    asked = os.environ.get("OTEL_TRACES_EXPORTER") or "otlp"
    by_protocol = "otlp_proto_grpc" if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") == "grpc" else "otlp_proto_http"
    name = by_protocol if asked == "otlp" else asked
    for entry in entry_points(group=_EXPORTERS, name=name):
        loaded: Callable[[], SpanExporter] = entry.load()
        return loaded
    package = f"opentelemetry-exporter-{name.replace('_', '-')}"
    raise ValueError(f"OTEL_TRACES_EXPORTER is {asked!r}, and no such exporter is installed; {package} may have it")
