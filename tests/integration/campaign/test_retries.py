"""A campaign whose failures are tried anew: what was done counts until paying begins, and no longer after it."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.budget.limits import Limits
from prefect_seedance.campaign.manifest import manifest_of, results_of
from prefect_seedance.campaign.rules import StopRules
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.errors import OverBudget
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from tests.support.campaigns import key_of_mug
from tests.support.emulating import RunningEmulator
from tests.support.frozen import Run, Silent, frozen_mugs


async def test_a_retry_that_is_refused_leaves_what_was_done_as_it_was(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 2, shard_size=2)
    emulator.fault("run", "failed", prompt="number 1")
    first = Run(campaign, folder_store, account, Options())
    done = (await first.running.render(KNOWN, first.shards)).done
    again = Options(retry_failed=1, limits=Limits(per_day=Decimal("0.06")))
    refused = Run(campaign, folder_store, account, again)
    with pytest.raises(OverBudget):
        await refused.running.render(KNOWN, refused.shards)
    assert tuple((await results_of(folder_store, campaign)).values()) == done
    assert (await manifest_of(folder_store, campaign)).statuses == {"failed": 1, "stored": 1}
    assert len(emulator.charges) == 1


async def test_a_retry_that_dies_while_it_pays_leaves_its_shard_open_and_what_was_stored_counted(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 2, shard_size=2)
    emulator.fault("run", "failed", prompt="number 1")
    first = Run(campaign, folder_store, account, Options())
    await first.running.render(KNOWN, first.shards)
    emulator.fault("status", "hidden", prompt="number 1", times=1000)
    retried = Run(campaign, folder_store, account, Options(retry_failed=1))
    dying = asyncio.create_task(retried.running.render(KNOWN, retried.shards))
    record = Path(folder_store.url) / "ledger" / key_of_mug(1) / "0005.json"  # the second job was accepted
    while not record.exists():
        assert not dying.done()
        await asyncio.sleep(0.05)
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    assert json.loads(record.read_text())["step"] == "accepted"
    assert await results_of(folder_store, campaign) == {}
    assert list(Path(folder_store.url).glob("campaigns/*/results/*/*")) == []  # no warehouse reads that it has failed
    assert (await manifest_of(folder_store, campaign)).statuses == {"failed": 1, "stored": 1}
    emulator.clear_faults()
    last = Run(campaign, folder_store, account, Options())
    assert (await last.running.render(KNOWN, last.shards)).status == "complete"
    assert len(emulator.charges) == 2


@pytest.mark.parametrize("file", ["shard.json", "part.jsonl", "part.parquet"])
async def test_a_retry_that_dies_as_it_begins_leaves_no_shard_that_is_done_without_its_rows(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator, file: str
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 2, shard_size=2)
    emulator.fault("run", "failed", prompt="number 1")
    first = Run(campaign, folder_store, account, Options())
    await first.running.render(KNOWN, first.shards)
    dying = Silent(folder_store, lambda kind, path: kind == "delete" and path.endswith(file))
    retried = Run(campaign, dying, account, Options(retry_failed=1))
    await retried.running.render(KNOWN, retried.shards)
    [results] = Path(folder_store.url).glob("campaigns/*/results/*")
    assert (results / "part.jsonl").exists() or not (results / "shard.json").exists()
    assert len(emulator.charges) == 1
    last = Run(campaign, folder_store, account, Options(retry_failed=1))
    assert (await last.running.render(KNOWN, last.shards)).status == "complete"
    assert {path.name for path in results.iterdir()} == {"part.jsonl", "part.parquet", "shard.json"}
    assert len(emulator.charges) == 2


async def test_what_failed_before_stops_no_retry(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 2)
    emulator.fault("run", "status", code=400)
    rules = StopRules(refused_percent=40)
    first = Run(campaign, folder_store, account, Options(), 1, rules=rules)
    assert (await first.running.render(KNOWN, first.shards)).stopped is not None
    emulator.clear_faults()
    again = Options(retry_failed=1, approve=campaign.hash)
    second = Run(campaign, folder_store, account, again, 1, rules=rules)
    assert (await second.running.render(KNOWN, second.shards)).status == "complete"
    assert len(emulator.charges) == 2


@pytest.mark.parametrize(("wrong", "looked"), [(1, True), (2, False)], ids=["one-was-stored", "none-was-stored"])
async def test_a_canary_of_which_nothing_was_stored_has_not_been_looked_at(
    tmp_path: Path, folder_store: Store, account: Account, emulator: RunningEmulator, wrong: int, looked: bool
) -> None:
    campaign = await frozen_mugs(tmp_path, folder_store, account, 4, shard_size=2, canary=2)
    for number in range(1, wrong + 1):
        emulator.fault("run", "status", code=400, prompt=f"number {number}", times=1)
    first = Run(campaign, folder_store, account, Options())
    with pytest.raises(OverBudget, match="look at"):
        await first.running.render(KNOWN, first.shards)
    second = Run(campaign, folder_store, account, Options(retry_failed=1), go_on=True)
    if looked:
        assert (await second.running.render(KNOWN, second.shards)).status == "complete"
    else:
        with pytest.raises(OverBudget, match="look at"):
            await second.running.render(KNOWN, second.shards)
    assert len(emulator.charges) == (4 if looked else 2)
