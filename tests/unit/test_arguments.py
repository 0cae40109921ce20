"""How arguments and results travel: what arrives is what was sent, and what cannot arrive is refused at once."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import pathlib
import uuid
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trisig._api.arguments import LONGEST, Arguments


@dataclasses.dataclass
class Order:
    number: int
    lines: list[str]


class Point(msgspec.Struct):
    x: float
    y: float


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


def round_trip(fn: Any, *args: Any, **kwargs: Any) -> Any:
    """What the function is called with at the other end."""
    arguments = Arguments("shop.fn", fn)
    values, named = arguments.decode(arguments.encode(args, kwargs))
    return fn(*values, **named)


def resize(path: str, width: int = 80, *, exact: bool = False) -> tuple[str, int, bool]:
    """Has a parameter of each usual kind."""
    return path, width, exact


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("a.png",), {}),
        (("a.png", 3), {}),
        (("a.png", 3), {"exact": True}),
        ((), {"path": "a.png", "width": 4}),
        (("a.png",), {"exact": True}),
    ],
)
def test_a_call_arrives_as_it_was_made(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Positional, named and left out: the function gets at the other end what it would have got here."""
    assert round_trip(resize, *args, **kwargs) == resize(*args, **kwargs)


VALUES = [
    (str, "naïve 漢字"),
    (bytes, bytes(range(256))),
    (int, -(2**63)),
    (int, 2**64 - 1),
    (float, 1.5),
    (bool, True),
    (type(None), None),
    (list[int], [1, 2, 3]),
    (dict[str, list[float]], {"a": [1.0, 2.5]}),
    (tuple[str, int], ("a", 1)),
    (set[int], {1, 2}),
    (dt.datetime, dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)),
    (dt.date, dt.date(2026, 1, 2)),
    (dt.timedelta, dt.timedelta(seconds=90)),
    (uuid.UUID, uuid.UUID(int=7)),
    (Order, Order(3, ["a", "b"])),
    (Point, Point(1.0, 2.0)),
    (Size, Size.LARGE),
    (int | None, None),
]


@pytest.mark.parametrize(("hint", "value"), VALUES, ids=lambda part: str(part)[:30])
def test_a_value_arrives_as_its_annotation_says(hint: Any, value: Any) -> None:
    """An argument has the same class and value at the other end, and so has a result."""

    def fn(value: Any) -> Any:
        return value

    fn.__annotations__ = {"value": hint, "return": hint}
    arguments = Arguments("fn", fn)
    ((arrived,), _) = arguments.decode(arguments.encode((value,), {}))
    assert (type(arrived), arrived) == (type(value), value)
    returned = arguments.decode_result(arguments.encode_result(value), several=False)
    assert (type(returned), returned) == (type(value), value)


plain: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.binary()
)
plain |= st.text(st.characters(exclude_categories=["Cs"]))
nested: st.SearchStrategy[object] = st.recursive(
    plain, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner), max_leaves=8
)


@given(st.lists(nested, max_size=20), st.dictionaries(st.text("xyz"), nested, max_size=5))
def test_any_plain_values_arrive(values: list[Any], named: dict[str, Any]) -> None:
    """Without annotations, and however many there are: what MessagePack knows arrives as it was."""

    def fn(*rest: Any, **others: Any) -> Any:
        return list(rest), others

    assert round_trip(fn, *values, **named) == (values, named)


def many(a: int, b: int = 2, /, c: int = 3, *rest: int, d: str = "d", **others: float) -> Any:
    """Has a parameter of every kind."""
    return a, b, c, rest, d, others


