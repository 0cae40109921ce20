"""Describes what an application has declared, and fits a newer version of it to a master that runs an older one.

Processes of both run side by side while the children are replaced. So what travels between them as a number means the
same in both: a task keeps its index, a source its key, and a handler the signal that it was given.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trisig._model.manifest import HandlerRow, Manifest, TaskRow, without_key
from trisig._model.targets import parse
from trisig._sources import BuiltinSource, key_of, with_key

from .application import Application
from .handler_name import handler_name
from .removed_task import RemovedTask
from .tasks import Task


def manifest_of(application: Application, folders: Sequence[str] = ()) -> Manifest:
    """What it has declared so far.

    Args:
        application: the application.
        folders: where its modules are.
    """
    sources = application.sources.values()
    builtin = [source for source in sources if isinstance(source, BuiltinSource)]
    return Manifest(
        handlers=[
            HandlerRow(signum, declared.target.text, declared.handling.to_plain(), handler_name(declared.handler))
            for signum, declared in sorted(application.handlers.items())
        ],
        tasks=[_task_row(task) for task in application.tasks],
        sources=[source.to_spec() for source in builtin],
        foreign=len(sources) - len(builtin) + len(application.master_services) + len(application.leader_services),
        folders=list(folders),
    )


def _task_row(task: Task[..., Any, Any] | RemovedTask) -> TaskRow:
    return TaskRow(task.name, task.target.text, task.is_durable, isinstance(task, RemovedTask))


def own_folders() -> list[str]:
    """The directories of the imported modules that are neither installed packages nor of the standard library."""
    paths = sysconfig.get_paths()
    others = {Path(paths[name]).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    others.add(Path(__file__).resolve().parent.parent)
    files = [Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))]
    folders = {file.resolve().parent for file in files if file.suffix in {".py", ".lua"}}
    return sorted(str(folder) for folder in folders if not others & {folder, *folder.parents})


def fit(application: Application, earlier: Manifest) -> None:
    """Give what an application has declared the indices and keys that it had in an earlier version."""
    _fit_tasks(application, earlier)
    _fit_sources(application, earlier)


def _fit_tasks(application: Application, earlier: Manifest) -> None:
    now = {task.name: task for task in application.tasks}
    kept = [
        now.pop(row.name) if row.name in now else RemovedTask(row.name, parse(row.target), row.durable)
        for row in earlier.tasks
    ]
    application.tasks[:] = [*kept, *now.values()]
    for index, task in enumerate(application.tasks):
        task.index = index


def _fit_sources(application: Application, earlier: Manifest) -> None:
    left = list(earlier.sources)
    fitted = {}
    for key, source in application.sources.items():
        same = _same(source.to_spec(), left) if isinstance(source, BuiltinSource) else None
        if same is not None:
            left.remove(same)
            with_key(source, same["key"])
        fitted[key if same is None else key_of(source)] = source
    application.sources.clear()
    application.sources.update(fitted)


def _same(spec: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any] | None:
    return next((other for other in others if without_key(other) == without_key(spec)), None)
