"""How many calls a second one process makes."""

from __future__ import annotations

import asyncio
import time


class Quota:
    """So many calls a second in the long run, and at most ten seconds' worth of them in a burst."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._next = time.monotonic()

    async def turn(self) -> None:
        now = time.monotonic()
        self._next = max(self._next, now - 10.0) + 1 / self.per_second
        if self._next > now:
            await asyncio.sleep(self._next - now)
