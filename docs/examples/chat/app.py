"""The application: which signals there are, who raises them, and who does what about them.

    a client types ──> SQLite ──> NEWS ──> every worker reads what is new ──> its clients
    a timer ─────────> a mule: the time, the idle ──┐
    the motd file ───> a worker: its new text ──────┴──> SQLite ──> NEWS ──> ...
    cron ────────────> ROTATE, without a handler ──> the mule that waits for it

A signal carries no data, and a handler may run once more than it was raised, or once for many. That is all right for
everything here: each handler looks at what there is to do, and does it.
"""

from __future__ import annotations

import logging
import socket
import sqlite3
import time
from pathlib import Path

import trio

import trisig
from hub import Hub
from server import Serve, accept_all
from settings import Settings
from store import Store
from tcp import serve_tcp
from web import serve_web
from words import clean_text

log = logging.getLogger("chat")

NEWS, MOTD, CLOCK, SWEEP, ROTATE = range(1, 6)

MOTD_LENGTH = 1000  # characters
PATIENCE = 60.0  # seconds for a new client to say who it is


def read_motd(path: Path) -> str:
    """The message of the day; empty if there is no such file, which an editor may cause for a moment.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        with path.open(errors="replace") as file:
            return clean_text(file.read(MOTD_LENGTH))
    except FileNotFoundError:
        return ""


class Opening(trisig.EventSource):
    """Says where the chat is as soon as every process is up, and lets the message of the day be read once more.

    The file may have changed after it was read, and before it was watched.
    """

    def __init__(self, greeting: str) -> None:
        self._greeting = greeting

    async def run(self, send: trisig.Send) -> None:
        """Raise `MOTD`, once."""
        print(self._greeting, flush=True)
        await send(MOTD)


def declare(settings: Settings, web: socket.socket, tcp: socket.socket, greeting: str) -> trisig.Signals:
    """The signals of the chat. Each process has its own copy, from the fork, of the store and the hub made here."""
    signals = trisig.Signals()
    store = Store(settings.database)
    signals.on_start()(store.open)
    serve_clients(signals, store, {web: serve_web, tcp: serve_tcp}, min(settings.idle, PATIENCE))
    watch_motd(signals, store, settings.motd)
    go_by_the_clock(signals, store, settings)
    rotate_history(signals, store, settings)
    signals.add_source(Opening(greeting))
    return signals


def serve_clients(signals: trisig.Signals, store: Store, sockets: dict[socket.socket, Serve], patience: float) -> None:
    """What workers do: they serve clients, and when there is news, tell them."""
    hub = Hub(store, lambda: signals.send(NEWS))
    signals.on_start("workers")(hub.start)
    signals.service("workers")(hub.hand_on_news)

    @signals.service("workers")
    async def serve() -> None:
        log.info("serves, pid %d", trisig.current_process().pid)
        await accept_all(sockets, hub, patience)

    @signals.handler(NEWS, target="workers")
    def news(signum: int) -> None:
        hub.wake()


def watch_motd(signals: trisig.Signals, store: Store, path: Path) -> None:
    """When the file has changed, one of the workers stores what is in it now."""

    @signals.file_monitor(path, signum=MOTD, target="worker", missing_ok=True)
    async def new_motd(signum: int) -> None:
        try:
            body = await trio.to_thread.run_sync(read_motd, path)
        except OSError as problem:
            log.warning("signal %d: the message of the day stays as it was: %s", signum, problem)
            return
        if await store.ask(store.set_motd, body, time.time()):
            log.info("signal %d: the message of the day has changed", signum)
            await signals.send(NEWS)


def go_by_the_clock(signals: trisig.Signals, store: Store, settings: Settings) -> None:
    """What a mule does now and then: it tells the time, and clears the sessions of those who fell silent."""

    @signals.timer(settings.clock, signum=CLOCK, target="mule")
    async def tell_time(signum: int) -> None:
        now = time.time()
        words = time.strftime("It is %H:%M.", time.localtime(now))
        if await store.ask(store.tell_time, words, now, settings.clock / 2):
            log.info("signal %d: announces the time", signum)
            await signals.send(NEWS)

    @signals.timer(min(settings.idle / 4, 60), signum=SWEEP, target="mule")
    async def clear_idle(signum: int) -> None:
        now = time.time()
        cleared = await store.ask(store.leave_idle, now - settings.idle, now)
        if cleared:
            log.info("signal %d: clears %d idle sessions", signum, cleared)
            await signals.send(NEWS)


def rotate_history(signals: trisig.Signals, store: Store, settings: Settings) -> None:
    """Cron raises ROTATE. It has no handler: it waits in the master for a mule that has the leisure.

    A handler would do too. This one is a task, because rotating may take long, and a mule's handlers, the clock
    among them, run one after the other.
    """
    signals.add_cron(ROTATE, settings.rotate)

    @signals.service("mules")
    async def rotate() -> None:
        while True:
            signum = await signals.wait(ROTATE)
            try:
                moved = await store.ask(store.rotate, settings.keep, time.time())
            except sqlite3.Error as problem:
                log.error("signal %d: the history is not rotated: %s", signum, problem)  # noqa: TRY400  one line
            else:
                log.info("signal %d: the history is rotated, %d messages archived", signum, moved)
