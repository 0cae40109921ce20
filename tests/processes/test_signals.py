"""What an application declares, and what it gets told when it declares nonsense."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from witness import Journal

import trisig


def handle(signum: int) -> None:
    """Accept any signal."""


def one_line(caught: pytest.ExceptionInfo[BaseException], *words: str) -> None:
    """The message is one line that has all the words."""
    text = str(caught.value)
    assert text
    assert "\n" not in text
    assert all(word in text for word in words), text


# The table before a master opens


def test_registering_makes_a_number_taken_until_it_is_unregistered() -> None:
    """A number is registered from `register` to `unregister`, and can then be registered again."""
    signals = trisig.Signals()
    assert not signals.is_registered(17)
    signals.register(17, "workers", handle)
    assert signals.is_registered(17)
    signals.unregister(17)
    assert not signals.is_registered(17)
    signals.register(17, "mule", handle)
    assert signals.is_registered(17)


def test_the_decorator_returns_the_function_unchanged() -> None:
    """`handler` registers what it decorates and gives back the very same function."""
    signals = trisig.Signals()

    async def function(signum: int) -> None: ...

    assert signals.handler(0)(function) is function
    assert signals.handler(255, target="spooler")(handle) is handle
    assert signals.is_registered(0)
    assert signals.is_registered(255)


def test_one_function_may_handle_several_numbers() -> None:
    """The same function can be registered for more than one number."""
    signals = trisig.Signals()
    signals.handler(1)(signals.handler(2)(handle))
    assert signals.is_registered(1)
    assert signals.is_registered(2)


def test_free_signum_is_the_lowest_number_until_there_is_none() -> None:
    """`free_signum` finds gaps, and says so when all 256 numbers are taken."""
    signals = trisig.Signals()
    assert signals.free_signum() == 0
    signals.register(0, "worker", handle)
    signals.register(2, "worker", handle)
    assert signals.free_signum() == 1
    for signum in [1, *range(3, 256)]:
        signals.register(signum, "worker", handle)
    with pytest.raises(trisig.SignalTableError) as caught:
        signals.free_signum()
    one_line(caught, "256")
    signals.unregister(255)
    assert signals.free_signum() == 255


def test_two_signals_objects_have_a_table_each() -> None:
    """What is registered with one `Signals` is unknown to another."""
    one, other = trisig.Signals(), trisig.Signals()
    one.register(9, "worker", handle)
    assert not other.is_registered(9)


async def test_a_taken_number_keeps_its_first_handler(tmp_path: Path) -> None:
    """Registering a taken number is SignalTableError, and the first handler stays in force."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    signals.register(7, "worker", lambda signum: journal.note("first"))
    with pytest.raises(trisig.SignalTableError) as caught:
        signals.register(7, "workers", lambda signum: journal.note("second"))
    one_line(caught, "7", "registered already")
    with pytest.raises(trisig.SignalTableError):
        signals.handler(7)(handle)
    async with trisig.open_master(signals, workers=2):
        await signals.send(7)
    assert [words for _, words in journal.read()] == ["first"]


def test_unregistering_what_is_not_registered_is_an_error() -> None:
    """`unregister` of a number without an entry is SignalTableError."""
    signals = trisig.Signals()
    with pytest.raises(trisig.SignalTableError) as caught:
        signals.unregister(5)
    one_line(caught, "5", "not registered")


def test_the_errors_are_what_their_callers_expect() -> None:
    """Each exception is also the builtin one that fits it."""
    assert issubclass(trisig.TargetError, ValueError)
    assert issubclass(trisig.SignalTableError, ValueError)
    assert issubclass(trisig.NoMasterError, RuntimeError)
    assert issubclass(trisig.ChildFailedError, RuntimeError)


# Numbers

NO_NUMBERS = [
    (-1, ValueError),
    (256, ValueError),
    (10**30, ValueError),
    (True, TypeError),
    (False, TypeError),
    ("17", TypeError),
    (b"\x11", TypeError),
    (17.0, TypeError),
    ([17], TypeError),
]
VERBS: dict[str, Callable[[trisig.Signals, Any], object]] = {
    "register": lambda signals, signum: signals.register(signum, "worker", handle),
    "handler": lambda signals, signum: signals.handler(signum)(handle),
    "unregister": lambda signals, signum: signals.unregister(signum),
    "is_registered": lambda signals, signum: signals.is_registered(signum),
    "send_nowait": lambda signals, signum: signals.send_nowait(signum),
    "send": lambda signals, signum: signals.send(signum),
    "wait": lambda signals, signum: signals.wait(signum),
}


