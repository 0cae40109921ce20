"""What the options change in this process before the application is imported."""

from __future__ import annotations

import glob
import os
import site
import sys
from pathlib import Path

from trisig.uwsgi._config.problem import ConfigError
from trisig.uwsgi._config.settings import Settings
from trisig.uwsgi._config.values import environment

from .hooks import run_hooks
from .privileges import become


def enter_surroundings(settings: Settings) -> None:
    """Write the pidfiles; then become the user, and go to the directory, that the options name. Hooks in between.

    Raises:
        ConfigError: one of them cannot be had, or a hook has failed.
    """
    os.environ.update(environment(settings.env))
    run_hooks(settings.hook_asap)
    for path in (settings.pidfile, settings.safe_pidfile):
        if path:
            _write_pid(path)
    if settings.umask:
        os.umask(int(settings.umask, 8))
    if not os.geteuid():
        run_hooks(settings.hook_as_root)
    become(settings.uid, settings.gid)
    run_hooks(settings.hook_as_user)
    for directory in (settings.chdir, settings.chdir2):
        if directory:
            _change_directory(directory)
    _extend_path(settings)
    sys.argv = ["uwsgi", *settings.pyargv.split()]


def _write_pid(path: str) -> None:
    try:
        Path(path).write_text(f"{os.getpid()}\n", encoding="ascii")
    except OSError as error:
        if isinstance(error, PermissionError) and "UWSGI_RELOADS" in os.environ:
            return  # it was written with rights that have been given up since; the number is the same
        raise ConfigError(f"pidfile = {path}: {error.strerror}") from None


def _change_directory(directory: str) -> None:
    try:
        os.chdir(directory)
    except OSError as error:
        raise ConfigError(f"chdir = {directory}: {error.strerror}") from None


def _extend_path(settings: Settings) -> None:
    """The application is found in its directory, in `pythonpath`, and in its virtual environment."""
    if settings.virtualenv:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = Path(settings.virtualenv, "lib", version, "site-packages")
        if not packages.is_dir():
            raise ConfigError(
                f"virtualenv = {settings.virtualenv}: it has no {packages}; "
                f"install trisig there too, or make it with {version}, which runs trisig"
            )
        site.addsitedir(str(packages))
        sys.path.insert(0, str(packages))
    sys.path[:0] = [path for text in settings.pythonpath for path in sorted(glob.glob(text)) or [text]]  # noqa: PTH207
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  text
