"""Where programs listen for the signals of others."""

from __future__ import annotations

import pytest

from trisig._model.address import Address


@pytest.mark.parametrize(
    ("text", "path", "host", "port"),
    [
        ("127.0.0.1:3031", "", "127.0.0.1", 3031),
        ("localhost:1", "", "localhost", 1),
        ("[::1]:65535", "", "::1", 65_535),
        ("here", "here", "", 0),
        ("/run/my:app.sock", "/run/my:app.sock", "", 0),
    ],
)
def test_an_address_is_a_host_and_a_port_or_a_path(text: str, path: str, host: str, port: int) -> None:
    """A slash makes it a path, else a colon makes it TCP."""
    assert Address.parse_own(text) == Address(text, path, host, port)


@pytest.mark.parametrize("text", ["", ".", "3031", "@abstract", "a\0b", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:0"])
def test_what_is_no_address(text: str) -> None:
    """The error says what to write."""
    with pytest.raises(ValueError, match=r"is not an address.*write HOST:PORT, like 127\.0\.0\.1:3031, or the path"):
        Address.parse(text)


@pytest.mark.parametrize("text", [":3031", "0.0.0.0:3031", "[::]:3031", "192.0.2.1:3031", "example.org:3031"])
def test_the_network_is_no_place_to_listen(text: str) -> None:
    """Signals may be sent there, and not taken."""
    assert Address.parse(text).port == 3031
    with pytest.raises(ValueError, match="is not of this machine alone"):
        Address.parse_own(text)
