"""How the arguments and the result of one function travel: MessagePack, checked against its annotations.

msgspec's encoder knows nothing of annotations, so what is sent is read back as its annotation says before it counts
as sent: a mistake is the caller's `TypeError`, and not a failure in another process. Values whose class is the
annotation itself, and of which nothing else can be wrong, are not read back.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

import msgspec
from msgspec.msgpack import Decoder, Encoder

LONGEST = 16 * 2**20  # bytes of encoded arguments, or of a result
_PLAIN = frozenset((bool, int, float, str, bytes, type(None)))
_REFUSED = (TypeError, ValueError, OverflowError, RecursionError)  # by msgspec: with UnicodeEncodeError among them
_MAPS = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))


class Arguments:
    """The code of one function.

    Args:
        name: of the task, for messages.
        fn: the function.

    Raises:
        TypeError: a parameter's annotation, or that of the result, is one that nothing can be read back by.
        NameError: an annotation names what does not exist yet.
    """

    def __init__(self, name: str, fn: Callable[..., object]) -> None:
        self._name = name
        self._signature = inspect.signature(fn)
        hints = {
            name: Any if hint is object else hint for name, hint in get_type_hints(fn, include_extras=True).items()
        }
        self._plain = Encoder().encode
        self._raws = Decoder(list[msgspec.Raw])
        self._both = Decoder(dict[int, msgspec.Raw])
        self._named = Decoder(dict[str, msgspec.Raw])
        parameters = self._signature.parameters.values()
        self._positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self._rest = next((p for p in parameters if p.kind is p.VAR_POSITIONAL), None)
        self._rest_named = next((p for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self._hints = {p.name: hints.get(p.name, Any) for p in parameters}
        self._decoders = {p.name: self._decoder(f"parameter {p.name}", self._hints[p.name]) for p in parameters}
        self._simple = [self._hints[p.name] for p in self._positional]
        self._result = hints.get("return", Any)
        self._result_decoder = self._decoder("the result", self._result)
        self._results_decoder = self._decoder("the result", list[self._result])  # type: ignore[name-defined]
        needs_names = any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters)
        least = sum(p.default is p.empty for p in self._positional)
        self._counts = range(0) if needs_names else range(least, len(self._positional) + 1)
        # The types of arguments that need no look, by their number.
        self._quick = {n: self._simple[:n] for n in self._counts if _PLAIN.issuperset(self._simple[:n])}
        self._tuples = {0x90 | n: self._tuple_decoder(n) for n in range(min(len(self._positional), 15) + 1)}

    def _decoder(self, what: str, hint: Any) -> Decoder[Any]:
        try:
            decoder = Decoder(hint)
            custom = isinstance(msgspec.inspect.type_info(hint), msgspec.inspect.CustomType)
        except TypeError as error:
            raise TypeError(f"task {self._name}: {what} cannot travel: {error}") from None
        if custom:
            raise TypeError(f"task {self._name}: {what} cannot travel: MessagePack has nothing for {hint!r}")
        return decoder

    def _tuple_decoder(self, count: int) -> Decoder[Any]:
        hints = tuple(self._hints[p.name] for p in self._positional[:count])
        return Decoder(tuple[hints] if hints else tuple[()])  # type: ignore[valid-type]

    # Arguments

    def encode(self, values: tuple[Any, ...], named: Mapping[str, Any]) -> bytes:
        """The bytes of the arguments of one call.

        Raises:
            TypeError: the function cannot be called like this, or an argument is not what its annotation says or
                cannot travel; the message names it.
            ValueError: together they are larger than 16 MiB.
        """
        if named or self._quick.get(len(values)) != [*map(type, values)]:
            values, named = self._checked(values, named)
        try:
            data = self._plain({0: values, 1: named} if named else values)
        except _REFUSED as error:
            self._check(values, named)
            raise TypeError(f"task {self._name}: the arguments cannot travel: {error}") from None
        return self._short_enough(data, "the arguments are")

    def _checked(self, values: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        if named or len(values) not in self._counts:
            values, named = self._bound(values, named)
        kinds = [*map(type, values)]
        known = all(kind in _PLAIN and hint in (kind, Any) for kind, hint in zip(kinds, self._simple, strict=False))
        if not known or named or len(values) > len(self._simple):
            self._check(values, named)
        return values, named

    def _bound(self, values: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        try:
            bound = self._signature.bind(*values, **named)
        except TypeError as error:
            raise TypeError(f"task {self._name}: {error}") from None
        # CPython 3.13.0 does not miss one without a name if `**others` takes its name.
        for parameter in self._positional:
            needed = parameter.kind is parameter.POSITIONAL_ONLY and parameter.default is parameter.empty
            if needed and parameter.name not in bound.arguments:
                raise TypeError(f"task {self._name}: missing a required argument: {parameter.name!r}")
        return bound.args, bound.kwargs

    def _check(self, values: Sequence[Any], named: Mapping[str, Any]) -> None:
        for parameter, value in self._places(values, named):
            try:
                self._decoders[parameter].decode(self._plain(value))
            except _REFUSED as error:
                raise TypeError(f"task {self._name}: argument {parameter!r}: {error}") from None

    def _places(self, values: Sequence[Any], named: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Each argument with the name of the parameter that takes it."""
        names = [p.name for p in self._positional]
        if self._rest is not None:
            names += [self._rest.name] * (len(values) - len(names))
        rest = self._rest_named.name if self._rest_named is not None else ""
        known = {
            p.name for p in self._signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        }
        return [
            *zip(names, values, strict=False),
            *((name if name in known else rest, value) for name, value in named.items()),
        ]

    def decode(self, data: bytes | bytearray | msgspec.Raw) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """The arguments of a call: those without and those with names.

        Raises:
            ValueError: they are not what the function's annotations say: another version of it has sent them.
        """
        decoder = self._tuples.get(data[0])
        if decoder is not None:
            return decoder.decode(data), {}
        named: dict[str, Any] = {}
        if data[0] in _MAPS:
            both = self._both.decode(data)
            data, named = both[0], self._named.decode(both[1])
        raws = self._raws.decode(data)
        places = self._places(raws, named)
        values = [self._decoders[parameter].decode(raw) for parameter, raw in places]
        return values[: len(raws)], dict(zip(named, values[len(raws) :], strict=True))

    # Results

    def encode_result(self, result: object) -> bytes:
        """The bytes of a result.

        Raises:
            TypeError: it cannot travel, or is not what the annotation says.
            ValueError: it is larger than 16 MiB.
        """
        try:
            data = self._plain(result)
            if type(result) not in _PLAIN or (type(result) is not self._result and self._result is not Any):
                self._result_decoder.decode(data)
        except _REFUSED as error:
            raise TypeError(f"task {self._name}: its result cannot travel: {error}") from None
        return self._short_enough(data, "its result is")

    def decode_result(self, data: bytes | bytearray, *, several: bool) -> Any:
        """A result, or the list of those of several processes."""
        return (self._results_decoder if several else self._result_decoder).decode(data)

    def _short_enough(self, data: bytes, what: str) -> bytes:
        if len(data) > LONGEST:
            raise ValueError(f"task {self._name}: {what} {len(data)} bytes long; at most {LONGEST} can travel")
        return data
