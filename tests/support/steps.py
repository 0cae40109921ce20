"""Looking at what a kill would leave, between any two bytecodes of some functions."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any


@contextmanager
def at_every_step(codes: set[CodeType], look: Callable[[], object]) -> Iterator[None]:
    """Call `look` before every bytecode of some functions, in this thread."""
    thread = threading.get_ident()
    looking = False

    def step(*_: object) -> None:
        nonlocal looking
        if not looking and threading.get_ident() == thread:
            looking = True
            look()
            looking = False

    def enter(frame: FrameType, _event: str, _arg: object) -> Callable[..., Any] | None:
        if frame.f_code not in codes:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return local

    def local(_frame: FrameType, event: str, _arg: object) -> Callable[..., Any]:
        if event == "opcode":
            step()
        return local

    if sys.version_info >= (3, 12):  # f_trace_opcodes stops early there
        monitoring = sys.monitoring
        monitoring.use_tool_id(monitoring.DEBUGGER_ID, "steps")
        monitoring.register_callback(monitoring.DEBUGGER_ID, monitoring.events.INSTRUCTION, step)
        for code in codes:
            monitoring.set_local_events(monitoring.DEBUGGER_ID, code, monitoring.events.INSTRUCTION)
        try:
            yield
        finally:
            for code in codes:
                monitoring.set_local_events(monitoring.DEBUGGER_ID, code, 0)
            monitoring.register_callback(monitoring.DEBUGGER_ID, monitoring.events.INSTRUCTION, None)
            monitoring.free_tool_id(monitoring.DEBUGGER_ID)
    else:
        before = sys.gettrace()
        sys.settrace(enter)
        try:
            yield
        finally:
            sys.settrace(before)
