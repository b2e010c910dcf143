"""What a run of a campaign says that it has cost."""

from __future__ import annotations

import contextlib
from pathlib import Path

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.frozen import Run, Silent, frozen_mugs


async def test_what_another_run_has_paid_meanwhile_is_no_cost_of_this_one(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 2, shard_size=2)
    first, second = (Run(campaign, folder_store, account, Options()) for _ in range(2))
    second.before_shard = lambda _: first.running.render(KNOWN, first.shards)
    manifest = await second.running.render(KNOWN, second.shards)
    assert (manifest.status, float(manifest.clips_usd)) == ("complete", 0.10)
    assert (float(first.running.spent_usd), float(second.running.spent_usd)) == (0.10, 0)
    assert "Shard 1 of 1: 2 stored; it cost $0.00." in second.said
    assert len(emulator.charges) == 2


async def test_a_shard_that_ends_by_an_error_is_said_to_be_missing_in_the_cost(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 1)
    store = Silent(folder_store, lambda kind, path: kind == "read" and f"{campaign.folder}/shards/" in path and ready)
    ready, run = False, Run(campaign, store, account, Options())

    async def now(_: int) -> None:
        nonlocal ready
        ready = True

    run.before_shard = now
    with contextlib.suppress(Exception):
        await run.running.render(KNOWN, run.shards)
    assert run.said[-1] == "What shard 1 has paid, if anything, is not in the cost of this run: see report."
    assert emulator.charges == []
