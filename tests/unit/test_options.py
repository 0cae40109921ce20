"""The options of a master: each said once, checked where they are given."""

from __future__ import annotations

import inspect
from types import ModuleType

import msgspec
import pytest
import trio

import trisig
from trisig._api.options import MASTER_OPTIONS, Options

# A command line cannot give functions and objects, and knows its application.
ONLY_PYTHON = {"application", "on_dead_letter", "cluster", "instruments"}


def test_types_and_defaults_name_the_same_options() -> None:
    """What callers may write, what has a default and what the command offers are the same names."""
    names = [field.name for field in msgspec.structs.fields(Options)]
    assert names == list(trisig.MasterOptions.__annotations__)
    assert [option.name for option in MASTER_OPTIONS] == [name for name in names if name not in ONLY_PYTHON]


def test_the_documentation_of_an_option_has_its_default() -> None:
    """The default in an option's docstring is the one that holds."""
    source = inspect.getsource(sys_module_of(trisig.MasterOptions))
    for field in msgspec.structs.fields(Options):
        default = f"{field.default:,.15g}" if isinstance(field.default, int | float) else str(field.default or None)
        text = source.partition(f"\n    {field.name}: ")[2].partition('"""')[2].partition('"""')[0]
        assert text.rstrip(".").lower().endswith(f"({default.lower()})"), (field.name, text)


def sys_module_of(cls: type) -> ModuleType:
    """The module that a class is written in."""
    module = inspect.getmodule(cls)
    assert module is not None
    return module


async def test_an_option_that_does_not_exist() -> None:
    """A misspelt option is the TypeError that Python has for it, from both functions."""
    with pytest.raises(TypeError, match=r"^open_master\(\) got an unexpected keyword argument 'worker'$"):
        async with trisig.open_master(trisig.Signals(), worker=1):  # type: ignore[call-arg]  # the mistake
            pass
    with pytest.raises(TypeError, match=r"^run\(\) got an unexpected keyword argument 'worker'$"):
        trisig.run(trisig.Signals(), worker=1)  # type: ignore[call-arg]  # the mistake
    await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    "decorator", ["handler", "on_start", "service", "task", "timer", "rb_timer", "cron", "file_monitor"]
)
def test_a_decorator_without_its_parentheses(decorator: str) -> None:
    """The message says what to write."""

    def mine(signum: int) -> None: ...

    with pytest.raises(TypeError, match=rf"the decorator needs its parentheses: write @signals\.{decorator}\(.*mine"):
        getattr(trisig.Signals(), decorator)(mine)


def test_a_traceback_names_what_except_needs() -> None:
    """Exceptions are shown under the name that users import."""
    errors = [one for one in vars(trisig).values() if isinstance(one, type) and issubclass(one, Exception)]
    assert trisig.DeadlockError in errors
    assert {error.__module__ for error in errors} == {"trisig"}
    with pytest.raises(trisig.TargetError):
        trisig.Signals().register(1, "nobody", print)
