"""The clients of one worker, and what they are shown.

When a client sends a text, its worker writes it to the database, and a signal tells all workers that there is news.
Each worker remembers the last event that it has delivered, reads what is newer, and hands it to its clients. Which
worker somebody is connected to does not matter, nor how many signals there were, nor whether one came twice.
"""

from __future__ import annotations

import logging
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar, TypeVarTuple

import trio

import trisig
from client import Client
from events import IDLE, Event, Notice, Page, Person, Receipt, Welcome
from inbox import size_of
from store import AT_ONCE, NewEvent, Store
from words import Join, Older, Say

log = logging.getLogger("chat")

R = TypeVar("R")
A = TypeVarTuple("A")

REST = 0.1  # seconds
RECENT = 100  # texts shown to somebody new
PAGE = 200  # texts shown to somebody who asks for older ones
TOO_SLOW = Notice("You were too far behind, so the server closed the connection.", "bye")
SILENT = Notice("You were silent for too long, so the server ended your session.", "idle")


class Hub:
    """One worker's part of the chat.

    Args:
        store: where everything is.
        tell: called after something was written: raises the signal that tells every worker.
        share: has other servers store a text; None if there are none.
    """

    def __init__(
        self, store: Store, tell: Callable[[], Awaitable[None]], share: Callable[[NewEvent], None] | None = None
    ) -> None:
        self._share = share
        self._store = store
        self._tell = tell
        self._clients: set[Client] = set()
        self._last = 0
        self._news = trio.Event()
        self._ask = store.ask
        # One thread asks the database. What clients want for themselves queues here and not there, so that the news
        # and new texts wait for one of them, and not for a thousand who come or go in the same moment.
        self._turn = trio.Lock()

    async def _ask_in_turn(self, job: Callable[[*A], R], *values: *A) -> R:
        async with self._turn:
            return await self._ask(job, *values)

    # The worker

    async def start(self) -> None:
        """Begin in a new worker: the clients of its predecessor have left."""
        self._last = await self._ask(self._store.newest)
        try:
            left = await self._ask(self._store.leave_worker, self.worker, time.time())
        except sqlite3.Error as problem:
            log.error("cannot remove the people of worker %d: %s", self.worker, problem)  # noqa: TRY400  one line
        else:
            if left:
                await self._tell()

    @property
    def worker(self) -> int:
        """The number of this worker."""
        return trisig.current_process().number

    def wake(self) -> None:
        """There is news: let `hand_on_news` look."""
        self._news.set()

    async def hand_on_news(self) -> None:
        """Hand on what is new whenever there is something, until cancelled.

        Then rest for a moment: in a lively room, what is said meanwhile is handed on together. A lone message does not
        wait. An error of the database ends the worker; its clients go to another one, and come back for what they
        missed.
        """
        while True:
            await self._news.wait()
            self._news = trio.Event()
            events = await self._ask(self._store.after, self._last)
            self._hand_on(events)
            if len(events) == AT_ONCE:
                self.wake()  # there may be more
            else:
                await trio.sleep(REST)

    def _hand_on(self, events: Sequence[Event]) -> None:
        if not events:
            return
        self._last = events[-1].id
        by_room: dict[str, tuple[list[Event], int]] = {}
        for client in list(self._clients):
            if client.room not in by_room:
                of_room = [event for event in events if _concerns(event, client.room)]
                by_room[client.room] = of_room, size_of(of_room)
            batch, size = by_room[client.room]
            if batch and not client.offer(batch, size):
                log.info("%s does not read and is disconnected", client.name)
                self._dismiss(client, TOO_SLOW)
        for event in events:
            if event.kind == "leave" and event.body == IDLE and event.worker == self.worker:
                self._dismiss_named(event.name)

    def _dismiss_named(self, name: str) -> None:
        for client in [client for client in self._clients if client.name == name]:
            log.info("%s was idle and is disconnected", name)
            self._dismiss(client, SILENT)

    def _dismiss(self, client: Client, why: Notice) -> None:
        self._clients.discard(client)
        client.dismiss(why)

    # Its clients

    async def join(self, client: Client, wish: Join) -> None:
        """Let a client into a room: what was said before, then what is said from now on, no gap and no repeat."""
        now = time.time()
        client.entered.set()
        person = Person(wish.name, wish.room, self.worker)
        name = await self._ask_in_turn(self._store.enter, client.connection, wish.client, person, now)
        await self._tell()
        log.info("%s joins #%s", name, wish.room)
        # From here on, what is newer than `last` is handed on and held; history is what is not newer.
        client.hold()
        last = self._last
        since = last if wish.room == client.room else wish.since  # who only changes the name has seen all
        client.name, client.room = name, wish.room
        self._clients.add(client)
        fresh = since is None or since > last  # the latter: the history has begun anew
        taken = "" if name == wish.name else wish.name
        welcome = partial(self._welcome, Person(name, wish.room, self.worker), taken, last, fresh=fresh)
        client.welcomed_at, shown = await self._ask_in_turn(welcome)
        await client.put([shown])
        if not fresh:
            await self._show_missed(client, since or 0, last)
        await client.release()

    def _welcome(self, you: Person, taken: str, last: int, *, fresh: bool) -> tuple[int, Welcome]:
        newest = self._store.newest()
        messages = self._store.last_texts(you.room, last, RECENT) if fresh else []
        return newest, Welcome(
            you=you.name,
            room=you.room,
            worker=you.worker,
            motd=self._store.motd(),
            people=self._store.people(),
            fresh=fresh,
            messages=messages,
            more=len(messages) == RECENT,
            taken=taken,
        )

    async def _show_missed(self, client: Client, since: int, last: int) -> None:
        while texts := await self._ask_in_turn(self._store.texts, client.room, since, last):
            since = texts[-1].id
            await client.put(texts)

    async def say(self, client: Client, wish: Say) -> None:
        """Say something to everyone in the client's room, and confirm it. An empty text is nothing."""
        is_new = False
        if wish.body:
            nonce = wish.nonce or uuid.uuid4().hex
            event = NewEvent("text", time.time(), client.room, client.name, self.worker, wish.body, nonce)
            is_new = await self._ask(self._store.add, event)
            self._share_text(event)  # also one that came before: that worker may have died in between
        if wish.nonce:
            await client.put([Receipt(wish.nonce, is_new)])
        if is_new:
            log.info("%s in #%s: %d characters", client.name, client.room, len(wish.body))
            await self._tell()

    def _share_text(self, event: NewEvent) -> None:
        if self._share is not None:
            try:
                self._share(event)
            except trio.WouldBlock:
                log.warning("%s in #%s: too much waits for the cluster; not shared", event.name, event.room)

    async def show_older(self, client: Client, wish: Older) -> None:
        """Show a client a page of what was said before."""
        texts = await self._ask_in_turn(self._store.last_texts, client.room, wish.before - 1, PAGE)
        await client.put([Page(client.room, texts, more=len(texts) == PAGE)])

    async def show_people(self, client: Client) -> None:
        """Say in words who is here, and where."""
        people = await self._ask_in_turn(self._store.people)
        words = (f"{person.name} (#{person.room}, worker {person.worker})" for person in people)
        await client.put([Notice("Here: " + ", ".join(words))])

    async def leave(self, client: Client) -> None:
        """A connection has ended by itself."""
        self._clients.discard(client)
        if not client.entered.is_set():
            return
        was_here = await self._ask_in_turn(self._store.leave, client.connection, time.time())
        if was_here:
            log.info("%s leaves", client.name)
            await self._tell()


def _concerns(event: Event, room: str) -> bool:
    """Texts are for their room; who comes and goes, the time and the message of the day are for everyone."""
    return event.kind != "text" or event.room == room
