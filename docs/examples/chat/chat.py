"""A chat server where every core waits for text sent by users.

Open the address that it prints in a browser, in two windows, or talk from a terminal with `nc localhost 7000`.
Ctrl-C stops it; SIGHUP rotates the history.
"""

from __future__ import annotations

import logging
import signal
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from math import inf
from pathlib import Path
from typing import Any

import click
import trio

import trisig
from app import MOTD, ROTATE, declare, read_motd
from server import listen
from settings import Settings
from store import prepare

FIRST_MOTD = "Welcome. Edit {} and everyone here reads what you wrote.\n"

GRACE = 5  # seconds for what is under way when the server stops

log = logging.getLogger("chat")


def options(command: Callable[..., None]) -> Callable[..., None]:
    """What the command line takes."""
    for option in reversed(
        [
            click.option("--host", default="127.0.0.1", help="Where to listen; 0.0.0.0 for the whole network."),
            click.option("--port", type=click.IntRange(0, 65535), default=8000, help="For browsers."),
            click.option("--tcp-port", type=click.IntRange(0, 65535), default=7000, help="For plain TCP."),
            click.option("--workers", type=click.IntRange(1, 64), default=4, help="Processes that serve clients."),
            click.option("--mules", type=click.IntRange(1, 8), default=1, help="Processes for what goes by the clock."),
            click.option("--database", type=click.Path(path_type=Path), default="chat.sqlite", help="SQLite file."),
            click.option("--motd", type=click.Path(path_type=Path), default="motd.txt", help="Message of the day."),
            click.option("--clock", type=click.FloatRange(0.1), default=900, help="Seconds between times told."),
            click.option("--idle", type=click.FloatRange(0.1), default=1800, help="Seconds of silence allowed."),
            click.option("--vanish", type=click.FloatRange(1), default=30, help="Seconds without any answer allowed."),
            click.option("--keep", type=click.IntRange(1), default=10_000, help="Messages that a rotation keeps."),
            click.option("--rotate", default="0 4 * * *", help="When to rotate the history, as in a crontab."),
            click.option("--seconds", type=click.FloatRange(0), default=inf, help="How long to run."),
        ]
    ):
        command = option(command)
    return command


@click.command(help=__doc__, context_settings={"show_default": True})
@options
def main(host: str, port: int, tcp_port: int, workers: int, mules: int, seconds: float, **chosen: Any) -> None:
    """Check what can be checked, open the ports, and serve."""
    log_lines()
    settings = Settings(**chosen)
    with ExitStack() as opened:
        with one_line_errors():
            web, tcp = (opened.enter_context(closing(listen(host, number))) for number in (port, tcp_port))
            if not settings.motd.exists():
                settings.motd.write_text(FIRST_MOTD.format(settings.motd.name))
            prepare(settings.database, read_motd(settings.motd))
            signals = declare(settings, web, tcp)
        greeting = f"Browsers: http://{address(web)}/    Terminals: nc {address(tcp, ' ')}    Ctrl-C stops."
        trio.run(serve, signals, workers, mules, seconds, greeting)


async def serve(signals: trisig.Signals, workers: int, mules: int, seconds: float, greeting: str) -> None:
    """Serve for some seconds, or until Ctrl-C or SIGTERM."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as received:
        async with trisig.open_master(signals, workers=workers, mules=mules, grace=GRACE):
            log.info("is ready")
            print(greeting, flush=True)
            await signals.send(MOTD)  # it may have changed after it was read, and before it was watched
            with trio.move_on_after(seconds):
                async for number in received:
                    if number != signal.SIGHUP:
                        break
                    await signals.send(ROTATE)
            log.info("stops")
    log.info("has stopped")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Say what is wrong with the environment in one line, with exit status 1."""
    try:
        yield
    except (OSError, sqlite3.Error, ValueError) as problem:
        raise click.ClickException(str(problem)) from None


def address(listener: socket.socket, separator: str = ":") -> str:
    """Where a client finds a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]{separator}{port}" if ":" in host and separator == ":" else f"{host}{separator}{port}"


def log_lines() -> None:
    """Log one line an event, with the process that it happened in."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(process_name)-8s %(message)s", "%H:%M:%S"))
    handler.addFilter(_add_process_name)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _add_process_name(record: logging.LogRecord) -> bool:
    record.process_name = trisig.current_process().name
    return True


if __name__ == "__main__":
    main()
