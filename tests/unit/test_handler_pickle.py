"""How a handler that is registered late reaches processes that already run."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from trisig._ipc.handler_pickle import pack, unpack

HERE = "the module's own"


class Holder:
    def __init__(self, word: str) -> None:
        self.word = word

    def method(self, signum: int) -> str:
        return f"{self.word} {signum}"

    def __call__(self, signum: int) -> str:
        return f"called {self.word} {signum}"


def round_trip(handler: Callable[..., Any], signals: object = None, other: object = None) -> Callable[..., Any]:
    """The handler as it arrives in another process."""
    return unpack(pack(handler, signals), other)


def test_what_is_no_plain_function_goes_by_name() -> None:
    """Classes and builtins are the very ones over there."""
    assert round_trip(print) is print
    assert round_trip(Holder) is Holder


def holding_a_lock(function: Callable[[int], object]) -> Callable[[int], object]:
    """A decorator whose wrapper cannot travel by value."""
    lock = threading.Lock()

    @functools.wraps(function)
    def wrapper(signum: int) -> object:
        with lock:
            return function(signum)

    return wrapper


@holding_a_lock
def decorated(signum: int) -> int:
    """A handler with a name that can be imported, and a closure that cannot be pickled."""
    return signum


def test_a_function_that_cannot_go_by_value_goes_by_name() -> None:
    """If it can be imported over there, as it was at the fork."""
    assert round_trip(decorated) is decorated


def test_a_function_goes_by_value() -> None:
    """Closures, lambdas, defaults, attributes and the name arrive; globals are those of its module over there."""
    word = ["closed over"]

    def handler(signum: int, exclamation: str = "!", *, question: str = "?") -> tuple[object, ...]:
        return word[0], signum, exclamation, question, HERE

    handler.note = "kept"  # type: ignore[attr-defined]  # a function has attributes
    arrived = round_trip(handler)
    assert arrived is not handler
    assert arrived(3) == ("closed over", 3, "!", "?", HERE)
    assert (arrived.__qualname__, arrived.note) == (handler.__qualname__, "kept")  # type: ignore[attr-defined]  # the same
    assert arrived.__globals__ is globals()
    assert round_trip(lambda signum: signum + 1)(3) == 4


def test_a_closure_holds_a_copy() -> None:
    """What it closes over is as it was when it was sent."""
    word = ["then"]
    arrived = round_trip(lambda signum: word[0])
    word[0] = "now"
    assert arrived(1) == "then"


def test_functions_that_know_each_other_go_together() -> None:
    """One that calls itself, and two that call each other, find what they need."""

    def countdown(signum: int) -> list[int]:
        return [signum, *countdown(signum - 1)] if signum else []

    def even(signum: int) -> bool:
        return signum == 0 or odd(signum - 1)

    def odd(signum: int) -> bool:
        return signum != 0 and even(signum - 1)

    assert round_trip(countdown)(3) == [3, 2, 1]
    assert round_trip(even)(10) is True


def test_modules_and_decorated_functions_go() -> None:
    """An imported module is imported over there; a wrapper takes along what it wraps."""
    codec = json

    def loud(function: Callable[[int], str]) -> Callable[[int], str]:
        @functools.wraps(function)
        def wrapper(signum: int) -> str:
            return function(signum).upper()

        return wrapper

    @loud
    def handler(signum: int) -> str:
        return codec.dumps({"got": signum})

    arrived = round_trip(handler)
    assert arrived(7) == '{"GOT": 7}'
    assert arrived.__wrapped__(7) == '{"got": 7}'  # type: ignore[attr-defined]  # set by functools.wraps


def test_methods_and_callable_objects_go() -> None:
    """With a copy of their object."""
    assert round_trip(Holder("x").method)(1) == "x 1"
    assert round_trip(Holder("x"))(1) == "called x 1"
    assert round_trip(functools.partial(Holder.method, Holder("y")))(2) == "y 2"


def test_the_application_s_signals_stay_the_process_s_own() -> None:
    """A handler that raises further signals uses the object of the process that it runs in."""
    mine, theirs = object(), object()
    assert round_trip(lambda signum: mine, mine, theirs)(1) is theirs


def test_what_exists_here_only_is_refused() -> None:
    """A lock cannot be sent; the error says what to do instead, and the handler that it is about."""
    lock = threading.Lock()

    def handler(signum: int) -> None:
        lock.acquire()

    with pytest.raises(
        TypeError, match=r"handler .*<locals>\.handler cannot be sent .* before the master opens"
    ) as error:
        pack(handler, None)
    assert error.value.__cause__ is not None


def test_a_variable_that_is_not_set_yet_is_refused() -> None:
    """A closure over what does not exist so far cannot be copied."""

    def handler(signum: int) -> object:
        return later

    with pytest.raises(TypeError, match="cannot be sent"):
        pack(handler, None)
    later = 1
    assert handler(1) == later
