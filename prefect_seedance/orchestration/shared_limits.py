"""The quotas of an account over all workers: slots of Prefect's global limits, taken in batches; else a fixed share.

A limit needs a slot decay. Losing it, or the server, costs speed: the process goes on with its share.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from prefect_seedance.orchestration.logs import log
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.rate_limit import Quota, status_calls_of, submits_of

STATUS, SUBMIT = "seedance-status", "seedance-submit"
"""Where a Prefect global concurrency limit with a slot decay has this name, all workers share it for such calls."""
BATCH = 50
"""The most calls that are paid for with one question to Prefect."""
KEPT_SECONDS = 10.0
"""After which calls of a batch that were not made are lost: later they would come on top of others'."""
LOCKED = 423


class SharedTurns:
    """Turns that *take* grants in batches: it returns 0 once it has taken so many slots, else the seconds to wait."""

    def __init__(self, take: Callable[[int], Awaitable[float]], batch: int, gone: Callable[[Exception], None]) -> None:
        self._take = take
        self._batch = batch
        self._gone = gone
        self._left = 0
        self._until = 0.0
        self._is_gone = False
        self._one_at_a_time = threading.Lock()

    async def turn(self) -> None:
        """Wait until one more call may begin. Where nobody grants any more, that is told once and nobody waits."""
        while not self._one_at_a_time.acquire(blocking=False):  # noqa: ASYNC110 - calls come from several loops
            await asyncio.sleep(0.05)
        try:
            while not self._is_gone and (not self._left or time.monotonic() > self._until):
                try:
                    if seconds := await self._take(self._batch):
                        await asyncio.sleep(seconds)
                        continue
                except Exception as error:  # whatever it is: no call has to fail for it
                    self._is_gone = True
                    self._gone(error)
                self._left, self._until = self._batch, time.monotonic() + KEPT_SECONDS
            self._left -= 1
        finally:
            self._one_at_a_time.release()


async def share_quotas(account: Account, processes: int = 1) -> None:
    """Keep this process to its part of what *account* allows, where so many processes render with it at once.

    A flow begins with it. Where the limit for status calls is not there, nobody asks for the other one.
    """
    slots = 1
    for name, quota in ((STATUS, status_calls_of(account)), (SUBMIT, submits_of(account))):
        if quota is None:
            continue
        slots = slots and await _slots_of(name)
        if slots:
            quota.shared = SharedTurns(_taking(name), min(BATCH, slots), _falling_back(name, quota, processes)).turn
        else:
            quota.divide(processes)


async def _slots_of(name: str) -> int:
    """The slots of a limit that is there, active and decays; else 0."""
    try:
        async with get_client() as client:
            limit = await client.read_global_concurrency_limit_by_name(name)
    except Exception:  # no such limit, or a server that has gone: nobody shares
        return 0
    return limit.limit if limit.active and limit.slot_decay_per_second > 0 else 0


def _taking(name: str) -> Callable[[int], Awaitable[float]]:
    """Takes slots by the plain call: Prefect's own `rate_limit` would leave an event for each."""

    async def take(slots: int) -> float:
        async with get_client() as client:
            try:
                taken = await client.increment_concurrency_slots([name], slots, mode="rate_limit")
            except PrefectHTTPStatusError as error:
                if error.response.status_code != LOCKED:
                    raise
                return max(0.1, float(error.response.headers.get("Retry-After", 1.0)))
        if not taken.json():
            raise LookupError(f"the limit {name} is no longer there")
        return 0.0

    return take


def _falling_back(name: str, quota: Quota, processes: int) -> Callable[[Exception], None]:
    def gone(error: Exception) -> None:
        quota.divide(processes)
        log().warning(
            "The limit %s can't be asked any more (%s); this run goes on with its share.", name, type(error).__name__
        )

    return gone
