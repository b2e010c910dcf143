"""Two clocks decide whether a paid clip can still be had: 30 minutes for the job's record, 7 days for the link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal

import pytest
from emulating import RunningEmulator
from renderer import QUICK, age_the_notes

from prefect_seedance.budget.months import Spending
from prefect_seedance.errors import DownloadFailed
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.persist import LOST_AFTER_SECONDS
from prefect_seedance.generation.session import Run
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.models import Request
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store


async def _submit_and_go_away(account: Account, store: Store, requests: list[Request]) -> None:
    """What a run leaves that is killed after its submits."""
    async with RunpodClient(account) as client:
        run = Run(client, Ledger(store), waiting=QUICK)
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
        found = await collect(Run(client, Ledger(folder_store), waiting=QUICK), Spending(folder_store))
        assert age_the_notes(folder_store, QUICK.grace) == lost  # one 404 alone says nothing, however old the job is
        if lost:
            assert found.as_json()["lost"] == 0
            found = await collect(Run(client, Ledger(folder_store), waiting=QUICK), Spending(folder_store))
    told = found.as_json()
    assert (told["stored"], told["lost"], told["running"], told["spent_usd"]) == (stored, lost, 0, 0)
    # What is lost is named with what it cost.
    assert [Decimal(str(clip["cost_usd"])) for clip in told["clips"]] == [Decimal("0.05")] * 3
    assert len(emulator.charges) == 3


async def test_a_link_that_is_seven_days_old_is_a_clip_lost_and_never_one_paid_again(
    emulator: RunningEmulator, account: Account, folder_store: Store, make_request: Callable[..., Request]
) -> None:
    async with RunpodClient(account) as client:
        run, another = (Run(client, Ledger(folder_store), waiting=QUICK) for _ in range(2))
        completed = await run.wait(await run.submit(make_request()))
        emulator.advance(8 * 24 * 3600)
        with pytest.raises(DownloadFailed):
            await run.persist(completed)
        assert age_the_notes(folder_store, LOST_AFTER_SECONDS) == 1
        assert (await another.persist(completed)).state == "lost"
        assert (await run.generate(make_request())).state == "lost"
    assert len(emulator.charges) == 1
