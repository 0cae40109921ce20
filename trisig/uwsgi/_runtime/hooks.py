"""Does what hooks say. Before the master opens and after it has closed they may block; while it runs they may not."""

from __future__ import annotations

import grp
import logging
import os
import pwd
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import trio

from trisig.uwsgi._config.hooks import Hook
from trisig.uwsgi._config.problem import ConfigError

from .commands import launching

log = logging.getLogger("trisig")


def run_hooks(hooks: Iterable[Hook]) -> None:
    """Do them all, one after the other.

    Raises:
        ConfigError: one of them has failed; the others are not done.
    """
    for hook in hooks:
        log.info("%s", hook)
        if _is_command(hook):
            _check(hook, subprocess.run(launching(hook.argument), check=False).returncode)
        else:
            _act(hook)


def run_hooks_to_the_end(hooks: Iterable[Hook]) -> None:
    """Do them all, whatever becomes of them."""
    for hook in hooks:
        try:
            run_hooks([hook])
        except ConfigError as error:
            log.error("%s", error)  # noqa: TRY400


async def do_hooks(hooks: Iterable[Hook], mercy: float) -> None:
    """Do them all, one after the other, whether the master is to end meanwhile or not, as in uWSGI.

    Args:
        hooks: what is to be done.
        mercy: for how many seconds more a cancellation waits; then it ends the command that runs.

    Raises:
        ConfigError: one of them has failed; the others are not done.
    """
    shield, failure = trio.CancelScope(shield=True), None

    async def limit() -> None:
        try:
            await trio.sleep_forever()
        finally:
            shield.deadline = trio.current_time() + mercy

    async with trio.open_nursery() as nursery:
        nursery.start_soon(limit)
        with shield:
            try:
                await _do(hooks)
            except ConfigError as error:  # raised below, outside the nursery, which would wrap it
                failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _do(hooks: Iterable[Hook]) -> None:
    for hook in hooks:
        log.info("master: %s", hook)
        if _is_command(hook):
            done = await trio.run_process(launching(hook.argument), stdin=subprocess.DEVNULL, check=False)
            _check(hook, done.returncode)
        else:
            await trio.to_thread.run_sync(_act, hook)


def _is_command(hook: Hook) -> bool:
    return hook.action in {"exec", "safeexec"}


def _check(hook: Hook, status: int) -> None:
    if status and hook.action == "safeexec":
        log.warning("%s: status %d", hook, status)
    elif status:
        raise ConfigError(f"{hook}: failed with status {status}")


def _act(hook: Hook) -> None:
    try:
        _ACTS[hook.action](hook.argument)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{hook}: failed: {error}") from None


def _putenv(text: str) -> None:
    name, _, value = text.partition("=")
    os.environ[name] = value


def _chmod(text: str) -> None:
    path, _, mode = text.partition(" ")
    Path(path).chmod(int(mode, 8))


def _chown(text: str) -> None:
    path, user, group = text.split()
    os.chown(path, pwd.getpwnam(user).pw_uid, grp.getgrnam(group).gr_gid)


def _chown2(text: str) -> None:
    path, uid, gid = text.split()
    os.chown(path, int(uid), int(gid))


def _sticky(text: str) -> None:
    Path(text).chmod(Path(text).stat().st_mode | 0o1000)


def _writing(mode: str, end: str = "") -> Callable[[str], None]:
    def write(text: str) -> None:
        path, _, content = text.partition(" ")
        with Path(path).open(mode, encoding="utf-8", errors="surrogateescape") as file:
            file.write(content + end)

    return write


def _print(text: str) -> None:
    log.info("%s", text)


def _nothing(_text: str) -> None:
    """It is so anyway."""


_ACTS: dict[str, Callable[[str], object]] = {
    "cd": os.chdir,
    "chdir": os.chdir,
    "mkdir": os.mkdir,
    "putenv": _putenv,
    "chmod": _chmod,
    "chown": _chown,
    "chown2": _chown2,
    "sticky": _sticky,
    "create": _writing("w"),
    "creat": _writing("w"),
    "write": _writing("w"),
    "writen": _writing("w", "\n"),
    "append": _writing("a"),
    "appendn": _writing("a", "\n"),
    "unlink": os.unlink,
    "print": _print,
    "log": _print,
    "unix_signal": _nothing,
}
