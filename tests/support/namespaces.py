"""Networks of their own for processes under test: Linux's network namespaces, joined by a cable that can be pulled."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_PATIENCE = 10.0  # seconds until a namespace is there


class Namespace:
    """A network, for as long as a process of it lives.

    Args:
        pid: of that process.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def ip(self, *words: str) -> None:
        """Change it, as the command ip does."""
        subprocess.run(["nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", *words], check=True, capture_output=True)

    def run(self, step: Callable[[], T]) -> T:
        """Call a function in it: what it starts stays there. In a thread of its own, as threads have each a network."""
        results: list[T] = []

        def enter() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with Path(f"/proc/{self.pid}/ns/net").open() as network:
                if libc.setns(network.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            results.append(step())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return results[0]


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A network with nothing but a loopback."""
    with subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) as holder:
        try:
            own, give_up = os.readlink("/proc/self/ns/net"), time.monotonic() + _PATIENCE  # noqa: PTH115  no file
            while os.readlink(f"/proc/{holder.pid}/ns/net") == own:  # noqa: PTH115
                assert time.monotonic() < give_up
                time.sleep(0.005)
            made = Namespace(holder.pid)
            made.ip("link", "set", "lo", "up")
            yield made
        finally:
            holder.kill()


@contextmanager
def cable(one: Namespace, other: Namespace, addresses: tuple[str, str]) -> Iterator[str]:
    """Join two networks; yields the name that the cable has in both.

    Args:
        one: a network.
        other: the other one.
        addresses: of its ends, with the length of the prefix.
    """
    one.ip("link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(other.pid))
    for network, address in zip((one, other), addresses, strict=True):
        network.ip("address", "add", address, "dev", "cable")
        network.ip("link", "set", "cable", "up")
    yield "cable"


def skip_unless_permitted() -> None:
    """Skip the test where there may be no networks."""
    if os.geteuid() != 0:
        pytest.skip("no network namespaces: only root may make them")
    if missing := [name for name in ("ip", "nsenter", "unshare") if shutil.which(name) is None]:
        pytest.skip(f"no network namespaces: {', '.join(missing)} of iproute2 or util-linux is not installed")
    tried = subprocess.run(["unshare", "--net", "ip", "link", "add", "type", "veth"], check=False, capture_output=True)
    if tried.returncode:
        pytest.skip(f"no network namespaces: {tried.stderr.decode().strip()}")
