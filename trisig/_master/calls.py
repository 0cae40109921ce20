"""Which call waits for which tasks, and the way back of their results."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import msgspec

from trisig._ipc.failure import encode_death
from trisig._ipc.raised_stream import DEAD, DONE
from trisig._model.dead_letter import DeadLetter
from trisig._model.invocation import NO_REPLY, Invocation
from trisig._util.ki_protection import ki_protected

Answer = tuple[int, bytes | bytearray]


class _Call(msgspec.Struct):
    """Who called, and the answers that have come, by reply in the order of the processes."""

    process: str
    key: int
    several: bool
    answers: dict[int, Answer | None] = msgspec.field(default_factory=dict)


@ki_protected
class ReplyBook:
    """The calls of all processes.

    Args:
        answer: gives the process that called its answer: its name, the key of the call, outcome and content.
    """

    def __init__(self, answer: Callable[[str, int, int, bytes | bytearray], object]) -> None:
        self._answer = answer
        self._calls: dict[int, _Call] = {}  # by reply
        self._replies = count(NO_REPLY + 1)

    def open(self, process: str, key: int, copies: int, *, several: bool) -> list[int]:
        """A task is about to be queued so many times for a call: the replies that the copies shall carry.

        Args:
            process: who calls.
            key: by which it knows the call.
            copies: how many processes run the task; with none, the answer is an empty list.
            several: whether the answer is a list.
        """
        call = _Call(process, key, several)
        replies = [next(self._replies) for _ in range(copies)]
        call.answers = dict.fromkeys(replies)
        self._calls.update(dict.fromkeys(replies, call))
        if not replies:
            self._close(call)
        return replies

    def answered(self, reply: int, outcome: int, content: bytes | bytearray) -> None:
        """A task has run; nothing happens if it was answered before, by a process that died right after."""
        call = self._calls.pop(reply, None)
        if call is None:
            return
        call.answers[reply] = outcome, content
        if None not in call.answers.values():
            self._close(call)

    def given_up(self, invocation: Invocation, letter: DeadLetter) -> None:
        """A task is dead-lettered."""
        if invocation.reply != NO_REPLY:
            self.answered(invocation.reply, DEAD, encode_death(letter.task or "", letter.attempts))

    def left(self, process: str) -> None:
        """A process has ended: nobody waits for its calls any more."""
        for reply in [reply for reply, call in self._calls.items() if call.process == process]:
            del self._calls[reply]

    def _close(self, call: _Call) -> None:
        answers = [answer for answer in call.answers.values() if answer is not None]
        failed = next((answer for answer in answers if answer[0] != DONE), None)
        if failed is None and call.several:
            contents = [msgspec.Raw(content) for _, content in answers]
            self._answer(call.process, call.key, DONE, msgspec.msgpack.encode(contents))
        else:
            self._answer(call.process, call.key, *(failed or answers[0]))
