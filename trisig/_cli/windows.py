"""What `trisig run` lets others see besides its control socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trisig._control.uwsgi_stats import send_stats
from trisig._desk import Window
from trisig._model.instrument import Instrument

from .failures import USAGE, leave


def metrics_window(address: str) -> Window:
    """The metrics for Prometheus; ends the program if the library for them is missing."""
    try:
        from trisig.metrics import answer_scrape  # noqa: PLC0415  of an extra, and 60 ms
    except ImportError as error:
        leave(error, USAGE)
    return Window(address, answer_scrape)


def stats_window(address: str) -> Window:
    """The statistics as uWSGI writes them."""
    return Window(address, send_stats)


@contextmanager
def spans() -> Iterator[tuple[Instrument, ...]]:
    """The instrument that exports spans; ends the program if a library for it is missing."""
    try:
        from trisig.otel import exported_spans, exporter_of_environment  # noqa: PLC0415  of an extra

        exporter = exporter_of_environment()
    except (ImportError, ValueError) as error:
        leave(error, USAGE)
    with exported_spans(exporter) as instrument:
        yield (instrument,)
