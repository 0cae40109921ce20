"""The clients of one worker, and what they are shown.

Somebody types. The text is written to the database, and a signal tells all workers that there is news. Each worker
remembers the last event that it has handed on, reads what is newer, and hands it to its clients. Nothing depends on
which worker somebody is connected to, on how many signals there were for how many texts, or on a signal coming once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence

import trio

import trisig
from client import Client
from events import Event, Notice, Page, Person, Receipt, Welcome
from store import AT_ONCE, NewEvent, Store
from words import Join, Older, Say

log = logging.getLogger("chat")

REST = 0.1  # seconds
RECENT = 100  # texts shown to somebody new
PAGE = 500  # texts shown to somebody who asks for older ones
TOO_SLOW = Notice("You were too far behind to be waited for.", "bye")
IDLE = Notice("You were silent for so long that your place was cleared.", "idle")


class Hub:
    """One worker's part of the chat.

    Args:
        store: where everything is.
        tell: called after something was written: raises the signal that tells every worker.
    """

    def __init__(self, store: Store, tell: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._tell = tell
        self._clients: set[Client] = set()
        self._last = 0
        self._news = trio.Event()
        self._ask = store.ask

    # The worker

    async def start(self) -> None:
        """Begin in a new worker: the clients of its predecessor have left."""
        self._last = await self._ask(self._store.newest)
        if await self._ask(self._store.leave_worker, self.worker, time.time()):
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
        by_room: dict[str, list[Event]] = {}
        for client in list(self._clients):
            if client.room not in by_room:
                by_room[client.room] = [event for event in events if _concerns(event, client.room)]
            batch = by_room[client.room]
            if batch and not client.offer(batch):
                log.info("%s does not read, and is dropped", client.name)
                self._dismiss(client, TOO_SLOW)
        for event in events:
            if event.kind == "leave" and event.body == "idle" and event.worker == self.worker:
                self._dismiss_named(event.name)

    def _dismiss_named(self, name: str) -> None:
        for client in [client for client in self._clients if client.name == name]:
            log.info("%s was idle, and is dismissed", name)
            self._dismiss(client, IDLE)

    def _dismiss(self, client: Client, why: Notice) -> None:
        self._clients.discard(client)
        client.dismiss(why)

    # Its clients

    async def join(self, client: Client, wish: Join) -> None:
        """Let a client into a room: what was said before, then what is said from now on, no gap and no repeat."""
        now = time.time()
        client.entered.set()
        person = Person(wish.name, wish.room, self.worker)
        name = await self._ask(self._store.enter, client.connection, wish.client, person, now)
        await self._tell()
        log.info("%s joins #%s", name, wish.room)
        # From here on, what is newer than `last` is handed on and held; history is what is not newer.
        client.hold()
        last = self._last
        since = last if wish.room == client.room else wish.since  # who only changes the name has seen all
        client.name, client.room = name, wish.room
        self._clients.add(client)
        await self._show_history(client, since, last)
        await client.release()

    async def _show_history(self, client: Client, since: int | None, last: int) -> None:
        fresh = since is None or since > last  # the latter: the history has begun anew
        messages = [] if not fresh else await self._ask(self._store.last_texts, client.room, last, RECENT)
        welcome = Welcome(
            you=client.name,
            room=client.room,
            worker=self.worker,
            motd=await self._ask(self._store.motd),
            people=await self._ask(self._store.people),
            fresh=fresh,
            messages=messages,
            more=len(messages) == RECENT,
        )
        await client.put([welcome])
        if not fresh:
            await self._show_missed(client, since or 0, last)

    async def _show_missed(self, client: Client, since: int, last: int) -> None:
        while texts := await self._ask(self._store.texts, client.room, since, last):
            since = texts[-1].id
            await client.put(texts)

    async def say(self, client: Client, wish: Say) -> None:
        """Say something to everyone in the client's room, and confirm it. An empty text is nothing."""
        is_new = False
        if wish.body:
            event = NewEvent("text", time.time(), client.room, client.name, self.worker, wish.body, wish.nonce)
            is_new = await self._ask(self._store.add, event)
        if wish.nonce:
            await client.put([Receipt(wish.nonce, is_new)])
        if is_new:
            log.info("%s in #%s: %d characters", client.name, client.room, len(wish.body))
            await self._tell()

    async def show_older(self, client: Client, wish: Older) -> None:
        """Show a client a page of what was said before."""
        texts = await self._ask(self._store.last_texts, client.room, wish.before - 1, PAGE)
        await client.put([Page(client.room, texts, more=len(texts) == PAGE)])

    async def show_people(self, client: Client) -> None:
        """Say in words who is here, and where."""
        people = await self._ask(self._store.people)
        words = (f"{person.name} (#{person.room}, worker {person.worker})" for person in people)
        await client.put([Notice("Here: " + ", ".join(words))])

    async def leave(self, client: Client) -> None:
        """A connection has ended by itself."""
        self._clients.discard(client)
        if not client.entered.is_set():
            return
        was_here = await self._ask(self._store.leave, client.connection, time.time())
        if was_here:
            log.info("%s leaves", client.name)
            await self._tell()


def _concerns(event: Event, room: str) -> bool:
    """Texts are for their room; who comes and goes, the time and the message of the day are for everyone."""
    return event.kind != "text" or event.room == room