@given(
    st.lists(st.integers(0, 9), max_size=6),
    st.dictionaries(
        st.sampled_from(["c", "d", "e", "f", "a", "rest", "others"]),
        st.just(1.0) | st.just("x") | st.just(5),
        max_size=4,
    ),
)
def test_a_call_that_cannot_be_made_is_refused(values: list[int], named: dict[str, Any]) -> None:
    """Either it arrives as Python would make it here, or `encode` raises TypeError: never a failure over there."""
    hints = {"c": int, "d": str}
    possible = True
    try:
        many(*values, **named)
    except TypeError:
        possible = False
    # A whole number is a float as well, as it is for type checkers.
    fits = all(
        type(value) is hints[name] if name in hints else isinstance(value, (int, float))
        for name, value in named.items()
    )
    if possible and fits:
        assert round_trip(many, *values, **named) == many(*values, **named)
    else:
        with pytest.raises(TypeError, match=r"task shop\.fn"):
            Arguments("shop.fn", many).encode(tuple(values), named)


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((1,), {}, "argument 'path': Expected `str`, got `int`"),
        (("a", "3"), {}, "argument 'width': Expected `int`, got `str`"),
        (("a", 2**64), {}, "argument 'width'"),
        (("\ud800",), {}, "argument 'path'.*surrogates"),
        ((pathlib.Path("a"),), {}, "argument 'path'"),
        (("a",), {"exact": 1}, "argument 'exact': Expected `bool`, got `int`"),
        (("a", True), {}, "argument 'width': Expected `int`, got `bool`"),
        ((), {}, "missing a required argument: 'path'"),
        (("a", 1, 2), {}, "too many positional arguments"),
        (("a",), {"height": 1}, "unexpected keyword argument 'height'"),
    ],
)
def test_the_message_names_the_argument(args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    """A wrong argument is a TypeError that says which one and what was expected."""
    with pytest.raises(TypeError, match=message):
        Arguments("shop.resize", resize).encode(args, kwargs)


def test_what_is_nested_too_deeply_is_refused() -> None:
    """A list in a list a hundred thousand times over is a TypeError, too."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    def fn(deep: Any) -> None: ...

    with pytest.raises(TypeError, match="argument 'deep'"):
        Arguments("fn", fn).encode((deep,), {})


def test_sixteen_mebibytes_travel_and_no_more() -> None:
    """Arguments and results of up to 16 MiB travel; one byte more is a ValueError."""

    def fn(data: bytes) -> bytes:
        raise NotImplementedError

    arguments = Arguments("fn", fn)
    fits = bytes(LONGEST - 6)  # the header of an array, and of the bytes
    assert len(arguments.encode((fits,), {})) == LONGEST
    with pytest.raises(ValueError, match="arguments are 16777217 bytes long; at most 16777216"):
        arguments.encode((fits + b"x",), {})
    with pytest.raises(ValueError, match="its result is"):
        arguments.encode_result(bytes(LONGEST))


def test_an_annotation_that_nothing_can_be_read_back_by_is_refused() -> None:
    """Where it is declared, and not when it is sent; the message names the parameter."""

    def of_path(path: pathlib.Path) -> None: ...

    def of_two(items: set[int] | list[int]) -> None: ...

    def to_path() -> pathlib.Path:
        raise NotImplementedError

    for fn, message in (
        (of_path, "parameter path cannot travel"),
        (of_two, "parameter items"),
        (to_path, "the result"),
    ):
        with pytest.raises(TypeError, match=message):
            Arguments("fn", fn)


def test_a_result_is_checked_where_it_is_made() -> None:
    """A result that its annotation does not allow, or that cannot travel, is a TypeError in the process that ran it."""

    def fn() -> int:
        raise NotImplementedError

    for result in ("no", object()):
        with pytest.raises(TypeError, match="its result cannot travel"):
            Arguments("fn", fn).encode_result(result)


def test_the_results_of_several_processes_are_a_list() -> None:
    """They are read back one by one as the annotation says."""

    def fn() -> dt.date:
        raise NotImplementedError

    arguments = Arguments("fn", fn)
    day = dt.date(2026, 1, 2)
    both = msgspec.msgpack.encode([msgspec.Raw(arguments.encode_result(day))] * 2)
    assert arguments.decode_result(both, several=True) == [day, day]
