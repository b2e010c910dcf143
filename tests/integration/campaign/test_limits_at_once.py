"""How many jobs of a campaign are out at once, however many shards it may have out."""

from __future__ import annotations

from pathlib import Path

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.frozen import Run, frozen_mugs


async def test_no_more_shards_are_out_than_jobs_may_be_in_flight(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 6)
    run = Run(campaign, folder_store, account, Options(max_in_flight=2), at_once=6)
    assert (await run.running.render(KNOWN, run.shards)).status == "complete"
    assert run.most == 2
    assert len(emulator.charges) == 6
