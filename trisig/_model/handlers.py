"""What may be a handler, a hook or a service."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TypeAlias

Handler: TypeAlias = Callable[[int], object]


def check_handler(handler: object) -> None:
    """Refuse what cannot be called with a signal number.

    Raises:
        TypeError: not callable, or callable only with other arguments.
    """
    if not callable(handler):
        raise TypeError(f"a handler is a function of one argument, not {handler!r}")
    _check_no_yield(handler, "handler")
    if not _takes(handler, 0):
        name = name_of(handler)
        raise TypeError(
            f"handler {name}{inspect.signature(handler, follow_wrapped=False)} cannot be called with a signal number; "
            f"write def {name.split('.')[-1]}(signum)"
        )


def check_callable(fn: object, what: str) -> None:
    """Refuse a hook or service that is not callable without arguments besides `task_status`.

    Raises:
        TypeError: not callable, or it needs arguments.
    """
    if not callable(fn):
        raise TypeError(f"{what} is a function, not {fn!r}")
    _check_no_yield(fn, what)
    if not _takes(fn, **_status_argument(fn)):
        raise TypeError(f"{what} {name_of(fn)} must be callable without arguments")


def check_master_service(fn: object) -> None:
    """Refuse a service of the master that cannot be called with the `Master`, besides `task_status`.

    Raises:
        TypeError: not callable, not async, or callable only with other arguments.
    """
    _check_service(fn, "of the master takes the master", "(master)", None)


def check_leader_service(fn: object) -> None:
    """Refuse a service of the leader that cannot be called with the `Master` and a token, besides `task_status`.

    Raises:
        TypeError: not callable, not async, or callable only with other arguments.
    """
    _check_service(fn, "of the leader takes the master and a token", "(master, token)", None, None)


def _check_service(fn: object, takes: str, parameters: str, *arguments: None) -> None:
    if not callable(fn):
        raise TypeError(f"a service is a function, not {fn!r}")
    _check_no_yield(fn, "a service")
    check_async(fn, "a service")
    if not _takes(fn, *arguments, **_status_argument(fn)):
        name = name_of(fn)
        raise TypeError(f"service {name} {takes}: write async def {name.split('.')[-1]}{parameters}")


def _status_argument(fn: Callable[..., object]) -> dict[str, object]:
    return {"task_status": None} if takes_task_status(fn) else {}


def check_called(argument: object, decorator: str) -> None:
    """Refuse a function in the place of a decorator's first argument: the parentheses were forgotten.

    Args:
        argument: the first argument.
        decorator: how the decorator is written, for example `signals.timer(2)`.

    Raises:
        TypeError: it is a function.
    """
    if inspect.isroutine(argument):
        raise TypeError(f"the decorator needs its parentheses: write @{decorator} above {name_of(argument)}")


def _takes(fn: Callable[..., object], *arguments: object, **named: object) -> bool:
    """Whether it can be called like this, as far as it tells."""
    try:
        parameters = inspect.signature(fn, follow_wrapped=False)  # what is called is the wrapper
    except (ValueError, TypeError):
        return True  # a builtin that does not tell
    try:
        parameters.bind(*arguments, **named)
    except TypeError:
        return False
    return True


def _check_no_yield(fn: Callable[..., object], what: str) -> None:
    if inspect.isgeneratorfunction(fn) or inspect.isasyncgenfunction(fn):
        raise TypeError(f"{what} {name_of(fn)} yields, so calling it would run nothing of it; write it without yield")


def check_plain(fn: object, what: str) -> None:
    """Refuse what is no plain function of one argument, as far as that can be seen.

    Raises:
        TypeError: not callable, async, or callable only with other arguments.
    """
    if not callable(fn):
        raise TypeError(f"{what} is a function of one argument, not {fn!r}")
    _check_no_yield(fn, what)
    if inspect.iscoroutinefunction(fn):
        raise TypeError(f"{what} {name_of(fn)} is called, not awaited; write def {name_of(fn).split('.')[-1]}()")
    if not _takes(fn, None):
        raise TypeError(f"{what} {name_of(fn)} must take one argument")


def name_of(handler: object) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)


def check_async(fn: Callable[..., object], what: str) -> None:
    """Refuse what is a plain function for certain.

    Raises:
        TypeError: a function or method that is not async.
    """
    if inspect.isroutine(fn) and not any(map(inspect.iscoroutinefunction, (fn, inspect.unwrap(fn)))):
        name = name_of(fn)
        raise TypeError(f"{what} runs for as long as its process: write async def {name.split('.')[-1]}(), not def")


def takes_task_status(service: Callable[..., object]) -> bool:
    """Whether a service reports that it has started."""
    try:
        own = inspect.signature(service, follow_wrapped=False).parameters
        wrapped = inspect.signature(service).parameters
    except (ValueError, TypeError):
        return False
    passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in own.values())
    return "task_status" in own or (passes_on and "task_status" in wrapped)
