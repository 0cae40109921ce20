"""What people type, made safe: the pure part."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pace import Pace
from words import MAX_TEXT, BadInput, Join, Older, Say, clean_name, clean_room, clean_text, parse, split_command

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(st.text(st.characters(), max_size=200))
def test_a_clean_text_is_harmless(text: str) -> None:
    """What is left can be stored, obeys no terminal, turns no line, and cleaning it again changes nothing."""
    clean = clean_text(text)
    clean.encode()
    assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in clean.replace("\n", ""))
    assert not set(clean) & set("\u202e\u2066\u200f")
    assert clean_text(clean) == clean


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("\x1b[2J\x07hello\x00", "[2Jhello"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("  \t \n ", ""),
        ("\u200b\n\u2800\n\u3164\ufe0f", ""),
        ("a\n\n\nb", "a\n\n\nb"),
        ("a" + "\n \u200b" * 500 + "\n  b", "a\n\n\n  b"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("a\ud800b", "ab"),
        ("x" * MAX_TEXT, "x" * MAX_TEXT),
        ("👩‍👩‍👧 שלום", "👩‍👩‍👧 שלום"),
    ],
)
def test_what_is_kept_of_a_text(typed: str, kept: str) -> None:
    """Control characters and halves of characters go; markup and every script stay."""
    assert clean_text(typed) == kept


def test_a_text_has_a_longest_length() -> None:
    """One character too many is refused, not cut."""
    with pytest.raises(BadInput, match="2001 characters"):
        clean_text("x" * (MAX_TEXT + 1))


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 25, "<b>", "a\nb", "\x1b[0m", "a\u202eb"])
def test_what_is_no_name(name: str) -> None:
    """A name is short, of one word, and has nothing in it that is not seen."""
    with pytest.raises(BadInput):
        clean_name(name)


def test_a_room_has_small_letters() -> None:
    """The sign before a room is optional, and its case does not count."""
    assert clean_room("#Lobby ") == clean_room("lobby") == "lobby"


@given(st.one_of(st.text(max_size=200), ANYTHING.map(json.dumps)))
def test_any_frame_is_a_request_or_refused(frame: str) -> None:
    """Whatever a client sends, the answer is a request or `BadInput`, nothing else."""
    try:
        request = parse(frame)
    except BadInput:
        return
    assert isinstance(request, Join | Say | Older)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["join", "say", "older"])},
        optional=dict.fromkeys(("name", "room", "client", "since", "body", "nonce", "before"), ANYTHING),
    )
)
def test_any_field_may_be_anything(asked: dict[str, object]) -> None:
    """The right type with wrong fields is refused too; a number that is accepted fits into the database."""
    try:
        request = parse(json.dumps(asked))
    except BadInput:
        return
    if isinstance(request, Older):
        assert 0 <= request.before < 2**63


@pytest.mark.parametrize("frame", ["[" * 60_000, '{"type": "older", "before": ' + "9" * 5000 + "}", "null", '"join"'])
def test_hostile_frames_are_refused(frame: str) -> None:
    """Deep nesting and numbers beyond all measure are bad input, not failures."""
    with pytest.raises(BadInput):
        parse(frame)


def test_a_refusal_names_its_message() -> None:
    """The page must know which of its messages was refused, or it would send it for ever."""
    with pytest.raises(BadInput) as refused:
        parse(json.dumps({"type": "say", "body": "x" * (MAX_TEXT + 1), "nonce": "n1"}))
    assert refused.value.nonce == "n1"


@pytest.mark.parametrize(
    ("line", "command", "rest"),
    [
        ("hello", "", "hello"),
        ("/join  attic ", "/join", "attic"),
        ("/WHO", "/who", ""),
        ("/etc/passwd is a file", "/etc/passwd", "is a file"),
        ("//etc is a folder", "", "/etc is a folder"),
        ("//", "", "/"),
        ("/", "/", ""),
    ],
)
def test_a_slash_begins_a_command(line: str, command: str, rest: str) -> None:
    """Two of them say one."""
    assert split_command(line) == (command, rest)


def test_the_pace_allows_a_burst_then_its_rate() -> None:
    """Twenty at once are free; then each costs a fifth of a second; a pause refills the bucket."""
    pace = Pace(0.0, rate=5, burst=20)
    assert [pace.take(0.0) for _ in range(20)] == [0.0] * 20
    assert pace.take(0.0) == pytest.approx(0.2)
    assert pace.take(0.0) == pytest.approx(0.4)
    assert pace.take(100.0) == 0.0
