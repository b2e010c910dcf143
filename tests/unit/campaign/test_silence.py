"""Shards that run elsewhere while the store or the server says nothing: none is forgotten, none is begun twice."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.pulse import leave_end
from prefect_seedance.campaign.results import result_path
from prefect_seedance.errors import BadInput, StoreUnavailable
from prefect_seedance.rendering.options import Options
from prefect_seedance.storage.store import Store
from tests.support.elsewhere import RunsInMemory, campaign_of, result, watched
from tests.support.frozen import Silent

OPTIONS = Options(max_in_flight=3, budget=Decimal("1.5"))


@pytest.fixture
def campaign(folder_store: Store) -> Campaign:
    return campaign_of(6, folder_store)


@pytest.mark.parametrize("state", ["running", "ended"])
async def test_a_store_that_is_silent_for_a_while_ends_no_shard(
    campaign: Campaign, folder_store: Store, state: str
) -> None:
    silent, asked = True, 0

    def says_nothing(*_: str) -> bool:
        nonlocal asked
        asked += 1
        return silent

    runs = RunsInMemory()
    shards = watched(campaign, Silent(folder_store, says_nothing), runs, [])
    await shards.start(1, OPTIONS)
    runs.set("1.1", "ended" if state == "ended" else "running")
    await leave_end(folder_store, campaign, campaign.shard(1), "1.1", result(1))
    waiting = asyncio.create_task(shards.ended())
    while asked < 5 and not waiting.done():
        await asyncio.sleep(0.01)
    silent = False
    runs.set("1.1", "ended")
    assert await waiting == {1: result(1)}
    assert list(runs.known) == ["1.1"]


async def test_a_store_that_stays_silent_is_one_sentence_for_each_shard(
    campaign: Campaign, folder_store: Store
) -> None:
    runs = RunsInMemory()
    shards = watched(campaign, Silent(folder_store, lambda *_: True), runs, [], patience=0.1)
    await shards.start(1, OPTIONS)
    runs.set("1.1", "ended")
    end = (await shards.ended())[1]
    assert isinstance(end, StoreUnavailable)
    assert "shards that are out go on, and nothing is paid twice; run the campaign again" in str(end)


async def test_a_server_that_refuses_to_say_how_runs_stand_leaves_the_store_to_say_it(
    campaign: Campaign, folder_store: Store
) -> None:
    runs, said = RunsInMemory(), list[str]()
    shards = watched(campaign, folder_store, runs, said)
    await shards.start(1, OPTIONS)
    await shards.start(2, OPTIONS)
    runs.refuses = True
    waiting = asyncio.create_task(shards.ended())
    await asyncio.sleep(0.1)
    await leave_end(folder_store, campaign, campaign.shard(1), "1.1", result(1))
    assert await waiting == {1: result(1)}
    await shards.aclose()
    assert said == ["Shards that wait could not be called back; campaign stop keeps them from beginning."]


async def test_damaged_results_end_their_shard_alone(campaign: Campaign, folder_store: Store) -> None:
    runs = RunsInMemory()
    shards = watched(campaign, folder_store, runs, [])
    await shards.start(1, OPTIONS)
    await shards.start(2, OPTIONS)
    await folder_store.write(result_path(campaign, campaign.shard(1)), b"{")
    runs.set("1.1", "ended")
    assert [type(end) for end in (await shards.ended()).values()] == [BadInput]
    await leave_end(folder_store, campaign, campaign.shard(2), "2.1", result(2))
    runs.set("2.1", "ended")
    assert await shards.ended() == {2: result(2)}
