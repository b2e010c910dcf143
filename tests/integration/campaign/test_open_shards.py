"""A shard that is not done: what it has stored and paid is counted, and is never told as nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_seedance.campaign.manifest import manifest_of
from prefect_seedance.campaign.results import part_paths, result_path
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.errors import BadInput
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.campaigns import CampaignDesk
from tests.support.emulating import RunningEmulator
from tests.support.frozen import Run, Silent, frozen_mugs


def test_clips_that_are_stored_in_a_shard_that_is_not_done_are_partial_and_their_dollars_counted(
    desk: CampaignDesk, emulator: RunningEmulator
) -> None:
    emulator.fault("run", "status", code=401, prompt="number 2")
    stopped = desk.campaign("run", "--max-in-flight", "1", "--json")
    assert stopped.code == 3, stopped.err
    assert (stopped.document["status"], stopped.document["statuses"]["stored"]) == ("partial", 1)
    assert (stopped.document["clips_usd"], stopped.document["done"], stopped.document["running"]) == (0.05, [], [])
    told = desk.run("campaign", "status", desk.ids()[0], "--json").document
    assert (told["status"], told["clips_usd"]) == ("partial", 0.05)
    assert len(emulator.charges) == 1


async def test_a_clip_on_its_way_makes_a_campaign_partial_not_nothing(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 3, shard_size=3)
    emulator.fault("status", "hidden", prompt="number 2", times=1000)
    first = Run(campaign, folder_store, account, Options(wait_seconds=3))
    manifest = await first.running.render(KNOWN, first.shards)
    assert (manifest.status, manifest.statuses) == ("partial", {"stored": 2, "running": 1})
    assert (float(manifest.clips_usd), len(manifest.done), manifest.left) == (0.10, 0, 1)
    emulator.clear_faults()
    second = Run(campaign, folder_store, account, Options())
    manifest = await second.running.render(KNOWN, second.shards)
    assert (manifest.status, manifest.statuses, float(manifest.clips_usd)) == ("complete", {"stored": 3}, 0.15)
    assert len(emulator.charges) == 3


@pytest.mark.parametrize("silent_for", ["results/", "left/"], ids=["its-results", "that-it-is-open"])
async def test_a_shard_whose_end_the_store_does_not_take_counts_what_it_has_paid(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator, silent_for: str
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 2, shard_size=2)
    store = Silent(folder_store, lambda kind, path: kind == "write" and ("results/" in path or silent_for in path))
    first = Run(campaign, store, account, Options())
    manifest = await first.running.render(KNOWN, first.shards)
    assert (manifest.status, manifest.statuses, len(manifest.done)) == ("partial", {"stored": 2}, 0)
    assert (float(manifest.clips_usd), float(first.running.spent_usd)) == (0.10, 0.10)
    assert "Shard 1 is not done: its results could not be written (" in first.said[-1]
    second = Run(campaign, folder_store, account, Options())
    assert (await second.running.render(KNOWN, second.shards)).status == "complete"
    assert (await manifest_of(folder_store, campaign)).statuses == {"stored": 2}
    assert (len(emulator.charges), second.running.spent_usd) == (2, 0)


@pytest.mark.parametrize("content", [b'{"row": "m000', b"[]\n", None], ids=["cut-off", "something-else", "gone"])
async def test_rows_of_a_shard_that_are_damaged_or_gone_are_one_sentence_and_are_made_again_for_nothing(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator, content: bytes | None
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 2, shard_size=2)
    emulator.fault("run", "failed", prompt="number 1")
    first = Run(campaign, folder_store, account, Options())
    await first.running.render(KNOWN, first.shards)
    part, _ = part_paths(campaign, campaign.shard(1))
    if content is None:
        await folder_store.delete(part)
    else:
        await folder_store.write(part, content)
    second = Run(campaign, folder_store, account, Options())
    with pytest.raises(BadInput, match=r"part\.jsonl is damaged or gone; nothing was submitted for it; remove "):
        await second.running.render(KNOWN, second.shards)
    await folder_store.delete(result_path(campaign, campaign.shard(1)))  # as the sentence says
    third = Run(campaign, folder_store, account, Options())
    assert (await third.running.render(KNOWN, third.shards)).statuses == {"failed": 1, "stored": 1}
    assert len(emulator.charges) == 1
