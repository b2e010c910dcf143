"""Shards that run elsewhere: one run for each attempt, whoever dies, and one question for all that are out."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.elsewhere import MOST_STARTS
from prefect_seedance.campaign.pulse import leave_end
from prefect_seedance.campaign.shard import Begun, begin, begun_path
from prefect_seedance.errors import BadInput, OverBudget, SeedanceError, StoreUnavailable
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.rendering.options import Options
from prefect_seedance.storage.store import Store
from tests.support.elsewhere import RunsInMemory, campaign_of, leave_result, result, watched

OPTIONS = Options(max_in_flight=3, budget=Decimal("1.5"))


@pytest.fixture
def campaign(folder_store: Store) -> Campaign:
    return campaign_of(6, folder_store)


@pytest.fixture
def runs() -> RunsInMemory:
    return RunsInMemory()


async def test_a_parent_that_begins_again_joins_the_run_that_is_out(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    for _ in range(3):  # each of them was killed before it heard the end
        shards = watched(campaign, folder_store, runs, [])
        await shards.start(1, OPTIONS)
        runs.set("1.1", "running")
    assert list(runs.known) == ["1.1"]
    await leave_end(folder_store, campaign, campaign.shard(1), "1.1", result(1))
    runs.set("1.1", "ended")
    assert await shards.ended() == {1: result(1)}


async def test_a_parent_that_begins_again_has_what_still_waits_run_under_its_own_limits(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    dead, tight = watched(campaign, folder_store, runs, []), OPTIONS.model_copy(update={"budget": Decimal("0.1")})
    for number in (1, 2, 3):
        await dead.start(number, OPTIONS)
    runs.set("1.1", "starting")
    again = watched(campaign, folder_store, runs, [])
    await again.start(1, tight)
    runs.set("2.1", "running")  # meanwhile
    for number in (2, 3):
        await again.start(number, tight)
    assert {name: (run.state, runs.options[name]) for name, run in runs.known.items()} == {
        "1.1": ("starting", OPTIONS),
        "2.1": ("running", OPTIONS),
        "3.1": ("ended", OPTIONS),
        "3.2": ("waiting", tight),
    }


async def test_a_shard_that_ended_while_its_parent_began_again_is_not_begun_anew(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    dead, again = watched(campaign, folder_store, runs, []), watched(campaign, folder_store, runs, [])
    for number in (1, 2):
        await dead.start(number, OPTIONS)
    await again.start(1, OPTIONS)
    await leave_end(folder_store, campaign, campaign.shard(2), "2.1", result(2))
    runs.set("2.1", "ended")
    await again.start(2, OPTIONS)
    assert await again.ended() == {2: result(2)}
    assert list(runs.known) == ["1.1", "2.1", "1.2"]


async def test_two_parents_at_once_begin_one_run(campaign: Campaign, folder_store: Store, runs: RunsInMemory) -> None:
    both = [watched(campaign, folder_store, runs, []) for _ in range(2)]
    await asyncio.gather(*(shards.start(1, OPTIONS) for shards in both))
    runs.set("1.1", "ended")
    ends = asyncio.gather(*(shards.ended() for shards in both))
    while "1.2" not in runs.known:
        await asyncio.sleep(0.01)
    await leave_result(folder_store, campaign, result(1))
    runs.set("1.2", "ended")
    assert await ends == [{1: result(1)}] * 2
    assert list(runs.known) == ["1.1", "1.2"]


async def test_the_attempt_moves_on_only_when_a_run_ended_without_results(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    said: list[str] = []
    shards = watched(campaign, folder_store, runs, said)
    await shards.start(2, OPTIONS)
    runs.set("2.1", "ended", "Crashed: it was killed")
    waiting = asyncio.create_task(shards.ended())
    while "2.2" not in runs.known:
        await asyncio.sleep(0.01)
    await leave_end(folder_store, campaign, campaign.shard(2), "2.2", result(2))
    runs.set("2.2", "ended")
    assert await waiting == {2: result(2)}
    [sentence] = said
    assert sentence.startswith("The run of shard 2 ended without results (Crashed: it was killed); it is begun anew;")
    assert runs.options["2.2"] == OPTIONS


async def test_a_shard_whose_store_fell_silent_is_begun_anew_a_few_times(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    said: list[str] = []
    shards = watched(campaign, folder_store, runs, said, tick=0.001)
    await shards.start(2, OPTIONS)
    waiting = asyncio.create_task(shards.ended())
    for attempt in range(1, MOST_STARTS + 1):
        while f"2.{attempt}" not in runs.known:
            assert not waiting.done()
            await asyncio.sleep(0.001)
        silent = StoreUnavailable("The store failed (500).")
        await leave_end(folder_store, campaign, campaign.shard(2), f"2.{attempt}", silent)
        runs.set(f"2.{attempt}", "ended")
    end = (await waiting)[2]
    assert (type(end), str(end)) == (StoreUnavailable, "The store failed (500).")
    assert len(said) == MOST_STARTS - 1
    assert "shard 2 ended without results (The store failed (500)); it is begun anew; what it has paid" in said[0]


async def test_a_shard_whose_runs_always_die_is_begun_a_few_times_and_is_then_one_sentence(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    def die() -> None:
        for run in list(runs.known):
            runs.set(run, "ended", "Cancelled")

    runs.when_looked = die
    shards = watched(campaign, folder_store, runs, [])
    await shards.start(1, OPTIONS)
    end = (await shards.ended())[1]
    assert isinstance(end, SeedanceError)
    assert "ended 4 times without results, the last of them: Cancelled; what is stored stays" in str(end)
    assert list(runs.known) == [f"1.{attempt}" for attempt in range(1, MOST_STARTS + 1)]
    again = watched(campaign, folder_store, runs, [])  # who runs it again means it
    runs.when_looked = lambda: None
    await again.start(1, OPTIONS)
    assert list(runs.known)[-1] == "1.5"


async def test_a_shard_that_is_to_be_tried_anew_gets_a_run_although_it_has_results(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    shards = watched(campaign, folder_store, runs, [])
    await shards.start(1, OPTIONS)
    await leave_result(folder_store, campaign, result(1, failed=1))
    runs.set("1.1", "ended")
    assert await shards.ended() == {1: result(1, failed=1)}
    again, retry = watched(campaign, folder_store, runs, []), OPTIONS.model_copy(update={"retry_failed": 1})
    await again.start(1, retry)
    assert list(runs.known) == ["1.1", "1.2"]
    runs.set("1.2", "ended", "Crashed")  # before it looked at anything: the old results are no answer
    waiting = asyncio.create_task(again.ended())
    while "1.3" not in runs.known:
        await asyncio.sleep(0.01)
    await leave_end(folder_store, campaign, campaign.shard(1), "1.3", result(1))
    runs.set("1.3", "ended")
    assert await waiting == {1: result(1)}


async def test_all_that_are_out_are_one_question_each_time(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    shards = watched(campaign, folder_store, runs, [])
    for number in range(1, 5):
        await shards.start(number, OPTIONS)
    before = len(runs.calls)
    waiting = asyncio.create_task(shards.ended())
    await asyncio.sleep(0.2)
    assert set(runs.calls[before:]) == {"look"}
    for number in (1, 3):
        await leave_end(folder_store, campaign, campaign.shard(number), f"{number}.1", result(number))
        runs.set(f"{number}.1", "ended")
    told = dict(await waiting)
    while len(told) < 2:
        told |= await shards.ended()
    assert told == {1: result(1), 3: result(3)}
    assert runs.calls.count("of_campaign") == 1
    assert runs.calls.count("begin") == 4


@pytest.mark.parametrize("error", [OverBudget("The day is spent."), BadInput("It is damaged.")])
async def test_the_error_that_ended_a_run_arrives_as_it_was(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory, error: SeedanceError
) -> None:
    shards = watched(campaign, folder_store, runs, [])
    await shards.start(1, OPTIONS)
    await leave_end(folder_store, campaign, campaign.shard(1), "1.1", error)
    runs.set("1.1", "ended", "Failed")
    end = (await shards.ended())[1]
    assert (type(end), str(end)) == (type(error), str(error))
    assert list(runs.known) == ["1.1"]


async def test_while_nobody_counts_the_runs_the_store_says_how_they_end(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    shards = watched(campaign, folder_store, runs, [])
    await shards.start(1, OPTIONS)
    await shards.start(2, OPTIONS)
    runs.away = True
    waiting = asyncio.create_task(shards.ended())
    await asyncio.sleep(0.1)
    await leave_end(folder_store, campaign, campaign.shard(1), "1.1", result(1))
    assert await waiting == {1: result(1)}
    starting = asyncio.create_task(shards.start(3, OPTIONS))
    await asyncio.sleep(0.1)
    assert not starting.done()
    runs.away = False  # it was started again
    await starting
    assert list(runs.known) == ["1.1", "2.1", "3.1"]


async def test_a_server_that_stays_away_is_one_sentence_and_forgets_no_shard(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    shards = watched(campaign, folder_store, runs, [], patience=0.1)
    await shards.start(1, OPTIONS)
    runs.set("1.1", "running")
    runs.away = True
    end = (await shards.ended())[1]
    assert isinstance(end, StoreUnavailable)
    assert "has not answered (it is down); shards that are out go on" in str(end)
    await shards.start(2, OPTIONS)
    assert list(await shards.ended()) == [2]
    runs.away = False
    again = watched(campaign, folder_store, runs, [])
    await again.start(1, OPTIONS)
    assert list(runs.known) == ["1.1"]


async def leave_note_of_the_dead(store: Store, campaign: Campaign) -> None:
    """Run 1.1 has begun, in a process that the kernel says is gone."""
    gone = this_writer("1.1").model_copy(update={"started": "0"})
    note = Begun(writer=gone, nonce="n").model_dump_json()
    await store.write(begun_path(campaign, campaign.shard(1)), note.encode())


async def test_a_run_whose_process_is_gone_is_begun_anew_although_the_server_takes_it_for_running(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    shards = watched(campaign, folder_store, runs, [])
    await shards.start(1, OPTIONS)
    runs.set("1.1", "running")
    await leave_note_of_the_dead(folder_store, campaign)
    waiting = asyncio.create_task(shards.ended())
    while "1.2" not in runs.known:
        await asyncio.sleep(0.01)
    runs.set("1.2", "running")
    await asyncio.sleep(0.3)  # the note of the dead says nothing of another run
    assert list(runs.known) == ["1.1", "1.2"]
    await begin(folder_store, campaign, campaign.shard(1), "1.2")
    await asyncio.sleep(0.3)
    await leave_end(folder_store, campaign, campaign.shard(1), "1.2", result(1))
    runs.set("1.2", "ended")
    assert await waiting == {1: result(1)}
    assert (list(runs.known), runs.calls.count("is_dead")) == (["1.1", "1.2"], 1)


async def test_a_run_that_ends_while_its_process_is_found_gone_is_not_called_dead(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    shards = watched(campaign, folder_store, runs, [])
    await shards.start(1, OPTIONS)
    runs.set("1.1", "running")
    await leave_note_of_the_dead(folder_store, campaign)
    await leave_end(folder_store, campaign, campaign.shard(1), "1.1", result(1))
    looks = iter(["running"])
    runs.when_looked = lambda: runs.set("1.1", "running" if next(looks, None) else "ended", "Completed")
    assert await shards.ended() == {1: result(1)}
    assert (runs.calls.count("is_dead"), runs.known["1.1"].message) == (0, "Completed")


async def test_a_run_that_nobody_begins_or_that_falls_silent_is_begun_anew_with_more_time_each(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    said: list[str] = []
    shards = watched(campaign, folder_store, runs, said, starting=0.3, silent=0.4)
    await shards.start(1, OPTIONS)
    waiting = asyncio.create_task(shards.ended())
    await asyncio.sleep(1)  # no worker is there, which is nobody's death
    assert list(runs.known) == ["1.1"]
    runs.set("1.1", "starting")
    while "1.2" not in runs.known:
        await asyncio.sleep(0.01)
    await begin(folder_store, campaign, campaign.shard(1), "1.2")  # by another machine, as far as one can see
    runs.set("1.2", "running")
    while "1.3" not in runs.known:
        await asyncio.sleep(0.01)
    await leave_end(folder_store, campaign, campaign.shard(1), "1.3", result(1))
    runs.set("1.3", "ended")
    assert await waiting == {1: result(1)}
    assert ["no sign of life" in line for line in said] == [True, True]
    assert ["no sign of life" in runs.known[dead].message for dead in ("1.1", "1.2")] == [True, True]


async def test_who_waits_no_more_calls_back_what_has_not_begun(
    campaign: Campaign, folder_store: Store, runs: RunsInMemory
) -> None:
    shards = watched(campaign, folder_store, runs, [])
    await shards.start(1, OPTIONS)
    await shards.start(2, OPTIONS)
    runs.set("1.1", "running")
    await shards.aclose()
    assert [run.state for run in runs.known.values()] == ["running", "ended"]
    again = watched(campaign, folder_store, runs, [])
    await again.start(1, OPTIONS)
    await again.start(2, OPTIONS)
    assert list(runs.known) == ["1.1", "2.1", "2.2"]
