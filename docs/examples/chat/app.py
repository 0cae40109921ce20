"""The application: which signals there are, who raises them, and who does what about them.

    a client types ──> SQLite ──> NEWS ──> every worker reads what is new ──> its clients
    a timer ─────────> a mule: the time, the idle ──┐
    the motd file ───> a worker: its new text ──────┴──> SQLite ──> NEWS ──> ...
    cron, SIGHUP ────> ROTATE, without a handler ──> the mule that waits for it

A signal carries no data, and a handler may run once more than it was raised, or once for many. That is all right for
everything here: each handler looks at what there is to do, and does it.
"""

from __future__ import annotations

import logging
import socket
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
from words import BadInput, clean_text

log = logging.getLogger("chat")

NEWS, MOTD, CLOCK, SWEEP, ROTATE = range(1, 6)


def read_motd(path: Path) -> str:
    """The message of the day; what a text editor leaves out for a moment is no reason to fail."""
    try:
        with path.open(errors="replace") as file:
            return clean_text(file.read(1000))
    except (OSError, BadInput):
        return ""


def declare(settings: Settings, web: socket.socket, tcp: socket.socket) -> trisig.Signals:
    """The signals of the chat. Each process has its own copy, from the fork, of the store and the hub made here."""
    signals = trisig.Signals()
    store = Store(settings.database)
    hub = Hub(store, lambda: signals.send(NEWS))
    signals.on_start()(store.open)
    serve_clients(signals, hub, {web: serve_web, tcp: serve_tcp}, settings.vanish)
    watch_motd(signals, hub, store, settings.motd)
    go_by_the_clock(signals, hub, store, settings)
    rotate_history(signals, hub, store, settings)
    return signals


def serve_clients(signals: trisig.Signals, hub: Hub, sockets: dict[socket.socket, Serve], vanish: float) -> None:
    """What workers do: they serve clients, and when there is news, tell them."""

    @signals.on_start("workers")
    async def start() -> None:
        await hub.start()

    @signals.service("workers")
    async def serve() -> None:
        log.info("serves, pid %d", trisig.current_process().pid)
        await accept_all(sockets, hub, vanish)

    @signals.handler(NEWS, target="workers")
    async def news(signum: int) -> None:
        await hub.news()


def watch_motd(signals: trisig.Signals, hub: Hub, store: Store, path: Path) -> None:
    """When the file has changed, one of the workers stores what is in it now."""

    @signals.file_monitor(path, signum=MOTD, target="worker", missing_ok=True)
    async def new_motd(signum: int) -> None:
        body = await trio.to_thread.run_sync(read_motd, path)
        is_new = await hub.ask(store.set_motd, body, time.time())
        if is_new:
            log.info("signal %d: the message of the day has changed", signum)
            await signals.send(NEWS)


def go_by_the_clock(signals: trisig.Signals, hub: Hub, store: Store, settings: Settings) -> None:
    """What a mule does now and then: it tells the time, and clears the sessions of those who fell silent."""

    @signals.timer(settings.clock, signum=CLOCK, target="mule")
    async def tell_time(signum: int) -> None:
        now = time.time()
        words = time.strftime("It is %H:%M.", time.localtime(now))
        is_new = await hub.ask(store.tell_time, words, now, settings.clock / 2)
        if is_new:
            log.info("signal %d: announces the time", signum)
            await signals.send(NEWS)

    @signals.timer(min(settings.idle / 4, 60), signum=SWEEP, target="mule")
    async def clear_idle(signum: int) -> None:
        now = time.time()
        cleared = await hub.ask(store.leave_idle, now - settings.idle, now)
        if cleared:
            log.info("signal %d: clears %d idle sessions", signum, cleared)
            await signals.send(NEWS)


def rotate_history(signals: trisig.Signals, hub: Hub, store: Store, settings: Settings) -> None:
    """Cron and SIGHUP raise ROTATE. It has no handler: it waits in the master for a mule that has the leisure.

    A handler would do too. This one is a task, because rotating may take long, and a mule's handlers, the clock
    among them, run one after the other.
    """
    signals.add_cron(ROTATE, settings.rotate)

    @signals.service("mules")
    async def rotate() -> None:
        while True:
            signum = await signals.wait()
            moved = await hub.ask(store.rotate, settings.keep, time.time())
            log.info("signal %d: the history is rotated, %d messages archived", signum, moved)
