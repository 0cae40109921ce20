"""The options of a master, each said once: its type and meaning, its default, its bounds, and how the command names it.

`MasterOptions` is what callers write and their type checker reads. `Options` is the same with the defaults, checked,
and what the master works with. `MASTER_OPTIONS` has what a type cannot say: the bounds, and the help of the command.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import msgspec

from trisig._cluster.engine import ClusterEngine
from trisig._model.address import Address
from trisig._model.dead_letter import DeadLetter
from trisig._model.elasticity import Elasticity
from trisig._model.handlers import check_plain
from trisig._model.instrument import Instrument
from trisig._model.life_limits import LifeLimits
from trisig._model.targets import Topology

MOST_SECONDS = 1e9


class MasterOptions(TypedDict, total=False):
    """The keyword arguments of `open_master` and `run`; each may be left out."""

    workers: int
    """How many workers (1)."""
    mules: int
    """How many mules (0)."""
    farms: Mapping[str, Sequence[int]] | None
    """Names of mule farms, each with the numbers of its mules, for example ``{"busy": (1, 2)}`` (None)."""
    spoolers: int
    """How many spoolers (0)."""
    cheaper: int | None
    """How many workers there are at least; more come, up to `workers`, when signals wait, and go when they have nothing
    to do. None for as many as `workers` says all the time (None)."""
    cheaper_initial: int | None
    """How many workers there are at first; None for as many as `cheaper` says (None)."""
    cheaper_step: int
    """How many workers come at a time (1)."""
    cheaper_idle: float
    """After how many seconds without work a worker goes (30)."""
    cores: int
    """How many async handlers one process may run at a time (1)."""
    grace: float
    """How many seconds a shutdown may take (10)."""
    max_attempts: int
    """How many times a handler may end its process before its signal is dead-lettered (3)."""
    max_queued: int
    """How many pending signals make `send` wait and `send_nowait` raise `trio.WouldBlock` (64,000,000)."""
    max_queued_bytes: int
    """How many bytes of arguments of pending tasks do the same (268,435,456)."""
    handler_timeout: float | None
    """How many seconds a handler may run before its process is killed; None sets no limit (None)."""
    slow_handler: float | None
    """After how many seconds a handler that has ended is named in the log, with its time. Of those that took less than
    half a millisecond not each is looked at; None names none (None)."""
    max_handled: int | None
    """After how many signals and tasks a process is replaced, once its handlers have ended. Each process draws a limit
    of up to a tenth more, here and below, and one is replaced at a time. None for no limit (None)."""
    max_age: float | None
    """After how many seconds a process is replaced (None)."""
    max_rss: int | None
    """At how many bytes of resident memory a process is replaced; looked at after handlers (None)."""
    timer_lead: float
    """How many seconds before a timer is due the master may wake up, so as to be awake when it is; it takes as few as
    suffice, and at most a hundredth of a CPU. 0 lets it sleep until then (0.0005)."""
    application: str | None
    """Where a reload imports the application, as MODULE:NAME or FILE.py:NAME; the command `trisig run` knows it. None
    for a master that cannot reload (None)."""
    on_dead_letter: Callable[[DeadLetter], object] | None
    """Called in the master with each signal that is dead-lettered; must not block (None)."""
    journal: str | os.PathLike[str] | None
    """A file that keeps pending signals even if the master is killed. The next master with the same file delivers
    them. None keeps them in memory only (None)."""
    spool: str | os.PathLike[str] | None
    """A directory that keeps durable jobs, in the format of uWSGI's spooler; made if it does not exist (None)."""
    cluster: ClusterEngine | None
    """What makes this master a node of a cluster, for example `trisig.postgres.Cluster` (None)."""
    sockets: Sequence[str]
    """Where the master takes signals of other programs, each an address of this machine or the path of a Unix socket,
    like `127.0.0.1:3031` (none)."""
    instruments: Sequence[Instrument]
    """Called for everything that happens to signals; see `Instrument` (none)."""


class Count(NamedTuple):
    """An option that is a whole number."""

    name: str
    least: int
    most: int | None
    help: str


