"""A store that stops answering while a campaign runs: what was spent is said, and never "nothing was submitted"."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.errors import BadStore, LedgerUnreadable, SeedanceError, StoreUnavailable
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.frozen import Run, Silent, frozen_mugs
from tests.support.renderer import HookedStore

AT_ONCE = (0.01,) * 3


async def test_a_store_that_is_silent_for_a_moment_stops_no_campaign(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 3)
    silences = 2

    def silent(kind: str, path: str) -> bool:
        nonlocal silences
        if not path.endswith("stopped.json") or not run.said:  # no shard has ended
            return False
        silences -= 1
        return silences >= 0

    run = Run(campaign, Silent(folder_store, silent), account, Options(), 1, pauses=AT_ONCE)
    assert (await run.running.render(KNOWN, run.shards)).status == "complete"
    assert len(emulator.charges) == 3


@pytest.mark.parametrize("error", [StoreUnavailable, BadStore], ids=["silent", "its-keys-have-ended"])
async def test_a_store_that_stays_silent_lets_what_is_out_end_and_its_cost_be_said(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator, error: type[SeedanceError]
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 3)
    gone = False

    def silent(kind: str, path: str) -> bool:
        return gone and path.startswith(campaign.folder)

    run = Run(campaign, Silent(folder_store, silent, error), account, Options(), 1, pauses=AT_ONCE)

    async def second_shard(number: int) -> None:
        nonlocal gone
        gone = number == 2

    run.before_shard = second_shard
    manifest = await run.running.render(KNOWN, run.shards)
    assert (manifest.status, manifest.statuses, float(manifest.clips_usd)) == ("partial", {"stored": 1}, 0.05)
    assert float(run.running.spent_usd) == 0.05
    assert run.running.why is not None
    gone = False
    again = Run(campaign, folder_store, account, Options())
    assert (await again.running.render(KNOWN, again.shards)).status == "complete"
    assert len(emulator.charges) == 3


async def test_a_shard_that_begins_while_the_store_is_silent_is_begun_anew(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 3)
    second, silences = f"{campaign.folder}/shards/{campaign.shard(2).name}", len(AT_ONCE)

    def silent(kind: str, path: str) -> bool:
        nonlocal silences
        if not path.startswith(second) or run.out == 0:
            return False
        silences -= 1
        return silences >= 0

    run = Run(campaign, Silent(folder_store, silent), account, Options(), 1, pauses=AT_ONCE)
    assert (await run.running.render(KNOWN, run.shards)).status == "complete"
    assert ["The run of shard 2 ended without results" in line for line in run.said] == [
        False,
        True,
        True,
        True,
        False,
        False,
    ]
    assert float(run.running.spent_usd) == 0.15
    assert len(emulator.charges) == 3


async def test_a_record_that_cannot_be_read_is_no_silence_and_is_told_at_once(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 1)
    lines = f"{campaign.folder}/shards/"
    spoilt = Silent(folder_store, lambda kind, path: path.startswith(lines) and run.out > 0, LedgerUnreadable)
    run = Run(campaign, spoilt, account, Options(), pauses=AT_ONCE)
    await run.running.render(KNOWN, run.shards)
    assert not any("begun anew" in line for line in run.said)
    assert emulator.charges == []


async def test_results_that_cannot_be_made_are_no_silence_and_are_told_at_once_with_their_cause(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 1)

    async def broken(what: str, path: str) -> None:
        if what == "before write" and path.endswith("part.parquet"):
            raise RuntimeError("whatever a client may die of")

    run = Run(campaign, HookedStore(folder_store, broken), account, Options(), pauses=AT_ONCE)
    with pytest.raises(SeedanceError, match=r"could not be made \(RuntimeError: whatever .* of\); what is") as told:
        await run.running.render(KNOWN, run.shards)
    assert isinstance(told.value.__cause__, RuntimeError)
    assert not any("begun anew" in line for line in run.said)
    again = Run(campaign, folder_store, account, Options())
    assert (await again.running.render(KNOWN, again.shards)).status == "complete"
    assert len(emulator.charges) == 1


async def test_a_store_that_falls_silent_under_the_first_shard_is_no_refusal_before_spending(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 1)
    lines = f"{campaign.folder}/shards/"
    store = Silent(folder_store, lambda kind, path: path.startswith(lines) and run.out > 0)
    run = Run(campaign, store, account, Options())
    manifest = await run.running.render(KNOWN, run.shards)  # exit code 1, not the 2 of "nothing was submitted"
    assert manifest.status == "nothing"
    assert "Shard 1 stopped the campaign: The store did not answer" in str(run.running.why)
    assert emulator.charges == []


async def test_a_store_that_is_silent_before_the_first_shard_refuses_the_run_at_once(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 1)
    store = Silent(folder_store, lambda kind, path: path.endswith("stopped.json"))
    run = Run(campaign, store, account, Options())
    with pytest.raises(StoreUnavailable):
        await run.running.render(KNOWN, run.shards)
    assert emulator.charges == []
