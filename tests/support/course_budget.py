"""How Hypothesis drives the state machines of the suite."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings


def budget(examples: int, *phases: Phase) -> settings:
    """Much the same course of events in every run of the suite."""
    return settings(
        max_examples=examples,
        stateful_step_count=40,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        phases=phases,
        suppress_health_check=[HealthCheck.data_too_large, HealthCheck.filter_too_much, HealthCheck.too_slow],
    )
