"""Signs of life of a shard that runs elsewhere, as files of the store."""

from __future__ import annotations

import asyncio
import threading
from typing import cast

import pytest

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.pulse import pulse_of, pulsing
from prefect_seedance.campaign.shard import begin
from prefect_seedance.storage.store import Store
from tests.support.elsewhere import campaign_of


@pytest.fixture
def campaign(folder_store: Store) -> Campaign:
    return campaign_of(6, folder_store)


async def test_a_shard_gives_signs_of_life_until_it_ends(campaign: Campaign, folder_store: Store) -> None:
    shard, seen = campaign.shard(1), set[str]()
    await begin(folder_store, campaign, shard, "1.1")
    async with pulsing(folder_store, campaign, shard, "1.1", seconds=0.02):
        while len(seen) < 4:
            pulse = await pulse_of(folder_store, campaign, shard, "1.1")
            assert pulse is not None
            assert not pulse.gone
            seen.add(pulse.nonce)
            await asyncio.sleep(0.01)
    last = await pulse_of(folder_store, campaign, shard, "1.1")
    await asyncio.sleep(0.1)
    assert await pulse_of(folder_store, campaign, shard, "1.1") == last
    assert await pulse_of(folder_store, campaign, shard, "another") is None


async def test_a_sign_of_life_on_its_way_arrives_before_its_shard_ends_and_none_after_it(campaign: Campaign) -> None:
    class Slow:
        begun = written = 0
        gate = threading.Event()

        async def write(self, path: str, content: bytes, kind: str = "") -> None:
            self.begun += 1
            await asyncio.to_thread(self.gate.wait, 60)  # which no cancellation can call back
            self.written += 1

    store = Slow()
    async with pulsing(cast("Store", store), campaign, campaign.shard(1), "1.1", seconds=0.01):
        while not store.begun:
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.05, store.gate.set)
    assert store.written == store.begun


async def test_a_sign_of_life_that_fails_is_followed_by_the_next_and_costs_no_shard_its_end(
    campaign: Campaign, folder_store: Store
) -> None:
    class Failing:
        tried = 0

        async def write(self, path: str, content: bytes, kind: str = "") -> None:
            self.tried += 1
            raise RuntimeError("whatever a client may die of")

    store = Failing()
    async with pulsing(cast("Store", store), campaign, campaign.shard(1), "1.1", seconds=0.01):
        while store.tried < 3:
            await asyncio.sleep(0.01)
