"""Makes the built-in sources, each by its kind, whose module is imported when the first one of that kind is made.

Time zones, crontab rules and inotify cost a program milliseconds at its start, and most have no use for some of them.
A running master, which waits for no disk, has them imported aside before it makes what a child, or a new version of the
application, wants.
"""

# ruff: noqa: PLC0415  as said above

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from trisig._util.imports import not_imported

from .source_run import BuiltinSource

if TYPE_CHECKING:
    import os
    from typing import TypedDict, Unpack

    from .catch_up import CatchUp
    from .cron import CronSource
    from .files import FileSource
    from .timers import RbTimerSource, TimerSource

    class ScheduleOptions(TypedDict, total=False):
        """What all that goes by a clock takes; see `TimerSource`."""

        iterations: int
        jitter: float
        catch_up: CatchUp
        late: float | None
        unique: bool

    class CronOptions(ScheduleOptions, total=False):
        """See `CronSource`."""

        timezone: str | None

    class FileOptions(TypedDict, total=False):
        """See `FileSource`."""

        iterations: int
        missing_ok: bool
        recursive: bool
        match: str | None
        settle: float


_FOLDER = __name__.rpartition(".")[0]
_MODULES = {
    "timer": ("timers", "local_time"),  # which has the days of a unique one
    "rb_timer": ("timers", "local_time"),
    "cron": ("cron", "schedule", "local_time"),
    "file": ("files", "watcher"),
}


def missing_modules(specs: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is not imported yet of what makes and runs the sources of these specs."""
    names = {name for spec in specs for name in _MODULES.get(str(spec.get("kind")), ())}
    return not_imported(f"{_FOLDER}.{name}" for name in sorted(names))


def timer(signum: int, seconds: float, **options: Unpack[ScheduleOptions]) -> TimerSource:
    """A kernel timer."""
    from .timers import TimerSource

    return TimerSource(signum, seconds, **options)


def rb_timer(signum: int, seconds: float, **options: Unpack[ScheduleOptions]) -> RbTimerSource:
    """A timer in user space."""
    from .timers import RbTimerSource

    return RbTimerSource(signum, seconds, **options)


def cron(signum: int, *when: int | str, **options: Unpack[CronOptions]) -> CronSource:
    """A cron job."""
    from .cron import CronSource

    return CronSource(signum, *when, **options)


def file(signum: int, path: str | os.PathLike[str], **options: Unpack[FileOptions]) -> FileSource:
    """A file monitor."""
    from .files import FileSource

    return FileSource(signum, path, **options)


def of_parts(parts: dict[str, Any]) -> BuiltinSource:
    """The source that has these `parts()`.

    Raises:
        TypeError: a part is missing, superfluous or of another type.
        ValueError: an unknown kind, or a value that the source refuses.
        OSError: a path that cannot be monitored.
    """
    match parts.pop("kind", None):
        case "timer":
            return timer(**parts)
        case "rb_timer":
            return rb_timer(**parts)
        case "cron":
            return cron(parts.pop("signum"), *parts.pop("when"), **parts)
        case "file":
            return file(**parts)
        case kind:
            raise ValueError(f"unknown kind of source {kind!r}; expected timer, rb_timer, cron or file")
