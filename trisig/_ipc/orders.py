"""What a fresh interpreter is told that becomes the zygote of a reload, and what it reports.

JSON of the standard library, because paths may hold lone surrogates, which msgspec refuses.
"""

# No `from __future__ import annotations`: `convert` reads the types.
import json
from typing import Any, TypeVar

import msgspec

from trisig._model.life_limits import LifeLimits
from trisig._model.manifest import Manifest

T = TypeVar("T")


class ProcessOrders(msgspec.Struct, frozen=True):
    """How the children are made.

    Attributes:
        workers, mules, spoolers, farms, cores: as the options of the master.
        limits: what ends the life of a child.
        spool: the directory of the jobs; empty for none.
        in_cluster: whether the master is a node of a cluster.
    """

    workers: int
    mules: int
    spoolers: int
    farms: dict[str, list[int]]
    cores: int
    limits: LifeLimits
    spool: str
    in_cluster: bool


class Orders(msgspec.Struct, frozen=True):
    """All that the interpreter has to know.

    Attributes:
        version: of trisig, which must be the same on both sides.
        master: the pid.
        path, argv: what `sys` has in the master.
        loader: module and function that import the application, with `arguments`.
        report, line, handshake, memory, measured, gate: descriptors.
        task_rows: of the measurements.
        journal: where the parts of the journal are, if `memory` is one.
        earlier: what the master knows of the application.
        processes: how the children are made.
    """

    version: str
    master: int
    path: list[str]
    argv: list[str]
    loader: str
    arguments: list[str]
    report: int
    line: int
    handshake: int
    memory: int
    measured: int
    task_rows: int
    gate: int
    journal: list[int]
    earlier: Manifest
    processes: ProcessOrders


class Report(msgspec.Struct, frozen=True):
    """What came of the import: a manifest, or why there is none."""

    manifest: Manifest | None = None
    summary: str = ""
    traceback: str = ""


def to_json(value: Orders | Report) -> bytes:
    """Its bytes."""
    return json.dumps(msgspec.to_builtins(value)).encode()


def from_json(data: bytes, kind: type[T]) -> T:
    """The value that some bytes stand for.

    Raises:
        ValueError: none of this kind.
    """
    plain: Any = json.loads(data)
    return msgspec.convert(plain, kind)
