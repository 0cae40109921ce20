"""The verbs of `Signals` for the built-in event sources, and their decorators."""

from __future__ import annotations

import abc
import os
from collections.abc import Callable
from typing import TypeVar, overload

from ._errors import SignalTableError
from ._handlers import Handler
from ._sources import CronSource, EventSource, FileSource, RbTimerSource, SharingSource, TimerSource

H = TypeVar("H", bound=Handler)
Path = str | os.PathLike[str]


class ExternalEvents(abc.ABC):
    """What turns external events into signals."""

    @abc.abstractmethod
    def register(self, signum: int, target: str, handler: Handler) -> None: ...
    @abc.abstractmethod
    def unregister(self, signum: int) -> None: ...
    @abc.abstractmethod
    def free_signum(self) -> int: ...
    @abc.abstractmethod
    def add_source(self, source: EventSource) -> EventSource: ...

    def add_timer(self, signum: int, seconds: float, *, iterations: int = 0) -> EventSource:
        """Raise a signal every so many seconds, by a kernel timer, on a fixed grid.

        Late ticks are one signal and a count of the missed ones. Follows uWSGI's `add_timer`, with fractions of
        a second and iterations. Added in a child, the timer ends with the child; added in the master while it runs,
        with the master.

        Args:
            signum: the signal.
            seconds: the interval, at least 0.001.
            iterations: how many times; 0 is for ever.

        Returns:
            The source, for `remove_source`.

        Raises:
            TypeError, ValueError: an argument that cannot be.
            trio.ClosedResourceError: the master is shutting down.
        """
        return self.add_source(TimerSource(signum, seconds, iterations=iterations))

    def add_rb_timer(self, signum: int, seconds: float, *, iterations: int = 0) -> EventSource:
        """Raise a signal every so many seconds, by a timer in user space; all of them share one deadline.

        Follows uWSGI's `add_rb_timer`, without its clock of whole seconds. Arguments, errors and how long it lasts as
        for `add_timer`.
        """
        return self.add_source(RbTimerSource(signum, seconds, iterations=iterations))

    @overload
    def add_cron(
        self, signum: int, expression: str, /, *, timezone: str | None = None, iterations: int = 0
    ) -> EventSource: ...
    @overload
    def add_cron(
        self,
        signum: int,
        minute: int,
        hour: int,
        day: int,
        month: int,
        weekday: int,
        *,
        timezone: str | None = None,
        iterations: int = 0,
    ) -> EventSource: ...
    def add_cron(
        self,
        signum: int,
        minute: int | str,
        hour: int | None = None,
        day: int | None = None,
        month: int | None = None,
        weekday: int | None = None,
        *,
        timezone: str | None = None,
        iterations: int = 0,
    ) -> EventSource:
        """Raise a signal in each due minute, exactly once.

        Added in a child, the job ends with the child; added in the master while it runs, with the master.

        Args:
            signum: the signal.
            minute: of what is due, by uWSGI's rules: -1 is any, -n every n. Or one crontab expression instead of the
                five, for example `"40 2 * * mon-fri"` or `"@hourly"`.
            hour: likewise.
            day: of the month, likewise.
            month: likewise.
            weekday: likewise; 0 and 7 are Sunday.
            timezone: an IANA name, for example `Europe/Rome`; None for local time.
            iterations: how many times; 0 is for ever.

        Returns:
            The source, for `remove_source`.

        Raises:
            TypeError, ValueError: an argument that cannot be; the message names the field.
            trio.ClosedResourceError: the master is shutting down.
        """
        when = _given(minute, hour, day, month, weekday)
        return self.add_source(CronSource(signum, *when, timezone=timezone, iterations=iterations))

    def add_file_monitor(
        self, signum: int, path: Path, *, iterations: int = 0, missing_ok: bool = False
    ) -> EventSource:
        """Raise a signal whenever a file, or something directly in a directory, changes.

        Goes on when the path is replaced, removed and made again, or is a symlink that is pointed elsewhere. Added in
        a child, the monitor ends with the child; added in the master while it runs, with the master.

        Args:
            signum: the signal.
            path: what to watch.
            iterations: how many times; 0 is for ever.
            missing_ok: wait for the path if it does not exist yet.

        Returns:
            The source, for `remove_source`.

        Raises:
            FileNotFoundError: there is no such path.
            PermissionError: it may not be read.
            OSError: no inotify watch or instance is left; the message names the limit to raise.
            TypeError, ValueError: an argument that cannot be.
            trio.ClosedResourceError: the master is shutting down.
        """
        return self.add_source(FileSource(signum, path, iterations=iterations, missing_ok=missing_ok))

    def timer(
        self, seconds: float, target: str = "worker", signum: int | None = None, iterations: int = 0
    ) -> Callable[[H], H]:
        """Decorate a handler that runs every so many seconds; see `add_timer` and `register`."""
        return self._on(lambda number: TimerSource(number, seconds, iterations=iterations), target, signum)

    def rb_timer(
        self, seconds: float, target: str = "worker", signum: int | None = None, iterations: int = 0
    ) -> Callable[[H], H]:
        """Decorate a handler that runs every so many seconds; see `add_rb_timer` and `register`."""
        return self._on(lambda number: RbTimerSource(number, seconds, iterations=iterations), target, signum)

    @overload
    def cron(
        self,
        expression: str,
        /,
        *,
        target: str = "worker",
        signum: int | None = None,
        timezone: str | None = None,
        iterations: int = 0,
    ) -> Callable[[H], H]: ...
    @overload
    def cron(
        self,
        minute: int,
        hour: int,
        day: int,
        month: int,
        weekday: int,
        *,
        target: str = "worker",
        signum: int | None = None,
        timezone: str | None = None,
        iterations: int = 0,
    ) -> Callable[[H], H]: ...
    def cron(
        self,
        minute: int | str,
        hour: int | None = None,
        day: int | None = None,
        month: int | None = None,
        weekday: int | None = None,
        *,
        target: str = "worker",
        signum: int | None = None,
        timezone: str | None = None,
        iterations: int = 0,
    ) -> Callable[[H], H]:
        """Decorate a handler that runs in each due minute; see `add_cron` and `register`."""
        when = _given(minute, hour, day, month, weekday)
        return self._on(
            lambda number: CronSource(number, *when, timezone=timezone, iterations=iterations), target, signum
        )

    def file_monitor(
        self,
        path: Path,
        target: str = "worker",
        signum: int | None = None,
        iterations: int = 0,
        *,
        missing_ok: bool = False,
    ) -> Callable[[H], H]:
        """Decorate a handler that runs when a path changes; see `add_file_monitor` and `register`."""
        return self._on(
            lambda number: FileSource(number, path, iterations=iterations, missing_ok=missing_ok), target, signum
        )

    def _on(self, make: Callable[[int], SharingSource], target: str, signum: int | None) -> Callable[[H], H]:
        """Register and add in one; the next free number unless one is given. All or nothing."""
        make(0 if signum is None else signum)  # what is wrong with it is said where it is written

        def decorate(handler: H) -> H:
            number = self._register(signum, target, handler)
            try:
                source = make(number)
                source.tied = True
                self.add_source(source)
            except BaseException:
                self.unregister(number)
                raise
            return handler

        return decorate

    def _register(self, signum: int | None, target: str, handler: Handler) -> int:
        """Register a given number, or the next free one, which another process may take meanwhile."""
        while True:
            number = self.free_signum() if signum is None else signum
            try:
                self.register(number, target, handler)
            except SignalTableError:
                if signum is not None:
                    raise
            else:
                return number


def _given(*fields: int | str | None) -> list[int | str]:
    return [field for field in fields if field is not None]
