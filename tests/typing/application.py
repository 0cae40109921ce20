"""An application as a type checker sees it; nothing here is run.

The planted mistakes are the control: where stubs hide trio's own types, a checker no longer finds them, and the
comments that excuse them become errors themselves (`warn_unused_ignores`).
"""

import trio

import trisig

signals = trisig.Signals()


@signals.handler(17, target="workers")
async def hello(signum: int) -> None:
    """An async handler keeps its type."""
    await trio.sleep(signum)


@signals.timer(2, target="mule")
def tick(signum: int) -> None:
    """A plain handler keeps its type."""
    signals.send_nowait(signum)


@signals.cron("@hourly", overlap="skip", retry=trisig.Backoff(1, 60, attempts=5), catch_up="none", late=60)
async def hourly(signum: int) -> None:
    """The options of handlers are checked by name and by value."""
    event: trisig.Event | None = signals.event()
    path: str | None = None if event is None else event.path
    print(signum, path)


signals.timer(2, overlap="all")  # type: ignore[arg-type]  # no such word


@signals.service("workers")
async def serve(task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """A service may say when it is ready."""
    task_status.started(8000)
    signum: int = await signals.wait()
    await signals.send(signum)


@signals.task("mule")
async def resize(path: str, width: int = 80) -> int:
    """An async task: `call` gives what awaiting it gives."""
    return len(path) * width


@signals.task("workers")
def forget(path: str) -> bytes:
    """A task for several: `call` gives a list."""
    return path.encode()


async def use_tasks() -> None:
    """Tasks keep the parameters of their functions."""
    await resize.send("a.png", width=3)
    size: int = await resize.call("a.png")
    here: int = await resize("a.png")
    names: list[bytes] = await forget.configure(delay=1.5).call("a.png")
    name: bytes = forget("a.png")
    print(size, here, names, name)


async def main() -> None:
    """The master is open for the length of a block."""
    await hello(17)
    tick(17)
    async with trisig.open_master(signals, workers=2, farms={"busy": (1, 2)}, mules=2) as master:
        names: list[str] = [process.name for process in master.processes]
        accepted: int = master.statistics().accepted
        print(names, accepted)


async def mistakes(status: trio.TaskStatus[int]) -> None:
    """What a checker must find."""
    status.started("8000")  # type: ignore[arg-type]  # the mistake
    await trio.sleep("1")  # type: ignore[arg-type]  # the mistake
    await hello("17")  # type: ignore[arg-type]  # the mistake
    await resize.send(17)  # type: ignore[arg-type]  # the mistake
    forget.send_nowait("a.png", width=3)  # type: ignore[call-arg]  # the mistake


trio.run(main)
