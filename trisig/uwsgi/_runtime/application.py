"""Imports an application as uWSGI does: modules by name, files under names of their own, scripts as `__main__`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from trisig.uwsgi._config.settings import Settings

from .lua import run_lua


class ApplicationError(Exception):
    """The application is not there."""


def import_application(settings: Settings) -> None:
    """Import what the options name: `import`, `wsgi-file`, `module`, `lua`.

    Raises:
        Exception: what the application raises.
    """
    for name in settings.imports:
        import_name_or_file(name)
    if settings.wsgi_file:
        import_file(settings.wsgi_file)
    if settings.module:
        importlib.import_module(settings.module.partition(":")[0])
    for script in settings.scripts:
        run_lua(script)


def import_name_or_file(name: str) -> None:
    """Import a module, or a file that ends with .py."""
    if name.endswith(".py") or "/" in name:
        import_file(name)
    else:
        importlib.import_module(name.partition(":")[0])


def import_file(path: str) -> ModuleType:
    """Import a file; its module is called after its path, as in uWSGI: `uwsgi_file_app_py`."""
    name = "uwsgi_file_" + path.replace("/", "_").replace(".py", "")
    return _execute(path, name)


def run_script(path: str) -> None:
    """Run a file as a program: `__name__` is `__main__`, and `__file__` is as it was written."""
    _execute(path, "__main__")


def _execute(path: str, name: str) -> ModuleType:
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise ApplicationError(f"cannot read {path}: {error.strerror}") from None
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(source, path, "exec"), module.__dict__)  # noqa: S102  it is what a script is for
    return module


def program_of(text: str) -> Callable[[], object]:
    """What a mule runs: `file.py` or `module:function`.

    Raises:
        ApplicationError: it is neither.
    """
    if text.endswith(".py") or Path(text).is_file():
        return lambda: run_script(text)
    module, colon, function = text.partition(":")
    if not colon:
        raise ApplicationError(f"mule = {text}: write a file, like jobs.py, or package.module:function")

    def call() -> None:
        getattr(importlib.import_module(module), function)()

    return call
