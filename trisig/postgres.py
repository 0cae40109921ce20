"""PostgreSQL notifications as signals: `NOTIFY orders` in the database, a handler in a worker.

    from trisig.postgres import notification

    @notification(signals, "orders", "postgresql://app@db/shop", target="mule")
    async def orders_changed(signum: int) -> None: ...

The master listens, with one connection for all channels of one conninfo. The handler finds the payload of its
notification in `signals.event().payload`; it is None if a thousand others waited to be raised. Keep what must not be
missed in a table, and let the handler look there.

PostgreSQL keeps no notification for a client that is not connected. After the connection was lost and made again, each
channel's signal is raised once, whether or not there was one, and the log says so.

Needs psycopg 3: `python -m pip install ".[postgres]"` in a checkout.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar, Unpack

from ._api.on_source import on_source
from ._api.signals import Signals
from ._model.handlers import Handler
from ._model.handling import Handling, HandlingOptions
from ._model.signum import check_signum
from ._sources import Engines, EngineSource
from ._sources.checks import check_iterations

try:
    from ._cluster.postgres.cluster import Cluster
    from ._sources.postgres.link import Link, Listener
    from ._sources.postgres.server import server_of
except ImportError as error:
    raise ImportError(
        f'trisig.postgres needs psycopg 3: python -m pip install ".[postgres]" in a checkout of trisig ({error})'
    ) from None

__all__ = ["Cluster", "PostgresSource", "add_postgres", "notification"]

H = TypeVar("H", bound=Handler)

# The longest name that PostgreSQL keeps whole (NAMEDATALEN - 1).
LONGEST_CHANNEL = 63


class PostgresSource(EngineSource):
    """Raises a signal for each notification on a channel.

    The master counts as open once the server listens or the first attempt at that has failed. A server that cannot be
    reached is tried again, with pauses from 0.1 to 30 seconds. One that refuses the channel itself (a standby does)
    fails the source and is asked again after the same pauses.

    Args:
        signum: the signal to raise.
        channel: its name, exactly: `Orders` and `orders` are two channels, and `NOTIFY Orders` without quotes is to
            the second. At most 63 bytes.
        conninfo: libpq's, as keywords or a URI.
        iterations: how many signals to raise; 0 is no limit.

    Raises:
        TypeError: a value of another type.
        ValueError: a value out of range; a conninfo that libpq would refuse, or a part of it.
    """

    def __init__(self, signum: int, channel: str, conninfo: str, *, iterations: int = 0) -> None:
        self.signum = check_signum(signum)
        self.channel = _check_channel(channel)
        self._server = server_of(conninfo)
        self.iterations = check_iterations(iterations)

    @property
    def name(self) -> str:
        """What logs and statistics call the source."""
        return f"postgres notification of signal {self.signum} on {self.channel!r}"

    def arm(self, engines: Engines) -> AbstractContextManager[Listener]:
        """Listen to the channel."""
        return engines.shared(Link, self._server).listening(self.channel, self.name)


def add_postgres(signals: Signals, signum: int, channel: str, conninfo: str, *, iterations: int = 0) -> PostgresSource:
    """Raise a signal for each notification on a channel; in the master, before or while it runs.

    Args:
        signals: the application.
        signum: the signal.
        channel: the name of the channel, exactly; not folded to lower case.
        conninfo: how to connect, for example `host=db user=app dbname=shop`. Sources with equal ones share one
            connection. Unless it says otherwise `connect_timeout` is 10 seconds, for each address.
        iterations: how many times; 0 is for ever.

    Returns:
        The source, for `Signals.remove_source`.

    Raises:
        TypeError, ValueError: an argument that cannot be.
    """
    source = PostgresSource(signum, channel, conninfo, iterations=iterations)
    signals.add_source(source)
    return source


def notification(
    signals: Signals,
    channel: str,
    conninfo: str,
    target: str = "worker",
    signum: int | None = None,
    iterations: int = 0,
    **handling: Unpack[HandlingOptions],
) -> Callable[[H], H]:
    """Decorate a handler that runs at each notification; see `add_postgres` and `Signals.register`."""
    return on_source(
        signals,
        lambda number: PostgresSource(number, channel, conninfo, iterations=iterations),
        target,
        signum,
        Handling.given(**handling),
    )


def _check_channel(channel: object) -> str:
    if not isinstance(channel, str):
        raise TypeError(f"a channel is named by a str, not {channel!r}")
    if not channel or "\0" in channel:
        raise ValueError(f"a channel has a name of at least one character and without NUL, not {channel!r}")
    try:
        length = len(channel.encode())
    except UnicodeEncodeError:
        raise ValueError(f"the name of a channel cannot have surrogates in it, as {channel!r} has") from None
    if length > LONGEST_CHANNEL:
        raise ValueError(f"the name of a channel is at most {LONGEST_CHANNEL} bytes long in UTF-8, unlike {channel!r}")
    return channel
