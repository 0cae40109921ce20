"""Text for logs and reports: one line, whatever an object says of itself."""

from __future__ import annotations


def describe(thing: object) -> str:
    """What logs and statistics call a source, or say of an error, on one line; its class if it cannot say."""
    try:
        return printable(str(thing))
    except Exception:  # noqa: BLE001  it must not hide what it was asked for
        return type(thing).__name__


def times(count: int) -> str:
    """How often something has happened: `once`, `3 times`."""
    return "once" if count == 1 else f"{count} times"


def printable(text: str) -> str:
    """The text with everything escaped that could split a line, or that is no text, as some file names are."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(one: str) -> str:
    if one.isprintable():
        return one
    if "\udc80" <= one <= "\udcff":  # a byte of a name that is not UTF-8, as `os.fsdecode` has it
        return f"\\x{ord(one) - 0xDC00:02x}"
    return one.encode("unicode_escape").decode()
