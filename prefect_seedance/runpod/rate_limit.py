"""How many calls one process makes to an account: below what Runpod takes per user and endpoint.

Its documentation ("send requests", August 2026) allows 1,000 submits in 10 s, 200 of them at once, and 2,000 status
calls in 10 s, 400 at once.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from prefect_seedance.runpod.account import Account

SUBMITS = 900
"""In any ten seconds. How many go out at once is the sender's affair: see `generation.sender`."""
STATUS_CALLS = 1800
"""In any ten seconds."""
STATUS_CALLS_AT_ONCE = 360


class Quota:
    """So many *calls* in any *seconds*, and so many *at_once*, from whatever thread or loop they come."""

    def __init__(self, calls: int, at_once: int | None = None, *, seconds: float = 10.0) -> None:
        self.seconds = seconds
        self.shared: Callable[[], Awaitable[None]] | None = None
        """Waits until one more call may begin among all processes of the account, where somebody counts for them."""
        self._whole = calls, at_once
        self._lock = threading.Lock()
        self._turns: deque[float] = deque()
        self.divide(1)

    def divide(self, processes: int) -> None:
        """Take an equal share of what so many processes have together."""
        calls, at_once = self._whole
        with self._lock:
            self._turns = deque(self._turns, maxlen=max(1, calls // processes))
        self._places = threading.Semaphore(max(1, at_once // processes)) if at_once else None

    async def turn(self) -> None:
        """Wait until one more call may begin."""
        if self.shared is not None:
            await self.shared()
        with self._lock:
            now, full = time.monotonic(), len(self._turns) == self._turns.maxlen
            at = max(now, self._turns[0] + self.seconds) if full else now
            self._turns.append(at)
        if at > now:
            await asyncio.sleep(at - now)

    @asynccontextmanager
    async def call(self) -> AsyncIterator[None]:
        """One call, begun in its turn and counted among those that go on at once."""
        await self.turn()
        places = self._places
        if places is None:
            yield
            return
        while not places.acquire(blocking=False):  # noqa: ASYNC110 - an event belongs to one loop, these to many
            await asyncio.sleep(0.05)
        try:
            yield
        finally:
            places.release()


@functools.cache
def submits_of(account: Account) -> Quota | None:
    """What all runs of this process share for their submits; None for an emulator, which takes what comes."""
    return Quota(SUBMITS) if account.kind == "real" else None


@functools.cache
def status_calls_of(account: Account) -> Quota:
    """What all runs of this process share for their status calls."""
    return Quota(STATUS_CALLS, STATUS_CALLS_AT_ONCE)
