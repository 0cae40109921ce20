"""The arguments of a job that uWSGI's decorators have written, or a program with `uwsgi.spool`: pairs of bytes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

import msgspec

_OF_UWSGI = frozenset((b"ud_spool_func", b"ud_spool_ret", b"spooler_task_name", b"spooler", b"priority", b"at"))
_PICKLED = (b"args", b"kwargs")  # by `@spool(pass_arguments=True)`


def arguments_from_pairs(fn: Callable[..., object], pairs: Mapping[bytes, bytes], body: bytes) -> dict[str, Any]:
    """What a function is called with: each pair is an argument, and the body is the one of that name.

    Text is converted as the annotations say, to a number or a date for example; `bytes` come as they are.

    Raises:
        TypeError, ValueError: the function cannot be called like this.
    """
    if any(pairs.get(key, b"").startswith(b"\x80") for key in _PICKLED):
        raise ValueError("its arguments are pickled, which is not read here; write them as pairs")
    given = {key.decode(): value for key, value in pairs.items() if key not in _OF_UWSGI}
    if body:
        given["body"] = body
    inspect.signature(fn).bind(**given)
    hints = get_type_hints(fn, include_extras=True)
    return {name: _converted(name, value, hints.get(name, str)) for name, value in given.items()}


def _converted(name: str, value: bytes, hint: Any) -> Any:
    if hint is bytes:
        return value
    try:
        return msgspec.convert(value.decode(), hint, strict=False)
    except ValueError as error:  # UnicodeDecodeError and msgspec.ValidationError are
        raise ValueError(f"argument {name!r}: {error}") from None
