"""The application: its signals, who raises them, and their handlers.

    a client types ──> SQLite ──> NEWS ──> every worker reads what is new ──> its clients
    a timer ─────────> a mule: the time, the idle ──┐
    the motd file ───> a worker: its new text ──────┴──> SQLite ──> NEWS ──> ...
    the database ────> a mule: is it still there?
    cron ────────────> ROTATE, without a handler ──> the mule that waits for it
    another server ──> a task, with a text ────────> SQLite ──> NEWS ──> ...

A signal carries no data, and a handler may run once more than it was raised, or once for many. Every
handler here allows for that: it looks in the database or at a file, and does what is left to do.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import trio

import trisig
from hub import Hub
from server import Patience, Serve, accept_all
from settings import Settings
from store import NewEvent, Store
from words import clean_text

log = logging.getLogger("chat")

NEWS, MOTD, CLOCK, SWEEP, ROTATE, DATABASE = range(1, 7)

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
    """Prints the address once every process is up, and has the message of the day read once more.

    The file may have changed after it was read, and before it was watched.
    """

    def __init__(self, greeting: str) -> None:
        self._greeting = greeting

    async def run(self, send: trisig.Send) -> None:
        """Raise `MOTD`, once."""
        print(self._greeting, flush=True)
        await send(MOTD)


def declare(settings: Settings, store: Store, sockets: dict[socket.socket, Serve], greeting: str) -> trisig.Signals:
    """The signals of the chat. Each process has its own copy, from the fork, of the store, and of the hub made here."""
    signals = trisig.Signals()
    watch_database(signals, store, settings.database)
    share = share_rooms(signals, store) if settings.cluster else None
    hub = Hub(store, lambda: signals.send(NEWS), share)
    serve_clients(signals, hub, sockets, Patience(min(settings.idle, PATIENCE), settings.vanish))
    watch_motd(signals, store, settings.motd)
    run_timers(signals, store, settings)
    rotate_history(signals, store, settings)
    signals.add_source(Opening(greeting))
    return signals


def watch_database(signals: trisig.Signals, store: Store, path: Path) -> None:
    """Every process opens the file, and the server ends when it is gone.

    Otherwise connected clients would go on writing to a file without a name, and new workers could not start.
    """

    def end(problem: FileNotFoundError) -> None:
        log.error("%s; the server ends", problem)
        os.kill(os.getppid(), signal.SIGTERM)

    @signals.on_start()
    def open_database() -> None:
        try:
            store.open()
        except FileNotFoundError as problem:
            end(problem)
            raise

    @signals.file_monitor(path, signum=DATABASE, target="mule")
    def check_database(signum: int) -> None:
        try:
            store.check()
        except FileNotFoundError as problem:
            end(problem)


def share_rooms(signals: trisig.Signals, store: Store) -> Callable[[NewEvent], None]:
    """Let a worker of each server in the cluster store what is said on one of them; returns what shares a text.

    It may come twice, and comes back to the server where it was said: each nonce is stored once.
    """

    @signals.task("nodes")
    async def store_text(text: NewEvent) -> None:
        if await store.ask(store.add, text):
            await signals.send(NEWS)

    return store_text.send_nowait


def serve_clients(signals: trisig.Signals, hub: Hub, sockets: dict[socket.socket, Serve], patience: Patience) -> None:
    """In the workers, serve clients, and show them what is new."""
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
    """When the file changes, one of the workers stores its new content."""

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


def run_timers(signals: trisig.Signals, store: Store, settings: Settings) -> None:
    """In a mule, announce the time now and then, and end the sessions of silent clients."""

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
            log.info("signal %d: ends %d idle sessions", signum, cleared)
            await signals.send(NEWS)


def rotate_history(signals: trisig.Signals, store: Store, settings: Settings) -> None:
    """Cron raises ROTATE. It has no handler: it waits in the master until a mule asks for it.

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
