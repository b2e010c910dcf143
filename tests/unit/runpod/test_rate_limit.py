"""A real account's calls stay below what Runpod takes, counted over everything that one process does."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.rate_limit import STATUS_CALLS, STATUS_CALLS_AT_ONCE, SUBMITS, Quota


def in_threads(quota: Quota, threads: int, calls: int, at_once: list[int]) -> list[float]:
    """When each call of so many loops began, seconds from now on; how many went on at once is noted."""
    begun, moments, out = time.monotonic(), list[float](), set[object]()

    async def one() -> None:
        async with quota.call():
            moments.append(time.monotonic() - begun)
            out.add(me := object())
            at_once.append(len(out))
            await asyncio.sleep(0.02)
            out.remove(me)

    async def some() -> None:
        await asyncio.gather(*(one() for _ in range(calls)))

    running = [threading.Thread(target=lambda: asyncio.run(some())) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sorted(moments)


def test_what_all_loops_of_a_process_call_is_counted_together() -> None:
    at_once: list[int] = []
    moments = in_threads(Quota(6, 2, seconds=0.5), threads=3, calls=6, at_once=at_once)
    assert all(moment >= number // 6 * 0.5 for number, moment in enumerate(moments))
    assert max(at_once) <= 2


async def test_a_call_of_an_earlier_window_is_not_counted() -> None:
    quota, begun = Quota(2, seconds=0.4), time.monotonic()
    for _ in range(4):
        await quota.turn()
    assert time.monotonic() - begun >= 0.4
    await asyncio.sleep(0.4)
    async with asyncio.timeout(0.3):
        await quota.turn()


async def test_several_runs_of_one_real_account_share_its_submits_and_an_emulator_has_no_bound() -> None:
    """Neither is asked anything: a turn is taken before the claim."""
    real, pretend = Account("of this test", "https://api.runpod.ai/v2"), Account("k", "http://127.0.0.1:9/v2")

    async def turns(account: Account, number: int) -> None:
        client = RunpodClient(account)
        for _ in range(number):
            await client.turn_to_submit()

    for half in (SUBMITS // 2, SUBMITS - SUBMITS // 2):
        await asyncio.to_thread(asyncio.run, turns(real, half))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(turns(real, 1), 0.2)
    await turns(pretend, 2 * SUBMITS)


def test_the_quotas_are_below_those_of_runpod() -> None:
    assert SUBMITS < 1000
    assert STATUS_CALLS < 2000
    assert STATUS_CALLS_AT_ONCE < 400
