"""Two clocks decide whether a paid clip can still be had: 30 minutes for the job's record, 7 days for the link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest
from emulating import RunningEmulator
from renderer import QUICK

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.models import Request
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store


async def _submit_and_go_away(account: Account, store: Store, requests: list[Request]) -> None:
    """What a run leaves that is killed after its submits."""
    async with RunpodClient(account) as client:
        run = RenderSession(client, Ledger(store), waiting=QUICK)
        await asyncio.gather(*map(run.submit, requests))


@pytest.mark.parametrize(
    ("minutes", "stored", "lost"), [(1, 3, 0), (29, 3, 0), (31, 0, 3)], ids=["at once", "in time", "too late"]
)
async def test_a_killed_run_loses_no_clip_if_the_collector_comes_within_half_an_hour(
    minutes: int,
    stored: int,
    lost: int,
    emulator: RunningEmulator,
    account: Account,
    folder_store: Store,
    make_request: Callable[..., Request],
) -> None:
    requests = [make_request(prompt=f"Scene {n}.") for n in range(3)]
    await _submit_and_go_away(account, folder_store, requests)
    emulator.advance(minutes * 60)
    async with RunpodClient(account) as client:
        found = await collect(RenderSession(client, Ledger(folder_store), waiting=QUICK), MonthlySpend(folder_store))
    told = found.as_json()
    assert (told["stored"], told["lost"], told["running"], told["spent_usd"]) == (stored, lost, 0, 0)
    # What is lost is named with what it cost.
    assert [Decimal(str(clip["cost_usd"])) for clip in told["clips"]] == [Decimal("0.05")] * 3
    assert len(emulator.charges) == 3


async def test_a_link_that_is_seven_days_old_is_a_clip_lost_and_never_one_paid_again(
    emulator: RunningEmulator, account: Account, folder_store: Store, make_request: Callable[..., Request]
) -> None:
    async with RunpodClient(account) as client:
        run = RenderSession(client, Ledger(folder_store), waiting=QUICK)
        completed = await run.wait(await run.submit(make_request()))
        emulator.advance(8 * 24 * 3600)
        assert (await run.persist(completed)).state == "lost"
        assert (await run.generate(make_request())).state == "lost"
    assert len(emulator.charges) == 1
