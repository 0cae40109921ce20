"""An application as a type checker sees it; nothing here is run.

The two planted mistakes are the control: where stubs hide trio's own types, a checker no longer finds them, and the
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


@signals.service("workers")
async def serve(task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """A service may say when it is ready."""
    task_status.started(8000)
    signum: int = await signals.wait()
    await signals.send(signum)


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
    status.started("8000")  # type: ignore[arg-type]
    await trio.sleep("1")  # type: ignore[arg-type]
    await hello("17")  # type: ignore[arg-type]


trio.run(main)
