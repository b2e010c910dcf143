"""What tests of other processes need: a free port, and patience."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def until(seen: Callable[[], T], *, seconds: float = 300, pause: float = 0.3) -> T:
    """The first true answer of *seen*."""
    deadline = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)
    return found
