"""The verbs of `Signals` for the built-in event sources, and their decorators.

Each kind of source has a verb, which adds the source, and a decorator, which also registers the handler. A module that
brings a kind of its own, such as `trisig.postgres`, makes its decorator with `on_source`.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Callable
from typing import TypeVar, Unpack, overload

from trisig._model.handlers import Handler, check_called
from trisig._model.handling import Handling, HandlingOptions
from trisig._model.targets import parse
from trisig._sources import EventSource, kinds
from trisig._sources.catch_up import CatchUp

from .on_source import on_source

H = TypeVar("H", bound=Handler)
Path = str | os.PathLike[str]


class ExternalEvents(abc.ABC):
    """The part of `Signals` that turns external events into signals."""

    @abc.abstractmethod
    def register(self, signum: int, target: str, handler: Handler, **handling: Unpack[HandlingOptions]) -> None: ...
    @abc.abstractmethod
    def unregister(self, signum: int) -> None: ...
    @abc.abstractmethod
    def _next_signum(self, handler: Handler) -> int: ...
    @abc.abstractmethod
    def add_source(self, source: EventSource) -> EventSource: ...

    def add_timer(
        self,
        signum: int,
        seconds: float,
        *,
        iterations: int = 0,
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
    ) -> EventSource:
        """Raise a signal every so many seconds, by a kernel timer, on a fixed grid.

        Late ticks are one signal and a count of the missed ones. Follows uWSGI's `add_timer`, with fractions of
        a second and iterations. Added in a child, the timer ends with the child; added in the master while it runs,
        with the master.

        Args:
            signum: the signal.
            seconds: the interval, at least 0.001.
            iterations: how many times; 0 is for ever.
            jitter: seconds, less than the interval, by which each signal is delayed at random, so that not everything
                starts in the same moment. The ticks stay on the grid.
            catch_up: with a journal, whether ticks that passed while there was no master raise one signal (`"one"`) or
                none (`"none"`). The grid stays, too.
            late: seconds after which such a tick does not count any more; None for no limit.
            unique: whether the cluster lets each tick through once: the ticks of all nodes lie on one grid, whole
                seconds apart, and what was due while there was no node is caught up without a journal. The target of
                the signal is in the cluster.

        Returns:
            The source, for `remove_source`.

        Raises:
            TypeError, ValueError: an argument that cannot be.
            trio.ClosedResourceError: the master is shutting down.
        """
        return self.add_source(
            kinds.timer(
                signum, seconds, iterations=iterations, jitter=jitter, catch_up=catch_up, late=late, unique=unique
            )
        )

    def add_rb_timer(
        self,
        signum: int,
        seconds: float,
        *,
        iterations: int = 0,
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
    ) -> EventSource:
        """Raise a signal every so many seconds, by a timer in user space; all of them share one deadline.

        Follows uWSGI's `add_rb_timer`, without its clock of whole seconds. Arguments, errors and how long it lasts as
        for `add_timer`.
        """
        return self.add_source(
            kinds.rb_timer(
                signum, seconds, iterations=iterations, jitter=jitter, catch_up=catch_up, late=late, unique=unique
            )
        )

    @overload
    def add_cron(
        self,
        signum: int,
        expression: str,
        /,
        *,
        timezone: str | None = None,
        iterations: int = 0,
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
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
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
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
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
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
            jitter: seconds by which each signal is delayed at random; minutes that come due during the delay are folded
                into the signal.
            catch_up: with a journal, whether minutes that came due while there was no master raise one signal
                (`"one"`) or none (`"none"`).
            late: seconds after which such a minute does not count any more; None for no limit.
            unique: whether the cluster lets each minute through once, as for `add_timer`.

        Returns:
            The source, for `remove_source`.

        Raises:
            TypeError, ValueError: an argument that cannot be; the message names the field.
            trio.ClosedResourceError: the master is shutting down.
        """
        when = _given(minute, hour, day, month, weekday)
        return self.add_source(
            kinds.cron(
                signum,
                *when,
                timezone=timezone,
                iterations=iterations,
                jitter=jitter,
                catch_up=catch_up,
                late=late,
                unique=unique,
            )
        )

    def add_file_monitor(
        self,
        signum: int,
        path: Path,
        *,
        iterations: int = 0,
        missing_ok: bool = False,
        recursive: bool = False,
        match: str | None = None,
        settle: float = 0.0,
    ) -> EventSource:
        """Raise a signal whenever a file, or something in a directory, changes.

        Goes on when the path is replaced, removed and made again, or is a symlink that is pointed elsewhere. Added in
        a child, the monitor ends with the child; added in the master while it runs, with the master.

        Args:
            signum: the signal.
            path: what to watch.
            iterations: how many times; 0 is for ever.
            missing_ok: wait for the path if it does not exist yet.
            recursive: watch all that is below a directory, not only what is directly in it.
            match: a glob for the names of what changes in a directory, for example `*.py`; with a slash in it, for
                paths below the directory. None for everything.
            settle: seconds without a further change before the signal is raised, and ten times that at most.

        Returns:
            The source, for `remove_source`.

        Raises:
            FileNotFoundError: there is no such path.
            PermissionError: it may not be read.
            OSError: no inotify watch or instance is left; the message names the limit to raise.
            TypeError, ValueError: an argument that cannot be.
            trio.ClosedResourceError: the master is shutting down.
        """
        source = kinds.file(
            signum,
            path,
            iterations=iterations,
            missing_ok=missing_ok,
            recursive=recursive,
            match=match,
            settle=settle,
        )
        return self.add_source(source)

    def timer(
        self,
        seconds: float,
        target: str = "worker",
        signum: int | None = None,
        iterations: int = 0,
        *,
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
        **handling: Unpack[HandlingOptions],
    ) -> Callable[[H], H]:
        """Decorate a handler that runs every so many seconds; see `add_timer` and `register`.

        Of ticks that come while the handler runs, one is kept: `overlap` is `"one"` unless given.
        """
        check_called(seconds, "signals.timer(2)")
        return on_source(
            self,
            lambda number: kinds.timer(
                number, seconds, iterations=iterations, jitter=jitter, catch_up=catch_up, late=late, unique=unique
            ),
            _target_of(target, unique=unique),
            signum,
            Handling.given("one", **handling),
        )

    def rb_timer(
        self,
        seconds: float,
        target: str = "worker",
        signum: int | None = None,
        iterations: int = 0,
        *,
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
        **handling: Unpack[HandlingOptions],
    ) -> Callable[[H], H]:
        """Decorate a handler that runs every so many seconds; see `add_rb_timer` and `register`.

        Of ticks that come while the handler runs, one is kept: `overlap` is `"one"` unless given.
        """
        check_called(seconds, "signals.rb_timer(2)")
        return on_source(
            self,
            lambda number: kinds.rb_timer(
                number, seconds, iterations=iterations, jitter=jitter, catch_up=catch_up, late=late, unique=unique
            ),
            _target_of(target, unique=unique),
            signum,
            Handling.given("one", **handling),
        )

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
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
        **handling: Unpack[HandlingOptions],
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
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
        **handling: Unpack[HandlingOptions],
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
        jitter: float = 0.0,
        catch_up: CatchUp = "one",
        late: float | None = None,
        unique: bool = False,
        **handling: Unpack[HandlingOptions],
    ) -> Callable[[H], H]:
        """Decorate a handler that runs in each due minute; see `add_cron` and `register`.

        Of minutes that come due while the handler runs, one is kept: `overlap` is `"one"` unless given.
        """
        check_called(minute, "signals.cron('40 2 * * *')")
        when = _given(minute, hour, day, month, weekday)
        return on_source(
            self,
            lambda number: kinds.cron(
                number,
                *when,
                timezone=timezone,
                iterations=iterations,
                jitter=jitter,
                catch_up=catch_up,
                late=late,
                unique=unique,
            ),
            _target_of(target, unique=unique),
            signum,
            Handling.given("one", **handling),
        )

    def file_monitor(
        self,
        path: Path,
        target: str = "worker",
        signum: int | None = None,
        iterations: int = 0,
        *,
        missing_ok: bool = False,
        recursive: bool = False,
        match: str | None = None,
        settle: float = 0.0,
        **handling: Unpack[HandlingOptions],
    ) -> Callable[[H], H]:
        """Decorate a handler that runs when a path changes; see `add_file_monitor` and `register`."""
        check_called(path, "signals.file_monitor('/tmp')")
        return on_source(
            self,
            lambda number: kinds.file(
                number,
                path,
                iterations=iterations,
                missing_ok=missing_ok,
                recursive=recursive,
                match=match,
                settle=settle,
            ),
            target,
            signum,
            Handling.given(**handling),
        )


def _target_of(target: str, *, unique: bool) -> str:
    """Who runs the handler: with `unique`, a local target means such a process on the first available node."""
    return f"cluster/{target or 'worker'}" if unique and parse(target).node is None else target


def _given(*fields: int | str | None) -> list[int | str]:
    return [field for field in fields if field is not None]
