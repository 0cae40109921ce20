"""What an attached process knows of its instance, learned anew when the instance was started anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trisig._model.targets import Topology
from trisig._spool.directory import SpoolDirectory
from trisig.uwsgi._module.cache import CacheFunctions
from trisig.uwsgi._module.control import ControlFunctions
from trisig.uwsgi._module.identity import IdentityFunctions
from trisig.uwsgi._module.metrics import MetricFunctions
from trisig.uwsgi._module.module import Options
from trisig.uwsgi._module.spool import SpoolFunctions
from trisig.uwsgi._runtime.harakiri import Harakiri
from trisig.uwsgi._runtime.processes import Processes
from trisig.uwsgi._runtime.store import Store

from .functions import AttachedLocks, AttachedMessages, AttachedSignals, LocksHeld
from .link import MasterLink

ATTACH = "uwsgi-attach"  # the command that answers with an `Instance`'s fields


@dataclass(frozen=True)
class Instance:
    """One life of an instance.

    Attributes:
        values: attributes of the module.
        functions: functions of the module.
        store: its file, which ends with it.
    """

    values: Mapping[str, object]
    functions: Mapping[str, Callable[..., Any]]
    store: Store

    @classmethod
    def learned(cls, link: MasterLink, held: LocksHeld) -> Instance:
        """Ask the master.

        Raises:
            NoMasterError: there is none.
        """
        said = link.ask(ATTACH)
        store = Store.at(said["store"])
        topology = Topology(said["workers"], said["mules"], said["spoolers"], said["farms"])
        processes = Processes(topology, said["pid"])
        spools = [SpoolDirectory(Path(path)) for path in said["spools"]]
        groups = [
            AttachedSignals(link, processes),
            AttachedMessages(link, processes, store),
            AttachedLocks(link, said["locks"], held),
            IdentityFunctions(processes),
            ControlFunctions(processes, Harakiri(), store),
            CacheFunctions(store, said["caches"]),
            MetricFunctions(store, said["metrics"]),
            *([SpoolFunctions(spools, store)] if spools else []),
        ]
        functions = {name: getattr(group, name) for group in groups for name in dir(group) if _is_public(group, name)}
        options = Options()
        for key, value in said["opt"].items():
            options[key] = True if value is True else os.fsencode(value)
        values: dict[str, object] = {"opt": options, "numproc": said["workers"], "cores": said["threads"]}
        if spools:
            values["spoolers"] = tuple(os.fsencode(spool.path) for spool in spools)
        return cls(values, functions, store)

    @property
    def is_alive(self) -> bool:
        """Whether the master has not ended."""
        return self.store.exists


def _is_public(group: object, name: str) -> bool:
    return not name.startswith("_") and callable(getattr(group, name))
