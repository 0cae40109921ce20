"""A signal or a task that was given up. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A signal or a task that was given up: it ended its process or failed too often, or nothing can run it.

    Attributes:
        signum: the signal; None for a task.
        destination: the queue that it waited in.
        attempts: how many processes its handler has ended; of a job, how often it was started.
        task: the name of the task; None for a signal.
        failures: how often its handler has raised.
        id: by which `DeadLetters` knows it.
        at: when it was given up, in seconds since the epoch.
        arguments: of the task, as they travel, in MessagePack.
        reason: why it was given up, if it is not its attempts.
    """

    signum: int | None
    destination: str
    attempts: int
    task: str | None = None
    failures: int = 0
    id: str = field(default="", compare=False)
    at: float = field(default=0.0, compare=False)
    arguments: bytes = field(default=b"", compare=False, repr=False)
    reason: str = ""

    def __str__(self) -> str:
        """What it was: `signal 17`, `task shop.resize`."""
        return f"signal {self.signum}" if self.task is None else f"task {self.task}"
