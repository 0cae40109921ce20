"""What may be a handler, a hook or a service, and what is refused with which words."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Iterator

import pytest

from trisig._model.handlers import check_async, check_callable, check_handler, name_of, takes_task_status

HERE = "the module's own"


def at_module_level(signum: int) -> str:
    """A handler with a name that can be imported."""
    return f"{HERE} {signum}"


def yielding_plainly() -> Iterator[None]:
    """A handler by mistake."""
    yield


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
        check_callable(yielding_plainly, "a start hook")
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