async def use(verb: str, signals: trisig.Signals, signum: Any) -> None:
    """Call a verb, and await it where it is async."""
    result = VERBS[verb](signals, signum)
    if verb in {"send", "wait"}:
        assert isinstance(result, Awaitable)
        await result


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("signum", "error"), NO_NUMBERS)
async def test_what_is_no_signal_number_is_refused(verb: str, signum: object, error: type[Exception]) -> None:
    """A number outside 0 to 255 is ValueError and another type is TypeError, in every verb, in one line."""
    signals = trisig.Signals()
    with pytest.raises(error) as caught:
        await use(verb, signals, signum)
    one_line(caught, "0 to 255", repr(signum))
    assert signals.free_signum() == 0


@pytest.mark.parametrize("verb", ["register", "handler", "unregister", "is_registered", "send_nowait", "send"])
async def test_none_is_no_signal_number(verb: str) -> None:
    """None is TypeError wherever it does not mean "any"."""
    with pytest.raises(TypeError):
        await use(verb, trisig.Signals(), None)


async def test_bad_numbers_are_refused_by_a_running_master_and_change_nothing() -> None:
    """With a master open the same numbers are refused, and nothing is registered or accepted."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=1) as master:
        for signum, error in NO_NUMBERS:
            for verb in VERBS:
                with pytest.raises(error) as caught:
                    await use(verb, signals, signum)
                one_line(caught, "0 to 255")
        assert signals.free_signum() == 0
        assert master.statistics().accepted == 0
        assert master.statistics().waiting == 0


# Targets

NO_TARGETS = [
    "wroker",
    "Worker",
    " worker",
    "worker ",
    "worker1\n",
    "worker-1",
    "worker+1",
    "worker01",
    "worker1.0",
    "worker٣",
    "workers1",
    "active-worker",
    "active_workers",
    "active-mules",
    "mule-1",
    "mules2",
    "farm",
    "farms",
    "farm0",
    "farm_",
    "farm-1",
    "spooler0",
    "spoolers1",
    "master",
    "worker1,worker2",
]


@pytest.mark.parametrize("target", NO_TARGETS)
def test_a_malformed_target_is_refused_when_it_is_registered(target: str) -> None:
    """A word that is no target is TargetError at once, in one line, and the number stays free."""
    signals = trisig.Signals()
    with pytest.raises(trisig.TargetError) as caught:
        signals.register(3, target, handle)
    one_line(caught, repr(target))
    with pytest.raises(trisig.TargetError):
        signals.handler(3, target=target)(handle)
    assert not signals.is_registered(3)


@pytest.mark.parametrize("target", NO_TARGETS)
def test_a_malformed_target_is_refused_by_hooks(target: str) -> None:
    """`on_start` refuses a malformed target too."""
    with pytest.raises(trisig.TargetError):
        trisig.Signals().on_start(target)


@pytest.mark.parametrize("target", [target for target in NO_TARGETS if target != "master"])
def test_a_malformed_target_is_refused_by_services(target: str) -> None:
    """`service` refuses a malformed target too; `master` is one for it alone."""
    with pytest.raises(trisig.TargetError):
        trisig.Signals().service(target)


@pytest.mark.parametrize("target", [None, 3, b"worker", ["worker"]])
def test_a_target_is_text(target: Any) -> None:
    """A target that is not text is TypeError."""
    signals = trisig.Signals()
    with pytest.raises(TypeError) as caught:
        signals.register(3, target, handle)
    one_line(caught, repr(target))
    assert not signals.is_registered(3)


@pytest.mark.parametrize("target", ["", "worker", "worker0", "mule", "mule0", "spooler"])
def test_hooks_and_services_want_fixed_processes(target: str) -> None:
    """A first-available target means nothing to `on_start` and `service`: TargetError."""
    signals = trisig.Signals()
    with pytest.raises(trisig.TargetError) as caught:
        signals.service(target)
    one_line(caught, "first")
    with pytest.raises(trisig.TargetError) as caught:
        signals.on_start(target)
    one_line(caught, "first")


MISSING = [
    ("worker9", {"workers": 4}),
    ("worker", {"workers": 0, "mules": 1}),
    ("", {"workers": 0, "mules": 1}),
    ("workers", {"workers": 0, "mules": 1}),
    ("active-workers", {"workers": 0, "mules": 1}),
    ("mule", {}),
    ("mules", {}),
    ("mule2", {"mules": 1}),
    ("spooler", {}),
    ("spoolers", {}),
    ("spooler3", {"spoolers": 2}),
    ("farm1", {"mules": 1}),
    ("farm2", {"mules": 1, "farms": {"busy": (1,)}}),
    ("farm_lazy", {"mules": 1, "farms": {"busy": (1,)}}),
]


@pytest.mark.parametrize(("target", "topology"), MISSING)
async def test_a_target_that_the_topology_lacks_is_found_when_the_master_opens(
    target: str, topology: dict[str, Any]
) -> None:
    """`open_master` raises TargetError for it before any process is made, and works once it is gone."""
    signals = trisig.Signals()
    signals.register(1, target, handle)
    with pytest.raises(trisig.TargetError) as caught:
        async with trisig.open_master(signals, **topology):
            raise AssertionError("it must not open")
    one_line(caught)
    with pytest.raises(trisig.NoMasterError):
        signals.send_nowait(1)
    signals.unregister(1)
    async with trisig.open_master(signals, **topology):
        assert not signals.is_registered(1)


async def test_targets_that_the_running_master_lacks_are_refused_at_once() -> None:
    """With a master open `register` raises TargetError at once and leaves the number free."""
    signals = trisig.Signals()
    async with trisig.open_master(signals, workers=2, mules=1, farms={"busy": (1,)}) as master:
        for target in ("worker3", "mule2", "spooler", "spoolers", "farm2", "farm_lazy", *NO_TARGETS):
            with pytest.raises(trisig.TargetError) as caught:
                signals.register(4, target, handle)
            one_line(caught, repr(target))
            assert not signals.is_registered(4)
        assert master.statistics().signals == {}
        signals.register(4, "worker2", handle)


@pytest.mark.parametrize("declare", ["service", "on_start"])
async def test_hooks_and_services_for_missing_processes_are_found_when_the_master_opens(declare: str) -> None:
    """A service or hook of `mules` without mules is TargetError when the master opens."""
    signals = trisig.Signals()

    async def serve() -> None: ...

    getattr(signals, declare)("mules")(serve)
    with pytest.raises(trisig.TargetError) as caught:
        async with trisig.open_master(signals):
            raise AssertionError("it must not open")
    one_line(caught, "mule")


# Handlers


@pytest.mark.parametrize(
    "handler",
    [
        None,
        17,
        "handle",
        lambda: None,
        lambda signum, more: None,
        lambda *, signum: None,
    ],
)
def test_a_handler_is_a_function_of_one_argument(handler: Any) -> None:
    """What cannot be called with a signal number is TypeError, and the number stays free."""
    signals = trisig.Signals()
    with pytest.raises(TypeError) as caught:
        signals.register(3, "worker", handler)
    one_line(caught)
    with pytest.raises(TypeError):
        signals.handler(3)(handler)
    assert not signals.is_registered(3)


@pytest.mark.parametrize(
    "handler",
    [lambda signum: None, lambda *signums: None, lambda signum, more=1: None, print, [].append],
)
def test_anything_that_takes_a_number_is_a_handler(handler: Any) -> None:
    """Lambdas, builtins, bound methods and functions with further defaults can be handlers."""
    signals = trisig.Signals()
    signals.register(3, "worker", handler)
    assert signals.is_registered(3)


@pytest.mark.parametrize("value", [None, 3, lambda needed: None])
def test_hooks_and_services_are_called_without_arguments(value: Any) -> None:
    """What cannot be called without arguments is neither a hook nor a service: TypeError."""
    signals = trisig.Signals()
    with pytest.raises(TypeError) as caught:
        signals.on_start()(value)
    one_line(caught)
    with pytest.raises(TypeError) as caught:
        signals.service("workers")(value)
    one_line(caught)


# The arguments of open_master


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"workers": -1}, ValueError),
        ({"workers": True}, TypeError),
        ({"workers": "2"}, TypeError),
        ({"workers": 1.0}, TypeError),
        ({"mules": -1}, ValueError),
        ({"spoolers": None}, TypeError),
        ({"mules": 2, "farms": {"busy": (1, 3)}}, trisig.TargetError),
        ({"mules": 2, "farms": {"busy": (0,)}}, trisig.TargetError),
        ({"farms": {"busy": (1,)}}, trisig.TargetError),
        ({"mules": 1, "farms": {"busy": ()}}, trisig.TargetError),
        ({"mules": 1, "farms": {"busy": ("1",)}}, TypeError),
        ({"mules": 1, "farms": {"busy": 1}}, TypeError),
        ({"mules": 1, "farms": {"": (1,)}}, ValueError),
        ({"mules": 1, "farms": [("busy", (1,))]}, TypeError),
        ({"cores": 0}, ValueError),
        ({"cores": 1.5}, TypeError),
        ({"grace": -1}, ValueError),
        ({"grace": float("nan")}, ValueError),
        ({"grace": "1"}, TypeError),
        ({"max_attempts": 0}, ValueError),
        ({"max_queued": 0}, ValueError),
        ({"max_queued": True}, TypeError),
        ({"handler_timeout": 0}, ValueError),
        ({"handler_timeout": -1.0}, ValueError),
        ({"handler_timeout": "1"}, TypeError),
    ],
)
async def test_arguments_that_cannot_be_are_refused_before_anything_starts(
    arguments: dict[str, Any], error: type[Exception]
) -> None:
    """Counts, farms and options that make no sense are one clear line, and no process is made."""
    signals = trisig.Signals()
    with pytest.raises(error) as caught:
        async with trisig.open_master(signals, **arguments):
            raise AssertionError("it must not open")
    one_line(caught)
    with pytest.raises(trisig.NoMasterError):
        signals.send_nowait(1)


# Without a master


async def test_raising_and_waiting_need_a_master() -> None:
    """`send`, `send_nowait` and `wait` without a master are NoMasterError, before and after one was open."""
    signals = trisig.Signals()
    signals.register(1, "worker", handle)

    async def refused() -> None:
        for verb in ("send", "send_nowait", "wait"):
            with pytest.raises(trisig.NoMasterError) as caught:
                await use(verb, signals, 1)
            one_line(caught, "master")
        with pytest.raises(trisig.NoMasterError):
            await signals.wait()

    await refused()
    async with trisig.open_master(signals):
        await signals.send(1)
    await refused()


# Raising


async def test_every_way_to_raise_a_signal_in_the_master(tmp_path: Path) -> None:
    """`send` and `send_nowait` raise signals from a task, and `send_nowait` from a thread, each exactly once."""
    signals, journal = trisig.Signals(), Journal(tmp_path)
    for signum in (1, 2, 3):
        signals.handler(signum)(journal.note)
    async with trisig.open_master(signals):
        await signals.send(1)
        signals.send_nowait(2)
        await trio.to_thread.run_sync(signals.send_nowait, 3)
    assert sorted(journal.read()) == [("worker1", 1), ("worker1", 2), ("worker1", 3)]


async def test_what_threads_raised_is_delivered_at_shutdown_too() -> None:
    """Signals that threads raised right before the end are all accepted and delivered."""
    signals = trisig.Signals()
    signals.register(3, "worker", handle)

    def burst() -> None:
        for _ in range(1000):
            signals.send_nowait(3)

    async with trisig.open_master(signals, workers=2) as master:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(trio.to_thread.run_sync, burst)
    assert master.statistics().accepted == master.statistics().done == 4000


async def test_send_is_a_checkpoint_and_cancelled_before_it_raises_nothing() -> None:
    """A cancelled `send` raises no signal; one that returned did, even if the scope is cancelled meanwhile."""
    signals = trisig.Signals()
    signals.register(3, "worker", handle)
    async with trisig.open_master(signals) as master:
        with trio.CancelScope() as scope:
            scope.cancel()
            await signals.send(3)
        assert scope.cancelled_caught
        assert master.statistics().accepted == 0
        await signals.send(3)
        assert master.statistics().accepted == 1


def test_a_service_must_be_async() -> None:
    """A plain function as a service is refused where it is declared, with what to write instead."""
    signals = trisig.Signals()
    with pytest.raises(TypeError, match=r"write async def serve\(\), not def"):

        @signals.service("workers")  # type: ignore[type-var]  # the mistake
        def serve() -> None: ...
