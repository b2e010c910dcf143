"""An event loop on which hours pass at once, so that what is counted does not depend on the machine's speed."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

OPERATION = 0.01
"""Seconds that whatever is given to a thread takes; it is done at once, in the loop's own thread."""


class VirtualTime(asyncio.SelectorEventLoop):
    """Its clock stands while something can be done, and jumps to the next moment at which something can."""

    def __init__(self) -> None:
        self.now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        return self.now

    def run_in_executor(self, executor: Any, work: Callable[..., Any], *given: Any) -> Any:  # type: ignore[override]
        done = self.create_future()
        try:
            self.call_later(OPERATION, done.set_result, work(*given))
        except Exception as error:
            self.call_later(OPERATION, done.set_exception, error)
        return done


class _Jumping(selectors.DefaultSelector):
    def __init__(self, loop: VirtualTime) -> None:
        super().__init__()
        self.loop = loop

    def select(self, timeout: float | None = None) -> Any:
        self.loop.now += timeout or 0
        return super().select(0 if timeout else timeout)
