"""What a claim costs is known late, and what was counted for it meanwhile is put right in its month."""

from __future__ import annotations

import asyncio
import datetime
import os
import time
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.records import Totals
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.catalog.pricing import estimate, upper
from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.resolve import settle
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import new_claim, submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Step, next_step
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.models import Request
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.renderer import QUICK, HookedStore, budget_of, small
from tests.support.spending import charged, day_of, make_older, open_ones

PRICE = upper(small(""), KNOWN[small("").model])
A_DAY = Limits(per_day=Decimal(5))


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_a_persons_answer_gives_back_nothing_that_its_run_can_still_spend(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    one, two = small(f"{prompt} one"), small(f"{prompt} two")
    budget = budget_of(store, one, two, limits=A_DAY)
    await budget.reserve()
    emulator.fault("run", "drop", prompt=one.prompt)
    run = RenderSession(client, Ledger(store), waiting=QUICK, budget=budget)
    unclear = await submit(run, one)
    await MonthlySpend(store).correct(unclear, Ledger(store).load_whole)
    assert await day_of(store) == Totals(reserved_usd=2 * PRICE)
    assert (await generate(run, two)).state is Step.STORED
    assert await budget.close() == []
    assert (await day_of(store)).reserved_usd == 0
    assert len(charged(emulator, prompt)) == 1


async def test_a_claim_counts_at_its_upper_price_until_its_cost_is_known(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    request = small(prompt).model_copy(update={"size": "1920x1080", "duration": 5})
    listed, most = (price(request, KNOWN[request.model]) for price in (estimate, upper))
    assert most > listed
    budget = budget_of(store, request, limits=A_DAY)
    await budget.reserve()
    run = RenderSession(client, Ledger(store), waiting=QUICK, budget=budget)
    accepted = await submit(run, request)
    assert (accepted.state, budget.usage_usd) == (Step.ACCEPTED, most)
    ended = await wait(run, accepted)
    assert ended.last is not None
    assert budget.usage_usd == ended.last.cost_usd
    assert charged(emulator, prompt) == [ended.last.cost_usd]


@pytest.mark.parametrize("step", [Step.UNCLEAR, Step.LOST, Step.ACCEPTED, Step.STRAY])
async def test_what_may_have_been_charged_counts_at_the_upper_price(
    step: Step, client: RunpodClient, store: Store
) -> None:
    request = small("").model_copy(update={"size": "1920x1080", "duration": 5})
    claim = new_claim(RenderSession(client, Ledger(store)), History(key_of(request)), request)
    most, listed = upper(request, KNOWN[request.model]), estimate(request, KNOWN[request.model])
    assert next_step(claim, step).charged_usd == most > listed
    old = claim.model_copy(update={"upper_usd": None})
    assert next_step(old, step).charged_usd == listed


async def an_unclear_one(emulator: RunningEmulator, store: Store, client: RunpodClient, request: Request) -> History:
    """Of a run that has ended: it is spent in full."""
    budget = budget_of(store, request, limits=A_DAY)
    await budget.reserve()
    emulator.fault("run", "drop", prompt=request.prompt)
    history = await submit(RenderSession(client, Ledger(store), waiting=QUICK, budget=budget), request)
    assert history.state is Step.UNCLEAR
    assert await budget.close() == []
    assert await day_of(store) == Totals(spent_usd=PRICE)
    return history


async def test_what_a_person_settles_as_not_charged_returns_to_its_month(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    history = await an_unclear_one(emulator, store, client, small(prompt))
    then = time.time() - 7200
    os.utime(Path(store.url) / record_path(history.key, 1), (then, then))
    await settle(Ledger(store), f"{history.key}@2", "not charged")
    assert await day_of(store) == Totals()
    month = datetime.datetime.now(datetime.UTC).strftime("%Y-%m")
    last = await MonthlySpend(store).last(month)
    assert last is not None
    assert last.step == "corrected"
    await MonthlySpend(store).correct(await Ledger(store).load(history.key), Ledger(store).load_whole)
    assert await MonthlySpend(store).last(month) == last
    assert charged(emulator, prompt) == []


async def test_a_stray_that_turns_up_after_its_run_counts_as_charged(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    history = await an_unclear_one(emulator, store, client, small(prompt))
    ledger, claim = Ledger(store), history.records[0]
    refused = await ledger.append(history, next_step(claim, Step.REFUSED, by="person", kind="settled"))
    await ledger.append(refused, next_step(claim, Step.STRAY, job_id="late"))
    await collect(RenderSession(client, ledger, waiting=QUICK), MonthlySpend(store))
    assert await day_of(store) == Totals(spent_usd=PRICE)
    assert charged(emulator, prompt) == []


async def test_trouble_with_the_months_after_all_clips_are_home_is_a_sentence_and_the_collector_reconciles(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    down: list[bool] = []

    async def failing(moment: str, path: str) -> None:
        if down and path.startswith("spending/"):
            raise StoreUnavailable("the store answers 503.")

    budget = budget_of(HookedStore(store, failing), small(prompt), limits=A_DAY)
    await budget.reserve()
    assert (
        await generate(RenderSession(client, Ledger(store), waiting=QUICK, budget=budget), small(prompt))
    ).state is Step.STORED
    down.append(True)
    (note,) = await budget.close()
    assert "collect" in note
    assert "503" in note
    make_older(store, 7200)
    await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))
    costs = charged(emulator, prompt)
    assert await day_of(store) == Totals(spent_usd=sum(costs, Decimal(0)))
    assert len(costs) == 1


async def test_a_job_id_that_a_person_names_holds_its_price_until_the_true_cost_is_known(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    budget = budget_of(store, small(prompt), limits=A_DAY)
    await budget.reserve()
    emulator.fault("run", "drop_after", prompt=prompt)
    run = RenderSession(client, Ledger(store), waiting=QUICK, budget=budget)
    unclear = await submit(run, small(prompt))
    await budget.close()
    assert await day_of(store) == Totals(spent_usd=PRICE)
    job_id = next(charge["job_id"] for charge in emulator.bill()["charges"] if charge["prompt"] == prompt)
    await settle(Ledger(store), f"{unclear.key}@2", "job id", job_id=job_id, client=client)
    assert await day_of(store) == Totals(reserved_usd=PRICE)
    await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))
    costs = charged(emulator, prompt)
    assert await day_of(store) == Totals(spent_usd=sum(costs, Decimal(0)))
    assert await open_ones(store) == []
    assert len(costs) == 1


async def test_an_old_reservation_is_found_in_a_busy_month_by_many_reads_at_once(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    history = await an_unclear_one(emulator, store, client, small(prompt))
    spend, now = MonthlySpend(store), datetime.datetime.now(datetime.UTC)
    for _ in range(25):
        other = await spend.reserve({key_of(small("other")): PRICE}, A_DAY, this_writer(), now)
        await spend.reconcile(other, Ledger(store).load_whole, now, by_its_run=True)
    unclear = history.records[-1]
    refused = await Ledger(store).append(history, next_step(unclear, Step.REFUSED, by="person", kind="settled"))
    reading, most = 0, 0

    async def count(moment: str, path: str) -> None:
        nonlocal reading, most
        if path.startswith("spending/2") and moment == "before read":
            reading += 1
            most = max(most, reading)
            await asyncio.sleep(0.05)
        elif path.startswith("spending/2") and moment == "after read":
            reading -= 1

    await MonthlySpend(HookedStore(store, count)).correct(refused, Ledger(store).load_whole)
    assert await day_of(store) == Totals()
    assert most >= 32
    assert charged(emulator, prompt) == []
