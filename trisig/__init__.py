"""The uWSGI signal framework on trio."""

from ._errors import ChildFailedError, NoMasterError, SignalTableError, TargetError
from ._ledger import DeadLetter
from ._master import Master
from ._open import open_master
from ._process import ProcessInfo, current_process
from ._run import run
from ._signals import Signals
from ._sources.base import EventSource, Send
from ._statistics import MasterStatistics, ProcessStatistics, SignalStatistics, SourceStatistics

__all__ = [
    "ChildFailedError",
    "DeadLetter",
    "EventSource",
    "Master",
    "MasterStatistics",
    "NoMasterError",
    "ProcessInfo",
    "ProcessStatistics",
    "Send",
    "SignalStatistics",
    "SignalTableError",
    "Signals",
    "SourceStatistics",
    "TargetError",
    "current_process",
    "open_master",
    "run",
]
