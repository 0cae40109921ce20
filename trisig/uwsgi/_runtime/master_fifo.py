"""A FIFO that takes commands of one letter: `master-fifo`, as in `echo r > fifo`."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Mapping

import trio

from trisig.uwsgi._config.problem import ConfigError

log = logging.getLogger("trisig")

_READ_BYTES = 4096


async def obey_fifo(path: str, acts: Mapping[str, Callable[[], object]]) -> None:
    """Do what is written into a FIFO, until cancelled. It stays, so that who writes between two lives waits.

    Args:
        path: of the FIFO; made if it does not exist.
        acts: what the letters do.

    Raises:
        ConfigError: it cannot be had.
    """
    fd = _opened(path)
    try:
        while True:
            await trio.lowlevel.wait_readable(fd)
            for letter in os.read(fd, _READ_BYTES).decode("latin-1"):
                if not letter.isspace():
                    _obey(letter, acts)
    finally:
        os.close(fd)


def _obey(letter: str, acts: Mapping[str, Callable[[], object]]) -> None:
    if letter in acts:
        acts[letter]()
    else:
        log.warning("master: master-fifo: %r is not served; write one of %s", letter, ", ".join(acts))


def _opened(path: str) -> int:
    try:
        if not os.path.lexists(path):
            os.mkfifo(path, 0o600)
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)  # to write, too: it never seems to be closed
    except OSError as error:
        raise ConfigError(f"master-fifo = {path}: {error.strerror}") from None
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise ConfigError(f"master-fifo = {path}: this is no FIFO; remove it, or write another path")
    return fd
