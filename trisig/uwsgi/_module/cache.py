"""`cache2`: a small cache that all processes share, with uWSGI's calls and answers."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Literal

from trisig.uwsgi._runtime.store import Store

Key = str | bytes
_Truth = Literal[True] | None
_BLOCK_BYTES = 65_536
_KEY_BYTES = 2048


class CacheFunctions:
    """The functions about caches. Without a `cache2` each answers None, as in uWSGI.

    Args:
        store: what the processes share.
        caches: the pairs of each `cache2`; the first is the one that calls without a name mean.
    """

    def __init__(self, store: Store, caches: Sequence[Mapping[str, str]]) -> None:
        self._store = store
        self._caches = {pairs.get("name", "default"): pairs for pairs in caches}
        self._default = next(iter(self._caches), None)

    def cache_get(self, key: Key, cache: str | None = None, /) -> bytes | None:
        """The value of a key; None if there is none."""
        name = self._name(cache)
        rows = self._store.ask(f"select value {_LIVE}", (name, _bytes(key), time.time())) if name else []
        return _value(rows[0][0]) if rows else None

    def cache_exists(self, key: Key, cache: str | None = None, /) -> _Truth:
        """True or None."""
        name = self._name(cache)
        return True if name and self._store.ask(f"select 1 {_LIVE}", (name, _bytes(key), time.time())) else None

    def cache_set(self, key: Key, value: Key, expires: int = 0, cache: str | None = None, /) -> _Truth:
        """Set a key that is not there; None if it is, or does not fit."""
        return self._write(key, value, expires, cache, replace=False)

    def cache_update(self, key: Key, value: Key, expires: int = 0, cache: str | None = None, /) -> _Truth:
        """Set a key; None if it does not fit."""
        return self._write(key, value, expires, cache, replace=True)

    def cache_del(self, key: Key, cache: str | None = None, /) -> _Truth:
        """Remove a key; None if it was not there."""
        name = self._name(cache)
        if name is None:
            return None
        with self._store.changing() as db:
            gone = db.execute("delete from item where cache = ? and key = ?", (name, _bytes(key))).rowcount
        return True if gone else None

    def cache_clear(self, cache: str | None = None, /) -> _Truth:
        """Remove all keys."""
        name = self._name(cache)
        if name is None:
            return None
        with self._store.changing() as db:
            db.execute("delete from item where cache = ?", (name,))
        return True

    def cache_keys(self, cache: str | None = None, /) -> list[bytes]:
        """All keys.

        Raises:
            ValueError: there is no such cache.
        """
        name = self._name(cache)
        if name is None:
            raise ValueError("no local uWSGI cache available")
        rows = self._store.ask(
            "select key from item where cache = ? and (expires = 0 or expires > ?)", (name, time.time())
        )
        return [_value(row[0]) for row in rows]

    def cache_num(self, key: Key, cache: str | None = None, /) -> int | None:
        """A number that `cache_inc` and the like have made; 0 without one."""
        return _number(self.cache_get(key, cache)) if self._name(cache) else None

    def cache_inc(self, key: Key, by: int = 1, expires: int = 0, cache: str | None = None, /) -> _Truth:
        """Add to a number."""
        return self._calculate(key, "+", by, expires, cache)

    def cache_dec(self, key: Key, by: int = 1, expires: int = 0, cache: str | None = None, /) -> _Truth:
        """Subtract from a number."""
        return self._calculate(key, "-", by, expires, cache)

    def cache_mul(self, key: Key, by: int = 2, expires: int = 0, cache: str | None = None, /) -> _Truth:
        """Multiply a number."""
        return self._calculate(key, "*", by, expires, cache)

    def cache_div(self, key: Key, by: int = 2, expires: int = 0, cache: str | None = None, /) -> _Truth:
        """Divide a number."""
        return self._calculate(key, "/", by, expires, cache)

    def _name(self, cache: str | None) -> str | None:
        return self._default if cache is None else cache if cache in self._caches else None

    def _write(self, key: Key, value: Key, expires: int, cache: str | None, *, replace: bool) -> _Truth:
        name, content = self._name(cache), _bytes(value)
        if name is None or len(content) > self._limit(name, "blocksize", _BLOCK_BYTES):
            return None
        if len(_bytes(key)) > self._limit(name, "keysize", _KEY_BYTES):
            return None
        with self._store.changing() as db:
            return self._insert(db, name, _bytes(key), content, expires, replace=replace)

    def _insert(
        self, db: sqlite3.Connection, name: str, key: bytes, content: bytes, expires: int, *, replace: bool
    ) -> _Truth:
        now = time.time()
        db.execute("delete from item where cache = ? and expires > 0 and expires <= ?", (name, now))
        is_there = db.execute("select 1 from item where cache = ? and key = ?", (name, key)).fetchone()
        count = db.execute("select count(*) from item where cache = ?", (name,)).fetchone()[0]
        if (is_there and not replace) or (not is_there and count >= self._limit(name, "items", count + 1)):
            return None
        row = (name, key, content, now + expires if expires else 0)
        db.execute("insert or replace into item values (?, ?, ?, ?)", row)
        return True

    def _calculate(self, key: Key, operation: str, by: int, expires: int, cache: str | None) -> _Truth:
        name = self._name(cache)
        if name is None or (operation == "/" and not by):
            return None
        with self._store.changing() as db:
            row = db.execute(f"select value {_LIVE}", (name, _bytes(key), time.time())).fetchone()
            before = _number(row[0] if row else None)
            after = {"+": before + by, "-": before - by, "*": before * by, "/": before // by if by else 0}[operation]
            content = (after & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
            return self._insert(db, name, _bytes(key), content, expires, replace=True)

    def _limit(self, name: str, what: str, default: int) -> int:
        text = self._caches[name].get(what, "")
        return int(text) if text.isdecimal() else default


_LIVE = "from item where cache = ? and key = ? and (expires = 0 or expires > ?)"


def _bytes(text: Key) -> bytes:
    if not isinstance(text, (str, bytes)):
        raise TypeError(f"a key or value of a cache is text or bytes, not {text!r}")
    return os.fsencode(text) if isinstance(text, str) else text


def _value(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value


def _number(content: bytes | None) -> int:
    return int.from_bytes((content or b"")[:8], "little", signed=True)
