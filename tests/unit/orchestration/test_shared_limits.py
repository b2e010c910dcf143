"""The quotas of an account over several processes: turns in batches from somebody who counts, else a fixed share."""

from __future__ import annotations

import asyncio
import time

import pytest

from prefect_seedance.orchestration.shared_limits import SharedTurns
from prefect_seedance.runpod.rate_limit import Quota


class Slots:
    """Who counts for all processes: grants so many slots, and then asks to wait until there are more."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.asked = 0
        self.gone = False

    async def take(self, slots: int) -> float:
        self.asked += 1
        if self.gone:
            raise ConnectionError("the server has gone")
        if self.slots < slots:
            return 0.02
        self.slots -= slots
        return 0.0


def turns_of(slots: Slots, batch: int, told: list[str]) -> SharedTurns:
    return SharedTurns(slots.take, batch, lambda error: told.append(str(error)))


async def test_a_hundred_turns_are_two_questions_and_two_processes_never_have_more_than_there_are() -> None:
    slots, begun = Slots(120), list[int]()
    both = [Quota(1000), Quota(1000)]
    for quota in both:
        quota.shared = turns_of(slots, 20, []).turn

    async def calls(quota: Quota, process: int) -> None:
        for _ in range(80):
            await quota.turn()
            begun.append(process)

    running = asyncio.gather(calls(both[0], 0), calls(both[1], 1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(running), 0.3)
    assert len(begun) == 120
    assert slots.slots == 0
    slots.slots, before = 40, slots.asked
    await running
    assert len(begun) == 160
    assert slots.asked - before <= 4
    alone, one = Slots(100), Quota(1000)
    one.shared = turns_of(alone, 50, []).turn
    for _ in range(100):
        await one.turn()
    assert alone.asked == 2


async def test_calls_of_two_loops_take_turns() -> None:
    """Runs look at their jobs in their own loop, and in the sender's while an acceptance can't be recorded."""
    quota, told = Quota(1000), list[str]()

    async def take(_: int) -> float:
        await asyncio.sleep(0.02)  # as a question to a server does, while others wait for their turn
        return 0.0

    quota.shared = SharedTurns(take, 2, lambda error: told.append(str(error))).turn

    async def calls() -> None:
        await asyncio.gather(*(quota.turn() for _ in range(20)))

    await asyncio.gather(calls(), asyncio.to_thread(asyncio.run, calls()))
    assert told == []


async def test_who_no_longer_counts_is_told_once_and_no_call_waits_or_fails() -> None:
    slots, told = Slots(5), list[str]()
    quota = Quota(1000)
    quota.shared = turns_of(slots, 5, told).turn
    for _ in range(5):
        await quota.turn()
    slots.gone = True
    async with asyncio.timeout(2):
        for _ in range(100):
            await quota.turn()
    assert told == ["the server has gone"]


async def test_a_share_is_a_part_of_the_quota_and_of_its_places() -> None:
    quota, begun = Quota(8, 4, seconds=0.4), time.monotonic()
    quota.divide(4)
    at_once: list[int] = []

    async def call() -> None:
        async with quota.call():
            at_once.append(1)
            assert sum(at_once) == 1
            await asyncio.sleep(0)
            at_once.pop()

    await asyncio.gather(*(call() for _ in range(4)))
    assert time.monotonic() - begun >= 0.4
    quota.divide(1000)  # never nothing
    async with asyncio.timeout(2):
        await quota.turn()
