"""Where a program listens: `HOST:PORT`, or the path of a Unix socket."""

from __future__ import annotations

import msgspec

_EXAMPLE = "write HOST:PORT, like 127.0.0.1:3031, or the path of a Unix socket"


class Address(msgspec.Struct, frozen=True):
    """An address, as uWSGI writes them.

    Attributes:
        text: as it was written.
        path: of a Unix socket; empty for TCP.
        host: of TCP; empty where none was written.
        port: of TCP.
    """

    text: str
    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Raises:
            TypeError: it is no text.
            ValueError: it is neither of both.
        """
        if not isinstance(text, str):
            raise TypeError(f"an address is text, not {text!r}: {_EXAMPLE}")
        host, colon, port = text.rpartition(":")
        if "/" in text or not colon:
            if text.startswith("@"):
                raise ValueError(
                    f"{text!r} is not an address, but an abstract socket, which anybody may use: {_EXAMPLE}"
                )
            if text in {"", "."} or text.isdecimal() or "\0" in text:
                raise ValueError(f"{text!r} is not an address: {_EXAMPLE}")
            return cls(text, path=text)
        if not (port.isascii() and port.isdecimal()) or not 0 < int(port) < 65_536:
            raise ValueError(f"{text!r} is not an address, because a port is a number from 1 to 65535: {_EXAMPLE}")
        return cls(text, host=host.removeprefix("[").removesuffix("]"), port=int(port))

    @classmethod
    def parse_own(cls, text: str) -> Address:
        """Read an address at which this machine alone can be reached.

        Raises:
            TypeError, ValueError: it is none, or others can reach it: nothing says who sends a signal.
        """
        address = cls.parse(text)
        if address.path or _is_loopback(address.host):
            return address
        raise ValueError(f"{text!r} is not of this machine alone, and anybody could send signals there: {_EXAMPLE}")


def _is_loopback(host: str) -> bool:
    import ipaddress  # noqa: PLC0415  few listen anywhere

    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
