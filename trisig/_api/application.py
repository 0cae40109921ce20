"""What an application has declared, and the verbs of the process that it is in: `Signals` is the door to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec
import trio

from trisig._model.event import Event
from trisig._model.handlers import Handler
from trisig._model.handling import Handling
from trisig._model.life_limits import LifeLimits
from trisig._model.mailboxes import Boxes
from trisig._model.node_info import NodeInfo
from trisig._model.targets import Target, Topology, check_here, check_in_cluster
from trisig._sources import EngineSource, EventSource, is_owned_by_entry

from .durable import JobWriter
from .lock import LockVerbs
from .tasks import Task, TaskVerbs

if TYPE_CHECKING:  # of a reload
    from .removed_task import RemovedTask


class Verbs(TaskVerbs, Protocol):
    """The verbs, as the process has them."""

    @property
    def locks(self) -> LockVerbs: ...

    def send_nowait(self, signum: int) -> None: ...
    async def send(self, signum: int) -> None: ...
    async def wait(self, signum: int | None) -> int: ...
    async def receive(self, boxes: tuple[int, ...]) -> bytes | bytearray: ...
    def register(self, signum: int, target: Target, handler: Handler, handling: Handling) -> None: ...
    def event(self) -> Event | None: ...
    def nodes(self) -> tuple[NodeInfo, ...]: ...
    def unregister(self, signum: int) -> None: ...
    def is_registered(self, signum: int) -> bool: ...
    def free_signum(self) -> int: ...
    def add_source(self, source: EventSource) -> None: ...
    def remove_source(self, key: str) -> None: ...
    def pause_source(self, key: str, *, paused: bool) -> None: ...


class Declaration(msgspec.Struct, frozen=True):
    """A handler that was registered in the master."""

    target: Target
    handler: Handler
    handling: Handling


NodeChange: TypeAlias = Literal["up", "down"]
Life: TypeAlias = Callable[[], Awaitable[None]]
Host: TypeAlias = Callable[[Life, Callable[[], None]], object]


def run_in_this_thread(life: Life, leave: Callable[[], None]) -> None:  # noqa: ARG001  trio hears SIGTERM itself here
    """Run the life of a child where nothing else needs the main thread."""
    trio.run(life)


class Application:
    """What a `Signals` holds: declarations, and the verbs of the process that it is in.

    Attributes:
        host: runs the life of a child to its end. It may do so in another thread, and do something else in the main
            one; then it calls `leave`, in the thread of trio, when the process gets SIGTERM.
        commands: further ones of the control socket, by name.
        limits: what ends the life of a process instead of the master's options, by its name.
    """

    def __init__(self) -> None:
        self.handlers: dict[int, Declaration] = {}
        self.hooks: list[tuple[Target | None, Callable[[], object]]] = []
        self.master_services: list[Callable[..., Awaitable[object]]] = []
        self.leader_services: list[Callable[..., Awaitable[object]]] = []
        self.services: list[tuple[Target, Callable[..., Awaitable[object]]]] = []
        self.tasks: list[Task[..., Any, Any] | RemovedTask] = []
        self.sources: dict[str, EventSource] = {}  # by key
        self.node_signums: dict[NodeChange, list[int]] = {"up": [], "down": []}
        self.has_messages = False
        self.boxes: Boxes | None = None
        self.verbs: Verbs | None = None
        self.spool: JobWriter | None = None
        self.host: Host = run_in_this_thread
        self.commands: dict[str, Callable[..., Awaitable[object]]] = {}
        self.limits: Mapping[str, LifeLimits] = {}
        self.in_child = False
        self._has_master = False

    @contextmanager
    def opening(self) -> Iterator[None]:
        """One master at a time, from the moment on which it is asked for.

        Raises:
            trio.BusyResourceError: there is one already.
        """
        if self._has_master:
            raise trio.BusyResourceError(
                "these signals have an open master already; use another Signals for another master"
            )
        self._has_master = True
        try:
            yield
        finally:
            self._has_master = False

    def enter_child(self, verbs: Verbs) -> None:
        """This is a child now; its master is another process."""
        self.verbs, self.in_child, self._has_master = verbs, True, False

    def forget(self, signum: int) -> None:
        """Take back the handler of a signal, and the source that was made together with it."""
        self.handlers.pop(signum, None)
        for key in [key for key, source in self.sources.items() if is_owned_by_entry(source, signum)]:
            del self.sources[key]

    def _check_unique(self) -> None:
        for source in self.sources.values():
            if isinstance(source, EngineSource) and source.unique:
                declared_for = self.handlers.get(source.signum)
                check_in_cluster(source.signum, None if declared_for is None else declared_for.target)

    def check(self, topology: Topology, *, has_spool: bool, has_cluster: bool = False) -> None:
        """Everything that was declared must name processes that there will be.

        Raises:
            TargetError: something does not.
            ValueError: a task is durable, and there is no spool.
        """
        for problem in self.problems(topology, has_spool=has_spool, has_cluster=has_cluster):
            raise problem

    def problems(self, topology: Topology, *, has_spool: bool, has_cluster: bool) -> Iterator[Exception]:
        """Everything for which `check` would raise an error."""
        for declared in self.handlers.values():
            yield from _raised(topology.members, declared.target)
            if not has_cluster:
                yield from _raised(check_here, declared.target)
        yield from _raised(self._check_unique)
        if any(self.node_signums.values()) and not has_cluster:
            yield ValueError("node_up and node_down need a cluster: open the master with cluster=")
        if self.leader_services and not has_cluster:
            yield ValueError("a service of the leader needs a cluster: open the master with cluster=")
        for task in self.tasks:
            yield from _raised(topology.members, task.target)
            if not has_cluster:
                yield from _raised(check_here, task.target)
            yield from _raised(getattr, task, "code", None)  # its annotations must be known by now
            if task.is_durable and not has_spool:
                yield ValueError(f"task {task.name} is durable: give its jobs a directory with spool=DIR")
        for target in (target for target, _ in (*self.hooks, *self.services) if target is not None):
            yield from _raised(topology.members, target)


def _raised(call: Callable[..., object], *arguments: object) -> Iterator[Exception]:
    """What a call raises, if it does."""
    try:
        call(*arguments)
    except Exception as error:  # noqa: BLE001  the caller raises it
        yield error
