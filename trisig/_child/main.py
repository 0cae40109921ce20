"""What a newly forked process does first: find out which one it is, then live as that one."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from trisig._ipc.descriptors import ChildEnds
from trisig._ipc.gate import Gate
from trisig._ipc.inlets import Outbox
from trisig._ipc.messages import Begin, MessageError, decode
from trisig._ipc.shared_memory import Shared
from trisig._linux.prctl import set_name
from trisig._model.handlers import Handler
from trisig._model.life_limits import LifeLimits
from trisig._model.process import ProcessInfo, become
from trisig._model.targets import Target, Topology

from .child import Child
from .setup import ChildSetup, Declared, Hook, Service
from .task_runner import DeclaredTask, Jobs
from .verbs import ChildVerbs


class Declaration(Protocol):
    """A declared handler."""

    @property
    def handler(self) -> Handler: ...


class Application(Protocol):
    """What the `Signals` of the application hold."""

    @property
    def handlers(self) -> Mapping[int, Declaration]: ...
    @property
    def hooks(self) -> Sequence[tuple[Target | None, Hook]]: ...
    @property
    def services(self) -> Sequence[tuple[Target, Service]]: ...
    @property
    def tasks(self) -> Sequence[DeclaredTask]: ...
    @property
    def limits(self) -> Mapping[str, LifeLimits]: ...

    @property
    def host(self) -> Callable[[Callable[[], Awaitable[None]], Callable[[], None]], object]: ...

    def enter_child(self, verbs: ChildVerbs) -> None: ...


class ChildMain(msgspec.Struct, frozen=True):
    """Runs in each new process; made by the master before the zygote is forked, so that every process has it.

    Attributes:
        signals, application: the application's `Signals`, and what they hold.
        topology: which processes there are; its order is that of the slots.
        shared, gate: of the master.
        cores: how many async handlers a process runs at a time.
        limits: what ends the life of a process for which the application has no limits of its own.
        outbox: where the process of that name notes what it raises, if there is a journal.
        in_cluster: whether the master is a node of one.
        jobs: runs durable jobs; None if there is no spool.
        mark: the environment variable by which what a child leaves behind is known, set to the master's pid.
    """

    signals: object
    application: Application
    topology: Topology
    shared: Shared
    gate: Gate
    cores: int
    limits: LifeLimits
    outbox: Callable[[str], Outbox | None]
    mark: str
    in_cluster: bool
    jobs: Jobs | None

    def __call__(self, job: str, fds: Sequence[int]) -> None:
        """Live as the process that the job names, until the master lets it go."""
        begin = decode(job.encode())
        if not isinstance(begin, Begin):
            raise MessageError(f"a new process was sent {begin}")
        setup = self._setup(begin.name, fds)
        become(setup.info)
        os.environ[self.mark] = str(os.getppid())
        set_name(f"trisig:{begin.name}")
        child = Child(setup)
        self.application.enter_child(child.verbs)
        self.application.host(child.run, child.leave)

    def _setup(self, name: str, fds: Sequence[int]) -> ChildSetup:
        places = self.topology.processes()
        slot = [f"{kind}{number}" for kind, number in places].index(name)
        kind, number = places[slot]
        info = ProcessInfo(kind, number, os.getpid(), self.topology.farms_of(kind, number))
        return ChildSetup(
            info=info,
            slot=slot,
            shared=self.shared,
            gate=self.gate,
            ends=ChildEnds.received(fds),
            declared=self._declared_for(info),
            signals=self.signals,
            cores=self.cores,
            limits=self.application.limits.get(name, self.limits).of_one(),
            outbox=self.outbox(name),
            in_cluster=self.in_cluster,
        )

    def _declared_for(self, info: ProcessInfo) -> Declared:
        def matches(target: Target | None) -> bool:
            return target is None or (info.kind, info.number) in self.topology.members(target)

        return Declared(
            handlers={signum: declared.handler for signum, declared in self.application.handlers.items()},
            hooks=[hook for target, hook in self.application.hooks if matches(target)],
            services=[service for target, service in self.application.services if matches(target)],
            tasks=self.application.tasks,
            jobs=self.jobs,
        )
