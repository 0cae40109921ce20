"""A chat server with several processes.

Open the address that it prints in a browser, in two windows, or talk from a terminal with `nc localhost 7000`.
Ctrl-C stops it; a second one stops at once.
"""

from __future__ import annotations

import errno
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from math import isnan
from pathlib import Path
from typing import Any

import click
import trio

import trisig
from app import declare, read_motd
from server import listen, reachable
from settings import Settings
from store import Store, prepare
from tcp import serve_tcp
from web import serve_web

FIRST_MOTD = "Welcome. Edit {} and everyone here reads what you wrote.\n"

GRACE = 5  # seconds for what is under way when the server stops
WEEK = 7 * 24 * 3600
DAY = 24 * 3600


class Seconds(click.FloatRange):
    """A time between two bounds. Not a number is neither less nor more than a bound, but it is no time."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read an option's value."""
        seconds = float(super().convert(value, param, ctx))
        if isnan(seconds):
            self.fail("nan is not a number of seconds.", param, ctx)
        return seconds


@click.command(help=__doc__, context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on; 0.0.0.0 for the whole network.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port for browsers; 0 picks a free one.")
@click.option("--tcp-port", type=click.IntRange(0, 65535), default=7000, help="Port for terminals; 0 picks a free one.")
@click.option("--workers", type=click.IntRange(1, 64), default=4, help="Number of processes that serve clients.")
@click.option("--mules", type=click.IntRange(1, 8), default=1, help="Number of processes that run the timers.")
@click.option("--control", type=click.Path(path_type=Path), default="chat.control", help="Socket for `trisig status`.")
@click.option("--database", type=click.Path(path_type=Path), default=Settings.database, help="SQLite file.")
@click.option(
    "--motd", type=click.Path(path_type=Path), default=Settings.motd, help="File with the message of the day."
)
@click.option(
    "--clock", type=Seconds(0.1, WEEK), default=Settings.clock, help="Seconds between announcements of the time."
)
@click.option(
    "--idle", type=Seconds(0.1, WEEK), default=Settings.idle, help="Seconds of silence before a session ends."
)
@click.option(
    "--vanish", type=Seconds(1, DAY), default=Settings.vanish, help="Seconds without an answer before a client is gone."
)
@click.option(
    "--keep", type=click.IntRange(1, 10**9), default=Settings.keep, help="Number of messages that a rotation keeps."
)
@click.option("--allow-host", multiple=True, metavar="NAME", help="Name of this server for browsers; repeatable.")
@click.option("--rotate", default=Settings.rotate, help="When to rotate the history, as in a crontab.")
@click.option(
    "--cluster", envvar="CHAT_CLUSTER", default="", help="PostgreSQL database of the chat servers that share rooms."
)
@click.option("--node", help="Name of this server among them; without it, that of the host.")
def main(host: str, port: int, tcp_port: int, workers: int, mules: int, control: Path, **chosen: Any) -> None:
    """Check the options, open the ports, and serve."""
    log_lines()
    stop_on_hangup()
    settings = Settings(**chosen)
    with one_line_errors(), ExitStack() as opened:
        web = opened.enter_context(closing(open_port(host, port, settings.vanish, "--port")))
        tcp = opened.enter_context(closing(open_port(host, tcp_port, settings.vanish, "--tcp-port")))
        prepare(settings.database, first_motd(settings.motd))
        store = Store(settings.database)
        signals = declare(
            settings, store, {web: partial(serve_web, settings.allow_host), tcp: serve_tcp}, greeting(web, tcp)
        )
        cluster = join_cluster(settings)
        status = trisig.run(signals, workers=workers, mules=mules, grace=GRACE, control=control, cluster=cluster)
        store.check()
        sys.exit(status)


def join_cluster(settings: Settings) -> trisig.ClusterEngine | None:
    """The cluster that was chosen; psycopg is imported only then."""
    if not settings.cluster:
        return None
    from trisig.postgres import Cluster  # noqa: PLC0415

    return Cluster(settings.cluster, node=settings.node)


def open_port(host: str, port: int, vanish: float, option: str) -> socket.socket:
    """Open a listening socket; if the port is taken, say which option names another one."""
    try:
        return listen(host, port, vanish)
    except OSError as problem:
        if problem.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        words = f"{problem.strerror}; choose another one with {option} PORT (with nox: -- {option} PORT)"
        raise OSError(problem.errno, words) from None


def stop_on_hangup() -> None:
    """Let a terminal that is closed stop the server as SIGTERM does; with nohup it stays."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Report an error of the environment in one line, with exit status 1."""
    try:
        yield
    except (OSError, ValueError, trio.BusyResourceError, trisig.ChildFailedError, trisig.ClusterError) as problem:
        raise click.ClickException(getattr(problem, "strerror", None) or str(problem)) from None


def first_motd(path: Path) -> str:
    """The message of the day; the file is created if it is missing."""
    try:
        if not path.exists():
            path.write_text(FIRST_MOTD.format(path.name))
        return read_motd(path)
    except OSError as problem:
        raise OSError(f"cannot use the message of the day {path}: {problem.strerror}") from None


def greeting(web: socket.socket, tcp: socket.socket) -> str:
    """Where to find the chat."""
    (host, port), (_, tcp_port) = reachable(web), reachable(tcp)
    site = f"[{host}]" if ":" in host else host
    return f"Browsers: http://{site}:{port}/    Terminals: nc {host} {tcp_port}    Ctrl-C stops."


def log_lines() -> None:
    """Log one line an event, with the process that it happened in."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(asctime)s %(process_name)-8s %(words)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.process_name = name = trisig.current_process().name
        record.words = record.getMessage().removeprefix(f"{name}: ")  # trisig's own lines begin so
        return super().format(record)


if __name__ == "__main__":
    main()
