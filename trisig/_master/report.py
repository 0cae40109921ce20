"""What a master says of its signals, in words."""

from __future__ import annotations

from collections.abc import Iterator

from trisig._model.statistics import MasterStatistics, SignalStatistics


def undelivered_report(left: MasterStatistics, *, journaled: bool) -> Iterator[str]:
    """What a master that has ended says of signals that were not handled."""
    tasks = left.tasks.values()
    if undelivered := left.queued + left.in_flight:
        things = counted(undelivered, sum(one.accepted - one.done - one.dead_lettered for one in tasks))
        yield f"stopped with {things} undelivered{_kept(left, undelivered) if journaled else ''}"
    yield from unhandled_report(left)
    if left.dead_lettered:
        numbers = _numbers({one.signum: one.dead_lettered for one in left.signals.values()})
        things = counted(left.dead_lettered, sum(one.dead_lettered for one in tasks))
        yield f"{things} {'was' if left.dead_lettered == 1 else 'were'} dead-lettered{numbers}"


def unhandled_report(now: MasterStatistics) -> Iterator[str]:
    """What a master says of signals that no handler takes."""
    waiting = {one.signum: unhandled(one) for one in now.signals.values()}
    if total := sum(waiting.values()):
        yield f"{counted(total)} {'has' if total == 1 else 'have'} no handler{_numbers(waiting)}"


def unhandled(signal: SignalStatistics) -> int:
    """How many signals of a number wait for somebody to call `wait`, because it has no handler."""
    return 0 if signal.target is not None else signal.accepted - signal.done - signal.dead_lettered


def _numbers(by_signum: dict[int, int]) -> str:
    text = ", ".join(f"{signum} ({count})" for signum, count in by_signum.items() if count)
    return f": {text}" if text else ""


def _kept(left: MasterStatistics, undelivered: int) -> str:
    missing = min(left.unjournaled, undelivered)
    return f"; the journal has what is left for the next master{f', but for {missing} at most' if missing else ''}"


def counted(things: int, tasks: int = 0) -> str:
    """So many signals, in words; some of the things are tasks."""
    signals = things - tasks
    words = [_plural(signals, "signal")] if signals or not tasks else []
    return " and ".join([*words, _plural(tasks, "task")] if tasks else words)


def _plural(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"
