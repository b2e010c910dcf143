"""Rows of shards while another run of the campaign renders one again."""

from __future__ import annotations

import pytest

from prefect_seedance.campaign.results import not_stored, part_paths, reopen, result_path, write_results
from prefect_seedance.errors import BadInput
from prefect_seedance.storage.store import Store
from tests.support.elsewhere import campaign_of, result
from tests.support.renderer import HookedStore


async def test_a_shard_that_counts_as_done_has_its_rows_though_another_run_reopened_it_meanwhile(
    folder_store: Store,
) -> None:
    campaign, failed = campaign_of(1, folder_store), result(1, failed=1)
    shard = campaign.shard(1)
    await write_results(folder_store, campaign, shard, [], failed)

    async def reopened(moment: str, path: str) -> None:
        if (moment, path) == ("before write", result_path(campaign, shard)):
            await reopen(folder_store, campaign, failed)

    await write_results(HookedStore(folder_store, reopened), campaign, shard, [{"status": "stored"}], result(1))
    assert await folder_store.read(part_paths(campaign, shard)[0]) == b'{"status": "stored"}\n'
    assert await folder_store.exists(result_path(campaign, shard))


async def test_rows_that_another_run_makes_anew_are_not_told_as_damaged(folder_store: Store) -> None:
    campaign, failed = campaign_of(1, folder_store), result(1, failed=1)
    await write_results(folder_store, campaign, campaign.shard(1), [{"status": "failed"}], failed)
    assert len(await not_stored(folder_store, campaign, [failed], 5)) == 1
    await reopen(folder_store, campaign, failed)
    assert await not_stored(folder_store, campaign, [failed], 5) == []
    await write_results(folder_store, campaign, campaign.shard(1), [], failed)
    await folder_store.delete(part_paths(campaign, campaign.shard(1))[0])
    with pytest.raises(BadInput, match="is damaged or gone"):
        await not_stored(folder_store, campaign, [failed], 5)
