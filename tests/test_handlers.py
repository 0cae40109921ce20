"""What may be a handler, and how one that is registered late reaches processes that already run."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trisig._handlers import check_async, check_callable, check_handler, name_of, takes_task_status
from trisig._packing import pack, unpack

HERE = "the module's own"


def at_module_level(signum: int) -> str:
    """A handler with a name that can be imported."""
    return f"{HERE} {signum}"


async def yielding_without_arguments() -> AsyncIterator[None]:
    """What was meant for a context manager."""
    yield


async def asynchronous(signum: int) -> None:
    """Another one."""


class Holder:
    def __init__(self, word: str) -> None:
        self.word = word

    def method(self, signum: int) -> str:
        return f"{self.word} {signum}"

    def __call__(self, signum: int) -> str:
        return f"called {self.word} {signum}"

    @staticmethod
    def static(signum: int) -> str:
        return f"static {signum}"


def round_trip(handler: Callable[..., Any], signals: object = None, other: object = None) -> Callable[..., Any]:
    """The handler as it arrives in another process."""
    return unpack(pack(handler, signals), other)


@pytest.mark.parametrize(
    "handler",
    [
        at_module_level,
        asynchronous,
        lambda signum: None,
        lambda *signums: None,
        lambda signum, extra=None: None,
        Holder("x").method,
        Holder("x"),
        Holder.static,
        functools.partial(lambda word, signum: None, "x"),
        print,
        str,
        chr,
    ],
)
def test_a_handler_is_called_with_a_number(handler: object) -> None:
    """Anything that takes one positional argument."""
    check_handler(handler)


@pytest.mark.parametrize("handler", [None, 17, "at_module_level", ()])
def test_what_is_not_callable_is_refused(handler: object) -> None:
    """The message shows what was given."""
    with pytest.raises(TypeError, match="a handler is a function of one argument"):
        check_handler(handler)


@pytest.mark.parametrize(
    "handler",
    [
        lambda: None,
        lambda first, second: None,
        lambda *, signum: None,
        lambda signum, *, also: None,
        Holder.method,
        functools.partial(at_module_level, 1),
    ],
)
def test_other_arguments_are_refused_where_they_are_registered(handler: object) -> None:
    """A wrong signature is an error now, not when the first signal comes."""
    with pytest.raises(TypeError, match=r"cannot be called with .*; write def"):
        check_handler(handler)


def test_what_is_called_is_the_wrapper() -> None:
    """An adapter that `functools.wraps` makes look like what it adapts is judged by what it takes itself."""

    @functools.wraps(lambda: None)
    def adapter(signum: int) -> None: ...

    check_handler(adapter)

    @functools.wraps(at_module_level)
    async def service() -> None: ...

    check_callable(service, "a service")
    check_async(service, "a service")

    @functools.wraps(asynchronous)
    def passing_on(*args: object, **kwargs: object) -> object: ...

    check_async(passing_on, "a service")
    assert not takes_task_status(passing_on)
    assert takes_task_status(functools.wraps(lambda task_status: None)(passing_on))
    with pytest.raises(TypeError, match="write async def"):
        check_async(adapter, "a service")


def yielding(signum: int) -> Iterator[None]:
    """Looks like a handler."""
    yield


async def yielding_later(signum: int) -> AsyncIterator[None]:
    """The same."""
    yield


@pytest.mark.parametrize("handler", [yielding, yielding_later])
def test_generators_are_refused(handler: object) -> None:
    """A call would only make a generator, and run nothing."""
    with pytest.raises(TypeError, match="yields"):
        check_handler(handler)


def test_hooks_and_services_that_yield_are_refused() -> None:
    """For the same reason, as what they are."""
    with pytest.raises(TypeError, match=r"a start hook \S* yields"):
        check_callable(lambda: (yield), "a start hook")  # type: ignore[misc]
    with pytest.raises(TypeError, match=r"a service \S* yields"):
        check_callable(yielding_without_arguments, "a service")


def test_hooks_and_services_take_nothing_but_task_status() -> None:
    """Arguments with defaults are fine; others are refused with the name of what they are for."""
    check_callable(lambda: None, "a start hook")
    check_callable(lambda word="x": None, "a start hook")
    check_callable(lambda task_status: None, "a service")
    with pytest.raises(TypeError, match=r"a service .*<lambda> must be callable without arguments"):
        check_callable(lambda signum: None, "a service")
    with pytest.raises(TypeError, match="a start hook is a function, not 3"):
        check_callable(3, "a start hook")


def test_a_service_may_ask_for_task_status() -> None:
    """By the name of the parameter, as trio does."""
    assert takes_task_status(lambda task_status: None)
    assert takes_task_status(lambda *, task_status=None: None)
    assert not takes_task_status(lambda: None)
    assert not takes_task_status(print)


def test_a_name_for_the_log() -> None:
    """The qualified name, or whatever an object says of itself."""
    assert name_of(Holder.method) == "Holder.method"
    assert name_of(functools.partial(print)).startswith("functools.partial")


# Sent to a process that runs already


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

    handler.note = "kept"  # type: ignore[attr-defined]
    arrived = round_trip(handler)
    assert arrived is not handler
    assert arrived(3) == ("closed over", 3, "!", "?", HERE)
    assert (arrived.__qualname__, arrived.note) == (handler.__qualname__, "kept")  # type: ignore[attr-defined]
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
    assert arrived.__wrapped__(7) == '{"got": 7}'  # type: ignore[attr-defined]


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


def test_it_works_in_another_process(tmp_path: Path) -> None:
    """What was packed here runs where only the module is known, with the globals that the module has there."""
    (tmp_path / "application.py").write_text(
        "where = 'here'\ndef make(word):\n    return lambda signum: (where, word, signum)\n"
    )
    (tmp_path / "packs.py").write_text(
        "import application, sys; from trisig._packing import pack\n"
        "sys.stdout.buffer.write(pack(application.make('sent'), None))\n"
    )
    (tmp_path / "runs.py").write_text(
        "import application, sys; from trisig._packing import unpack\n"
        "application.where = 'there'\n"
        "print(unpack(sys.stdin.buffer.read(), None)(5))\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{Path(__file__).parent.parent}"}

    def run(program: str, given: bytes = b"") -> bytes:
        command = [sys.executable, str(tmp_path / program)]
        return subprocess.run(command, input=given, env=environment, capture_output=True, check=True, timeout=30).stdout

    assert run("runs.py", run("packs.py")) == b"('there', 'sent', 5)\n"
