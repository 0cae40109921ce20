"""What belongs to requests. uWSGI answers some of it outside a request; the rest is one clear error here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

# What uWSGI 2.0.31 answers outside a request.
ANSWERS: tuple[tuple[str, Any], ...] = (
    ("request_id", 0),
    ("total_requests", 0),
    ("logsize", 0),
    ("listen_queue", 0),
    ("connection_fd", 0),
    ("set_logvar", None),
    ("get_logvar", None),
    ("log_this_request", None),
    ("accepting", None),
    ("alarm", None),
    ("rpc_list", ()),
    ("register_rpc", True),
    ("scrolls", None),
    ("lord_scroll", None),
    ("set_warning_message", True),
    ("disconnect", None),
)

REFUSED = (
    "add_var", "async_connect", "async_sleep", "call", "chunked_read", "chunked_read_nb", "cl", "close", "connect",
    "embedded_data", "extract", "green_schedule", "is_connected", "offload", "ready_fd", "recv", "rpc", "send",
    "sendfile", "start_response", "suspend", "wait_fd_read", "wait_fd_write", "websocket_handshake", "websocket_recv",
    "websocket_recv_nb", "websocket_send", "websocket_send_binary",
)  # fmt: skip


def answering(value: object) -> Callable[..., object]:
    """A function that always returns the same."""
    return lambda *_arguments, **_named: value


def refusing(name: str, why: str) -> Callable[..., NoReturn]:
    """A function that says why it cannot be called."""

    def refuse(*_arguments: object, **_named: object) -> NoReturn:
        raise NotImplementedError(f"uwsgi.{name}: {why}")

    refuse.__name__ = refuse.__qualname__ = name
    return refuse
