"""The frozen storyboard of a campaign is checked before anything is paid for it: a damaged one closes no shard."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from prefect_seedance.campaign.document import Campaign, load_campaign
from prefect_seedance.campaign.host import QuietHost
from prefect_seedance.campaign.results import ShardResult, result_of
from prefect_seedance.campaign.shard import run_shard
from prefect_seedance.errors import BadInput
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.frozen import frozen_mugs


async def with_hash(campaign: Campaign, store: Store, sha256: str | None) -> Campaign:
    """*campaign* as it was frozen with that hash of its storyboard, or by a version that kept none."""
    document = campaign.model_copy(update={"storyboard_sha256": sha256})
    left_out = {"storyboard_sha256"} if sha256 is None else None
    await store.write(f"{campaign.folder}/campaign.json", document.model_dump_json(exclude=left_out).encode())
    return await load_campaign(store, campaign.id)


async def run(campaign: Campaign, store: Store, account: Account) -> ShardResult:
    return await run_shard(store, account, campaign.id, 1, Options(), QuietHost(lambda _: None))


@pytest.mark.parametrize(
    "text",
    ["{{{", "title: Mugs\nshots: []\n", 'title: Mugs\nshots:\n  - {id: another, prompt: "A {product} turns."}\n', None],
    ids=["no-yaml", "no-shots", "a-renamed-shot", "gone"],
)
async def test_a_storyboard_that_is_not_what_was_frozen_is_refused_and_its_shard_stays_open(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator, text: str | None
) -> None:
    campaign = await with_hash(await frozen_mugs(tmp_path, folder_store, account, 2, shard_size=2), folder_store, None)
    path = f"{campaign.folder}/board/board.yaml"
    frozen = await folder_store.read(path)
    if text is None:
        await folder_store.delete(path)
    else:
        await folder_store.write(path, text.encode())
    with pytest.raises(BadInput, match=r"board\.yaml is damaged or gone; nothing was submitted for it; remove"):
        await run(campaign, folder_store, account)
    assert await result_of(folder_store, campaign, campaign.shard(1)) is None
    assert emulator.bill()["charges"] == []
    await folder_store.write(path, frozen)
    assert (await run(campaign, folder_store, account)).statuses == {"stored": 2}
    assert len(emulator.charges) == 2


async def test_a_frozen_storyboard_with_other_words_is_refused_by_its_hash(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 1)
    path = f"{campaign.folder}/board/board.yaml"
    frozen = await folder_store.read(path)
    campaign = await with_hash(campaign, folder_store, hashlib.sha256(frozen).hexdigest())
    await folder_store.write(path, frozen.replace(b"turns", b"falls"))
    with pytest.raises(BadInput, match=r"board\.yaml is damaged or gone"):
        await run(campaign, folder_store, account)
    assert await result_of(folder_store, campaign, campaign.shard(1)) is None
    assert emulator.bill()["charges"] == []
    await folder_store.write(path, frozen)
    assert (await run(campaign, folder_store, account)).statuses == {"stored": 1}
    assert len(emulator.charges) == 1
