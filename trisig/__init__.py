"""The uWSGI signal framework on trio."""

from ._api.activated_sockets import activated_sockets
from ._api.lock import Lock
from ._api.options import MasterOptions
from ._api.signals import Signals
from ._api.tasks import ConfiguredTask, Task
from ._cluster.engine import ClusterEngine
from ._master.dead_letters import DeadLetters
from ._master.master import Master
from ._model.backoff import Backoff
from ._model.dead_letter import DeadLetter
from ._model.durations import Durations
from ._model.errors import (
    ChildFailedError,
    ClusterError,
    DeadlockError,
    JournalError,
    NoMasterError,
    SignalTableError,
    TargetError,
    TaskError,
)
from ._model.event import Event
from ._model.instrument import Instrument
from ._model.invocation import QueuedTask
from ._model.node_info import NodeInfo
from ._model.process import ProcessInfo, current_process
from ._model.statistics import (
    ClusterStatistics,
    LockStatistics,
    MasterStatistics,
    ProcessStatistics,
    SignalStatistics,
    SourceStatistics,
    SpoolStatistics,
    TaskStatistics,
)
from ._open import open_master
from ._run import run
from ._sources.base import EventSource, Send

__all__ = [
    "Backoff",
    "ChildFailedError",
    "ClusterEngine",
    "ClusterError",
    "ClusterStatistics",
    "ConfiguredTask",
    "DeadLetter",
    "DeadLetters",
    "DeadlockError",
    "Durations",
    "Event",
    "EventSource",
    "Instrument",
    "JournalError",
    "Lock",
    "LockStatistics",
    "Master",
    "MasterOptions",
    "MasterStatistics",
    "NoMasterError",
    "NodeInfo",
    "ProcessInfo",
    "ProcessStatistics",
    "QueuedTask",
    "Send",
    "SignalStatistics",
    "SignalTableError",
    "Signals",
    "SourceStatistics",
    "SpoolStatistics",
    "TargetError",
    "Task",
    "TaskError",
    "TaskStatistics",
    "activated_sockets",
    "current_process",
    "open_master",
    "run",
]

for _error in (
    ChildFailedError, ClusterError, DeadlockError, JournalError, NoMasterError, SignalTableError, TargetError, TaskError
):  # fmt: skip
    _error.__module__ = __name__  # tracebacks show the name that `except` needs
del _error