class Seconds(NamedTuple):
    """An option that is a number of seconds."""

    name: str
    may_be_zero: bool
    help: str


class File(NamedTuple):
    """An option that is a path."""

    name: str
    help: str


class Farms(NamedTuple):
    """The option that is a mapping of names to mules."""

    name: str
    help: str


class Addresses(NamedTuple):
    """The option that lists addresses."""

    name: str
    help: str


MASTER_OPTIONS: tuple[Count | Seconds | File | Farms | Addresses, ...] = (
    Count("workers", 0, None, "Number of workers."),
    Count("mules", 0, None, "Number of mules."),
    Farms("farms", "A farm of these mules; repeatable."),
    Count("spoolers", 0, None, "Number of spoolers."),
    Count("cheaper", 1, 2**16, "Keep so many workers; more come when signals wait."),
    Count("cheaper_initial", 1, 2**16, "Start so many workers at first."),
    Count("cheaper_step", 1, 2**16, "Let so many workers come at a time."),
    Seconds("cheaper_idle", False, "Let a worker go after so long without work."),
    Count("cores", 1, 4096, "Async handlers that one process runs at a time."),
    Seconds("grace", True, "Time that a shutdown may take."),
    Count("max_attempts", 1, 1000, "Crashes after which a signal is dead-lettered."),
    Count("max_queued", 1, 2**40, "Pending signals at which raisers wait."),
    Count("max_queued_bytes", 1, 2**40, "Bytes of pending tasks' arguments at which raisers wait."),
    Seconds("handler_timeout", False, "Kill a process whose handler takes longer."),
    Seconds("slow_handler", False, "Name a handler in the log that took longer."),
    Count("max_handled", 1, 2**40, "Replace a process after so many signals."),
    Seconds("max_age", False, "Replace a process after so long."),
    Count("max_rss", 1, 2**50, "Replace a process that has so many bytes resident."),
    Seconds("timer_lead", True, "Wake up at most so long before a timer is due."),
    File("journal", "Keep pending signals in this file across restarts."),
    File("spool", "Keep durable jobs in this directory."),
    Addresses("sockets", "Take signals of other programs here, HOST:PORT or a path; repeatable."),
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Checked `MasterOptions`, with the default of each.

    Raises:
        TypeError, ValueError: an option has the wrong type or is out of bounds.
    """

    workers: int = 1
    mules: int = 0
    farms: Mapping[str, Sequence[int]] | None = None
    spoolers: int = 0
    cheaper: int | None = None
    cheaper_initial: int | None = None
    cheaper_step: int = 1
    cheaper_idle: float = 30.0
    cores: int = 1
    grace: float = 10.0
    max_attempts: int = 3
    max_queued: int = 64_000_000
    max_queued_bytes: int = 256 * 2**20
    handler_timeout: float | None = None
    slow_handler: float | None = None
    max_handled: int | None = None
    max_age: float | None = None
    max_rss: int | None = None
    timer_lead: float = 0.0005
    application: str | None = None
    on_dead_letter: Callable[[DeadLetter], object] | None = None
    journal: str | os.PathLike[str] | None = None
    spool: str | os.PathLike[str] | None = None
    cluster: ClusterEngine | None = None
    sockets: Sequence[str] = ()
    instruments: Sequence[Instrument] = ()

    @classmethod
    def given_to(cls, function: str, options: MasterOptions) -> Options:
        """The options that a caller has passed to a function.

        Raises:
            TypeError, ValueError: an option does not exist, has the wrong type or is out of bounds.
        """
        for name in options:
            if name not in cls.__struct_fields__:
                raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")
        return cls(**options)

    def __post_init__(self) -> None:
        if self.on_dead_letter is not None:
            check_plain(self.on_dead_letter, "on_dead_letter")
        if self.application is not None and not isinstance(self.application, str):
            raise TypeError(f"application is text like 'shop.app:signals', not {self.application!r}")
        if self.cluster is not None and not isinstance(self.cluster, ClusterEngine):
            raise TypeError(
                f"cluster is a trisig.ClusterEngine, such as trisig.postgres.Cluster(...), not {self.cluster!r}"
            )
        for option in MASTER_OPTIONS:
            value = getattr(self, option.name)
            if value is None and default_of(option.name) is None:
                continue
            if isinstance(option, Count) and option.most is not None:  # the topology checks the counts of processes
                _check_count(option, value)
            elif isinstance(option, Seconds):
                _check_seconds(option, value)
        if type(self.workers) is int:  # else the topology says so
            _ = self.elasticity
        _ = self.addresses

    @property
    def loading(self) -> Sequence[str]:
        """What a reload does besides importing the application: arguments of `load_afresh`."""
        return ()

    @property
    def topology(self) -> Topology:
        """The processes.

        Raises:
            TypeError, ValueError: a count or a farm is malformed, or a farm names a mule that does not exist.
        """
        return Topology(self.workers, self.mules, self.spoolers, self.farms or {})

    @property
    def elasticity(self) -> Elasticity | None:
        """How the number of workers follows the work; None if it does not.

        Raises:
            ValueError: the numbers contradict each other.
        """
        if self.cheaper is None:
            if self.cheaper_initial is not None:
                raise ValueError("cheaper_initial goes with cheaper, which says how many workers there are at least")
            return None
        return Elasticity.given(self.workers, self.cheaper, self.cheaper_initial, self.cheaper_step, self.cheaper_idle)

    @property
    def life_limits(self) -> LifeLimits:
        """What ends the life of a process."""
        return LifeLimits(self.max_handled, self.max_age, self.max_rss)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where signals of other programs are taken.

        Raises:
            TypeError, ValueError: one is not an address, or others can reach it.
        """
        if isinstance(self.sockets, str) or not isinstance(self.sockets, Sequence):
            raise TypeError(f"sockets is a list of addresses, like ['127.0.0.1:3031'], not {self.sockets!r}")
        try:
            return tuple(Address.parse_own(text) for text in self.sockets)
        except TypeError as error:
            raise TypeError(f"sockets is a list of addresses: {error}") from None
        except ValueError as error:
            raise ValueError(f"sockets={error}") from None

    @property
    def journal_path(self) -> Path | None:
        """Where the journal is.

        Raises:
            TypeError, ValueError: it is not a path.
        """
        return path_of("journal", self.journal)

    @property
    def spool_path(self) -> Path | None:
        """Where the spool is.

        Raises:
            TypeError, ValueError: it is not a path.
        """
        return path_of("spool", self.spool)


class CommandOptions(Options, frozen=True, kw_only=True):
    """The options of the command `trisig run`, which does more than import an application.

    Attributes:
        config: the configuration file; empty for none.
        log_level: the least level to log.
        log_format: how: `text` or `json`.
    """

    config: str = ""
    log_level: str = ""
    log_format: str = "text"

    @property
    def loading(self) -> Sequence[str]:
        """As the command has done it."""
        return (self.config, self.log_level, self.log_format)


def default_of(name: str) -> object:
    """What an option is when it is left out."""
    return dict(zip(Options.__struct_fields__, Options.__struct_defaults__, strict=True))[name]


def _check_count(option: Count, value: object) -> None:
    if type(value) is not int:
        raise TypeError(f"{option.name} is a whole number, not {value!r}")
    if value < option.least or (option.most is not None and value > option.most):
        raise ValueError(f"{option.name} is a number from {option.least} to {option.most}, not {value}")


def _check_seconds(option: Seconds, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{option.name} is a number of seconds, not {value!r}")
    if not (0 < value < MOST_SECONDS or (option.may_be_zero and value == 0)):
        least = "from" if option.may_be_zero else "above"
        raise ValueError(f"{option.name} is a number of seconds {least} 0 to {MOST_SECONDS:g}, not {value}")


def path_of(name: str, value: object) -> Path | None:
    """The path that an argument is; None if it is None.

    Raises:
        TypeError: it is not a path.
        ValueError: no file can have it.
    """
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{name} is a path, not {value!r}")
    path = os.fsdecode(value)
    if not path or "\0" in path:
        raise ValueError(f"{name} is a path, not {path!r}: {'a path has no NUL in it' if path else 'it is empty'}")
    return Path(path)
