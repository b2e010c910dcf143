"""What tests of other processes need: a free port, and patience."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def free_port() -> int:
    """A free port that no program gets by chance: below those that the system hands out."""
    while True:
        port = secrets.choice(range(20000, 30000))
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def until(seen: Callable[[], T], *, seconds: float = 300, pause: float = 0.3) -> T:
    """The first true answer of *seen*."""
    deadline = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)
    return found
