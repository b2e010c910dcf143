"""Shards that nobody takes up: it is said once, and a stop of the campaign ends the waiting for them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.marks import Marks
from prefect_seedance.campaign.pulse import leave_end
from prefect_seedance.campaign.results import not_begun
from prefect_seedance.campaign.runs import Seen
from prefect_seedance.campaign.shard import begin, begun_path
from prefect_seedance.rendering.options import Options
from prefect_seedance.storage.store import Store
from tests.support.counting import CountedStore
from tests.support.elsewhere import RunsInMemory, campaign_of, result, watched

STOPPED = "the campaign was stopped: somebody stopped it with campaign stop; its run had not begun"


@pytest.fixture
def campaign(folder_store: Store) -> Campaign:
    return campaign_of(3, folder_store)


class RunsOfAPool(RunsInMemory):
    async def look(self, ids: Collection[str]) -> Sequence[Seen]:
        return [replace(run, place="the work pool films") for run in await super().look(ids)]


async def test_a_stop_ends_the_waiting_for_shards_that_nobody_takes_up_and_for_no_other(
    campaign: Campaign, folder_store: Store
) -> None:
    runs, said = RunsInMemory(), list[str]()
    shards = watched(campaign, folder_store, runs, said)
    for number in (1, 2, 3):
        await shards.start(number, Options())
    runs.set("1.1", "running")
    await begin(folder_store, campaign, campaign.shard(1), "1.1")
    waiting = asyncio.create_task(shards.ended())
    await Marks(folder_store, campaign).stop()
    assert await waiting == {number: not_begun(number, STOPPED) for number in (2, 3)}
    assert (runs.known["1.1"].state, list(runs.known)) == ("running", ["1.1", "2.1", "3.1"])
    await leave_end(folder_store, campaign, campaign.shard(1), "1.1", result(1))
    runs.set("1.1", "ended")
    assert await shards.ended() == {1: result(1)}
    assert said == []


async def test_a_run_that_was_taken_up_before_it_could_be_called_back_and_died_is_not_told_as_never_begun(
    campaign: Campaign, folder_store: Store
) -> None:
    class Quick(RunsInMemory):
        async def call_back(self, ids: Collection[str]) -> None:
            if "1.1" in ids:
                await begin(folder_store, campaign, campaign.shard(1), "1.1")
                self.set("1.1", "running")
            await super().call_back(ids)

    runs, said = Quick(), list[str]()
    shards = watched(campaign, folder_store, runs, said)
    await shards.start(1, Options())
    await Marks(folder_store, campaign).stop()
    waiting = asyncio.create_task(shards.ended())
    while runs.known["1.1"].state != "running":
        await asyncio.sleep(0.01)
    runs.set("1.1", "ended", "Crashed")
    assert await waiting == {1: not_begun(1, STOPPED)}
    assert list(runs.known) == ["1.1", "1.2"]
    assert [sentence.startswith("The run of shard 1 ended without results (Crashed)") for sentence in said] == [True]


async def test_that_no_worker_takes_up_the_shards_is_said_once_with_the_pool(
    campaign: Campaign, folder_store: Store
) -> None:
    said: list[str] = []
    runs = RunsOfAPool()
    shards = watched(campaign, folder_store, runs, said, untaken=0.1)
    await shards.start(1, Options())
    waiting = asyncio.create_task(shards.ended())
    looks = 0
    while not said or looks < 100:
        looks = runs.calls.count("look")
        await asyncio.sleep(0.01)
    [sentence] = said
    assert sentence.startswith("No worker has taken up a shard for 0 minutes from the work pool films; nothing was")
    assert sentence.endswith(f"or call them back with `campaign stop {campaign.id}`.")
    await Marks(folder_store, campaign).stop()
    assert list(await waiting) == [1]


async def test_while_one_shard_runs_nothing_is_said_of_those_that_wait_for_their_turn(
    campaign: Campaign, folder_store: Store
) -> None:
    said: list[str] = []
    runs = RunsInMemory()
    shards = watched(campaign, folder_store, runs, said, untaken=0.0)
    await shards.start(1, Options())
    await shards.start(2, Options())
    runs.set("1.1", "starting")
    waiting = asyncio.create_task(shards.ended())
    while runs.calls.count("look") < 50:
        await asyncio.sleep(0.01)
    assert said == []
    await Marks(folder_store, campaign).stop()
    assert list(await waiting) == [2]


async def test_a_stop_is_looked_for_no_more_often_than_signs_of_life(campaign: Campaign, folder_store: Store) -> None:
    runs = RunsInMemory()
    store = CountedStore(folder_store)
    shards = watched(campaign, store, runs, [])
    await shards.start(1, Options())
    waiting = asyncio.create_task(shards.ended())
    while runs.calls.count("look") < 100:
        await asyncio.sleep(0.01)
    looks = store.asked.count(f"read {campaign.folder}/stopped.json")
    assert 0 < looks <= store.asked.count(f"read {begun_path(campaign, campaign.shard(1))}")
    await Marks(folder_store, campaign).stop()
    await waiting
