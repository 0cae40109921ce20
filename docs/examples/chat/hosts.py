"""Under which names the server may be asked for. Pure.

A browser checks that a page talks to the host it came from, and knows hosts by name. So a page of somebody else's
could let its own name point to this server's address after it was loaded (DNS rebinding), and would be allowed to talk
in the name of whoever has it open. It cannot change the name under which the browser asks.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import ip_address

LOCAL = "localhost"
_HOST = re.compile(r"(\[[^]]*]|[^:]*)(?::\d*)?")


def is_allowed(host: str, names: Collection[str]) -> bool:
    """Whether a `Host` header is an address, which no name server can make point elsewhere, or one of some names."""
    found = _HOST.fullmatch(host)
    if not found:
        return False
    name = _plain(found[1])
    return name in {LOCAL, *map(_plain, names)} or _is_address(name.strip("[]"))


def _plain(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
