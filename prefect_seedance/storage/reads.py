"""Many reads of a store: some at a time, so that a board of a thousand asks for no more at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

READS_AT_ONCE = 64

Asked = TypeVar("Asked")
Found = TypeVar("Found")


async def some_at_a_time(read: Callable[[Asked], Awaitable[Found]], each: Iterable[Asked]) -> list[Found]:
    """What *read* finds for *each*, in their order. The first error is raised."""
    at_once = asyncio.Semaphore(READS_AT_ONCE)

    async def one(asked: Asked) -> Found:
        async with at_once:
            return await read(asked)

    return await asyncio.gather(*map(one, each))
