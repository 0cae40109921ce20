"""Where a PostgreSQL server is and how to connect to it, read from a conninfo; no connection is made here.

A conninfo that libpq would refuse when it connects is refused here already, so that it fails in the line that wrote it.
Host names are looked up here too: libpq would do it inside `connect_start` or `connect_poll` and block the master
meanwhile. So libpq is given addresses, and one at a time, because `connect_timeout` is for one address: a dead host
must not use up the time of the next one.
"""

from __future__ import annotations

import ipaddress
import math
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

import psycopg
import trio
from psycopg import pq
from psycopg.conninfo import make_conninfo

# In force unless the conninfo or libpq's environment says otherwise. A peer that vanished without a word is noticed
# after idle + interval * count seconds, and after tcp_user_timeout (ms) where something sent is not acknowledged.
# GSS encryption would have libpq ask a ticket server and block while it does.
_DEFAULTS = {
    "connect_timeout": "10",
    "fallback_application_name": "trisig",
    "gssencmode": "disable",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
# What the kernel takes of the keepalives, which is less than libpq does; the rest are C's int.
_LARGEST_INT = 2**31 - 1
_NUMBERS = {
    "connect_timeout": (-_LARGEST_INT, _LARGEST_INT),
    "keepalives": (-_LARGEST_INT, _LARGEST_INT),
    "keepalives_idle": (1, 32_767),
    "keepalives_interval": (1, 32_767),
    "keepalives_count": (1, 127),
    "tcp_user_timeout": (-_LARGEST_INT, _LARGEST_INT),
}
# A path that is never a socket.
_NOWHERE = "/dev/null"


@dataclass(frozen=True)
class Place:
    """One of the hosts of a conninfo, as libpq splits them."""

    host: str
    hostaddr: str
    port: str

    def __str__(self) -> str:
        return f"{self.host or self.hostaddr or 'the local socket'}:{self.port or '5432'}"

    async def addresses(self) -> list[str]:
        """What to give as `hostaddr`; an empty one where libpq needs none.

        Raises:
            OSError: the name is unknown.
        """
        if self.hostaddr or not self.host or self.host[0] in "/@" or _is_address(self.host):
            return [self.hostaddr]
        found = await trio.socket.getaddrinfo(self.host, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class Server:
    """A server to connect to; equal for every spelling of the same conninfo. Made by `server_of`."""

    places: tuple[Place, ...]
    options: frozenset[tuple[str, str]] = field(repr=False)  # the password is among them

    def __str__(self) -> str:
        return ",".join(map(str, self.places))

    @property
    def timeout(self) -> float:
        """Seconds for one address to answer in, as libpq reads `connect_timeout`."""
        seconds = int(dict(self.options)["connect_timeout"])
        return seconds if seconds > 0 else math.inf

    def conninfo(self, place: Place, address: str) -> str:
        """How to connect to one address of one place."""
        where = {"host": place.host, "hostaddr": address, "port": place.port}
        return make_conninfo(**dict(self.options), **{key: value for key, value in where.items() if value})


def server_of(conninfo: str) -> Server:
    """Read a conninfo, in either of libpq's forms; the rest comes from its environment (PGHOST and so on).

    Raises:
        TypeError: not a string.
        ValueError: not a conninfo, an unknown option, or a value that libpq refuses.
    """
    given = _parse(conninfo)
    if "service" in given:
        raise ValueError("a conninfo with service= cannot be used; write out what the service says, or set PGSERVICE")
    known = {option.keyword.decode(): option for option in pq.Conninfo.get_defaults()}
    effective = {**_environment(known), **given}
    for name, default in _DEFAULTS.items():
        if name in known and name not in effective:
            effective[name] = default
    places = _places(*(effective.pop(key, "") for key in ("host", "hostaddr", "port")))
    # The names of channels are sent and received in this encoding.
    server = Server(places, frozenset({**effective, "client_encoding": "UTF8"}.items()))
    try:
        _check(server)
    except ValueError as error:
        raise ValueError(_without_secrets(str(error), conninfo)) from None
    return server


def _parse(conninfo: str) -> dict[str, str]:
    if not isinstance(conninfo, str):
        raise TypeError(f"a conninfo is a str, not {type(conninfo).__name__}")
    if "\0" in conninfo:
        raise ValueError("a conninfo cannot contain a NUL")
    try:
        return _set(pq.Conninfo.parse(conninfo.encode()))
    except UnicodeEncodeError:
        raise ValueError("a conninfo cannot contain surrogates, which are no text") from None
    except psycopg.OperationalError as error:
        said = _without_secrets(str(error).strip(), conninfo)
    # Outside of the block: the error has the words of libpq, and a traceback would show them.
    raise ValueError(f"not a PostgreSQL conninfo: {said}")


def _without_secrets(message: str, conninfo: str) -> str:
    """What libpq says of a conninfo, without what it quotes of one in which a password may stand."""
    if "@" not in conninfo and "password" not in conninfo.lower():
        return message
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    return re.sub(r'"([^"]*)"', lambda quote: quote[0] if quote[1] == "=" or quote[1] in known else '"..."', message)


def _set(options: list[pq.ConninfoOption]) -> dict[str, str]:
    return {option.keyword.decode(): option.val.decode() for option in options if option.val is not None}


def _environment(known: Mapping[str, pq.ConninfoOption]) -> dict[str, str]:
    """What the environment sets, of the options that this module decides about; libpq reads the rest itself."""
    wanted = ("host", "hostaddr", "port", *_DEFAULTS)
    changed = [known[name] for name in wanted if name in known and known[name].val != known[name].compiled]
    return _set(changed)


def _places(hosts: str, addresses: str, ports: str) -> tuple[Place, ...]:
    """Split the lists by libpq's rules."""
    host_list, address_list, port_list = hosts.split(","), addresses.split(","), ports.split(",")
    count = len(address_list) if addresses else len(host_list)
    if hosts and len(host_list) != count:
        raise ValueError(f"a conninfo with {len(host_list)} hosts cannot have {count} of hostaddr")
    if len(port_list) not in (1, count):
        raise ValueError(f"a conninfo with {count} hosts cannot have {len(port_list)} ports")
    padded = [entry if len(entry) == count else entry * count for entry in (host_list, address_list, port_list)]
    return tuple(Place(*parts) for parts in zip(*padded, strict=True))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check(server: Server) -> None:
    """Have libpq check the values by connecting to `/dev/null`, which is no socket.

    libpq offers no other check. It checks most options before it opens the socket, so an error that does not name
    `/dev/null` is about an option.
    """
    for name, value in server.options:
        if name in _NUMBERS:
            _check_number(name, value)
    for place in server.places:
        if place.hostaddr and not _is_address(place.hostaddr):
            raise ValueError(f"the hostaddr of a conninfo is a numeric address, not {place.hostaddr!r}")
        attempt = pq.PGconn.connect_start(_harmless(server).conninfo(Place(_NOWHERE, "", place.port), "").encode())
        said = attempt.get_error_message()
        attempt.finish()
        if _NOWHERE not in said:
            raise ValueError(f"not a PostgreSQL conninfo: {said}")


def _harmless(server: Server) -> Server:
    """The server without what libpq would refuse only because `_NOWHERE` is a local socket."""
    options = dict(server.options)
    if options.get("gssencmode") == "require":
        options["gssencmode"] = "prefer"
    return Server(server.places, frozenset(options.items()))


def _check_number(name: str, value: str) -> None:
    lowest, highest = _NUMBERS[name]
    if not re.fullmatch(r"\s*[+-]?[0-9]+\s*", value):
        raise ValueError(f"the {name} of a conninfo is a whole number, not {value!r}")
    if not lowest <= int(value) <= highest:
        raise ValueError(f"the {name} of a conninfo is a number from {lowest} to {highest}, not {value}")
