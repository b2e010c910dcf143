"""Who is at work at a shard, as `campaign status` says it: a run that has ended is none, on whatever machine it ran."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.budget.limits import Limits
from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.manifest import CampaignManifest, manifest_of
from prefect_seedance.campaign.pulse import leave_end
from prefect_seedance.campaign.results import ShardResult
from prefect_seedance.campaign.run import CampaignRun
from prefect_seedance.campaign.shard import Begun, begun_path
from prefect_seedance.campaign.shards import ShardsHere
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.errors import OverBudget, SeedanceError
from prefect_seedance.ledger.record import Writer
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.frozen import Run, frozen_mugs


async def begun_on_another_machine(store: Store, campaign: Campaign, run: str) -> None:
    """*run* is at work at the first shard, where nobody here can see its process."""
    note = Begun(writer=Writer(host="another", pid=1, boot="another", flow_run_id=run), nonce="n")
    await store.write(begun_path(campaign, campaign.shard(1)), note.model_dump_json().encode())


async def test_a_shard_that_ended_by_an_error_is_left_and_not_being_rendered(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 2)
    limited = Run(campaign, folder_store, account, Options(limits=Limits(per_day=Decimal("0.06"))), 1)
    manifest = await limited.running.render(KNOWN, limited.shards)
    assert ([done.number for done in manifest.done], manifest.running, manifest.left) == ([1], (), 1)
    assert (await manifest_of(folder_store, campaign)).running == ()  # for whoever asks while this process lives
    assert len(emulator.charges) == 1


async def test_a_run_on_another_machine_is_at_work_until_it_says_its_end(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 2)
    await begun_on_another_machine(folder_store, campaign, "second")
    over = OverBudget("The day is spent.")
    await leave_end(folder_store, campaign, campaign.shard(1), "first", over)
    assert (await manifest_of(folder_store, campaign)).running == (1,)
    await leave_end(folder_store, campaign, campaign.shard(1), "second", over)
    manifest = await manifest_of(folder_store, campaign)
    assert (manifest.running, manifest.left) == ((), 2)
    assert emulator.bill()["charges"] == []


async def test_a_run_that_its_campaign_has_seen_die_is_not_at_work(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 1)

    async def dies(number: int, options: Options) -> ShardResult:
        await begun_on_another_machine(folder_store, campaign, "lost")
        raise SeedanceError("Its runs ended without results.")

    running = CampaignRun(campaign, folder_store, account, Options())
    with pytest.raises(SeedanceError, match="without results"):
        await running.render(KNOWN, ShardsHere(dies, 1, lambda _: None))
    left = CampaignManifest.model_validate_json(await folder_store.read(f"{campaign.folder}/manifest.json"))
    assert (left.running, left.left) == ((), 1)
    assert emulator.bill()["charges"] == []
