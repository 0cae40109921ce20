"""The signal table: what the master writes and every process reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trisig._model.errors import SignalTableError
from trisig._model.signum import SIGNALS, check_signum
from trisig._model.table import WORDS, Entry, Table, TableView
from trisig._model.targets import parse

WORKERS = Entry(parse("workers"))


def words() -> memoryview:
    """Memory as the processes share it."""
    return memoryview(bytearray(8 * WORDS)).cast("Q")


@pytest.mark.parametrize("signum", [0, 1, 255])
def test_a_signal_number(signum: int) -> None:
    """0 to 255, both included."""
    assert check_signum(signum) is signum


@pytest.mark.parametrize(
    ("signum", "error"),
    [(-1, ValueError), (256, ValueError), (True, TypeError), (1.0, TypeError), ("1", TypeError), (None, TypeError)],
)
def test_what_is_not_a_signal_number(signum: object, error: type[Exception]) -> None:
    """Outside the byte is ValueError, another type TypeError, everywhere that a number is taken."""
    table = Table(words())
    takers = (
        check_signum,
        table.is_registered,
        table.unregister,
        lambda value: table.register(value, WORKERS),
    )
    for taker in takers:
        with pytest.raises(error, match="0 to 255"):
            taker(signum)  # type: ignore[arg-type]  # the mistake


def test_a_reader_sees_what_was_written() -> None:
    """A view of the same words sees an entry come and go; the numbers around it stay as they were."""
    memory = words()
    table, view = Table(memory), TableView(memory)
    assert view.free_signum() == 0
    table.register(0, WORKERS)
    table.register(2, WORKERS)
    assert [view.is_registered(signum) for signum in range(4)] == [True, False, True, False]
    assert view.free_signum() == 1
    table.unregister(0)
    assert view.free_signum() == 0
    assert list(table) == [(2, WORKERS)]


def test_a_taken_number_and_an_unknown_one_are_refused() -> None:
    """Neither refusal changes anything."""
    table = Table(words())
    table.register(9, WORKERS)
    with pytest.raises(SignalTableError, match=r"signal 9 is registered already; unregister\(9\)"):
        table.register(9, Entry(parse("mule")))
    with pytest.raises(SignalTableError, match="signal 8 is not registered"):
        table.unregister(8)
    assert list(table) == [(9, WORKERS)]


def test_a_full_table() -> None:
    """All 256 fit; then there is no free number until one goes."""
    table = Table(words())
    for _ in range(SIGNALS):
        table.register(table.free_signum(), WORKERS)
    with pytest.raises(SignalTableError, match="all 256"):
        table.free_signum()
    table.unregister(200)
    assert table.free_signum() == 200


def test_the_entries_of_a_process_end_with_it() -> None:
    """What worker1 registered for itself goes; the master's and the other's stay."""
    table = Table(words())
    table.register(1, WORKERS)
    table.register(2, Entry(parse("worker"), "worker1"))
    table.register(3, Entry(parse("worker"), "worker11"))
    table.register(4, Entry(parse("mules"), "worker1"))
    assert table.end_of("worker1") == [2, 4]
    assert table.end_of("worker1") == []
    assert [signum for signum, _ in table] == [1, 3]
    assert not table.is_registered(2)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([None, "worker1", "mule2"]), st.booleans())))
def test_words_and_entries_agree(changes: list[tuple[int, str | None, bool]]) -> None:
    """After any changes the words say what the entries say, and no two live entries share a word's value."""
    memory = words()
    table, model = Table(memory), dict[int, Entry]()
    for signum, owner, add in changes:
        entry = Entry(parse("worker"), owner)
        try:
            if add:
                table.register(signum, entry)
                model[signum] = entry
            else:
                table.unregister(signum)
                del model[signum]
        except SignalTableError:
            assert add == (signum in model)
    assert dict(table) == model
    live = [word for word in memory[:SIGNALS] if word]
    assert len(set(live)) == len(live) == len(model)
    assert all(bool(memory[signum]) == (signum in model) for signum in range(SIGNALS))
    assert memory[SIGNALS] == max([memory[SIGNALS], *live])
