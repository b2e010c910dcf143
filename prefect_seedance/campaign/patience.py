"""Asking a store again that has not answered: a campaign of hours outlives a minute of silence."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from prefect_seedance.errors import LedgerUnreadable, StoreUnavailable

T = TypeVar("T")

PAUSES = (1.0, 5.0, 20.0, 60.0)
"""Seconds after which the store is asked again."""


async def patiently(
    ask: Callable[[], Awaitable[T]],
    pauses: Sequence[float],
    told: Callable[[StoreUnavailable], None] = lambda silent: None,
) -> T:
    """The answer to *ask*, which is asked again after each of the *pauses*. Raises the last `StoreUnavailable`.

    Those before it are *told*.
    """
    for pause in pauses:
        try:
            return await ask()
        except LedgerUnreadable:  # the store has answered, and will answer the same
            raise
        except StoreUnavailable as silent:
            told(silent)
            await asyncio.sleep(pause)
    return await ask()
