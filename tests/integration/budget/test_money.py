"""What a run may spend, and what the months know of it, through everything that can happen to a claim."""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import OBSERVERS_WAIT_SECONDS, MonthlySpend
from prefect_seedance.budget.records import OpenReservation, Totals
from prefect_seedance.budget.report import daily
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.catalog.pricing import estimate, upper
from prefect_seedance.errors import OverBudget, StoreUnavailable
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
from prefect_seedance.rendering.plan import Planned, PlannedShot, make_plan
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.board_texts import read, shots
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.renderer import API_KEY, QUICK, HookedStore, budget_of, small

PRICE = upper(small(""), KNOWN[small("").model])
A_DAY = Limits(per_day=Decimal(5))


def charged(emulator: RunningEmulator, prompt: str) -> list[Decimal]:
    return [Decimal(str(charge["usd"])) for charge in emulator.charges if charge["prompt"].startswith(prompt)]


async def day_of(store: Store) -> Totals:
    return (await MonthlySpend(store).usage(datetime.datetime.now(datetime.UTC))).day


async def planned(store: Store, prompt: str, *, retry_failed: int = 0, account: Account | None = None) -> Planned:
    board = await read(shots(f"  - {{id: a, prompt: {prompt!r}, size: 480x864, duration: 2}}"))
    account = account or Account(API_KEY, "http://127.0.0.1:1/v2")
    return await make_plan(board, Ledger(store), account=account, retry_failed=retry_failed)


async def planned_shot(store: Store, prompt: str, *, retry_failed: int = 0) -> PlannedShot:
    (shot,) = (await planned(store, prompt, retry_failed=retry_failed)).plan.shots
    return shot


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_a_claim_of_another_run_is_resumed_at_the_upper_price(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    request = small(prompt)
    claim = new_claim(RenderSession(client, Ledger(store), waiting=QUICK), History(key_of(request)), request)
    await Ledger(store).claim(History(claim.key), claim)
    made = await planned(store, prompt)
    assert (made.plan.shots[0].action, made.plan.shots[0].estimated_usd) == ("resume", PRICE)
    assert (dict(made.to_pay), made.plan.estimated_usd) == ({claim.key: PRICE}, PRICE)
    assert charged(emulator, prompt) == []


async def test_a_job_that_is_out_is_priced_only_where_it_may_be_tried_again(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    await submit(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
    once, twice = await planned_shot(store, prompt), await planned_shot(store, prompt, retry_failed=1)
    assert [(shot.action, shot.estimated_usd) for shot in (once, twice)] == [("resume", 0), ("resume", PRICE)]
    assert len(charged(emulator, prompt)) == 1


async def test_what_is_submitted_again_is_a_retry_with_a_price_and_what_is_held_has_none(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    run = RenderSession(client, Ledger(store), waiting=QUICK)
    emulator.fault("run", "status", code=400, prompt=prompt)
    await generate(run, small(prompt))
    refused = await planned_shot(store, prompt)
    assert (refused.action, refused.estimated_usd) == ("retry", PRICE)
    emulator.fault("run", "failed", error="worker exited", prompt=prompt)
    await generate(run, small(prompt))
    held, again = await planned_shot(store, prompt), await planned_shot(store, prompt, retry_failed=1)
    assert [(shot.action, shot.estimated_usd) for shot in (held, again)] == [("held", 0), ("retry", PRICE)]
    assert charged(emulator, prompt) == []


async def test_a_refused_prompt_stays_held_however_often_it_may_be_tried(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    emulator.fault("run", "moderated", prompt=prompt)
    await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
    shot = await planned_shot(store, prompt, retry_failed=5)
    assert (shot.action, shot.estimated_usd) == ("held", 0)
    assert charged(emulator, prompt) == []


async def test_a_plan_hash_is_whole_and_follows_the_account(store: Store, prompt: str) -> None:
    one, other = [await planned(store, prompt, account=Account(key, "http://127.0.0.1:1/v2")) for key in ("a", "b")]
    assert len(one.plan.plan_hash) == len(other.plan.plan_hash) == 64
    assert one.plan.plan_hash != other.plan.plan_hash


async def test_a_key_that_the_plan_has_not_priced_cannot_be_claimed(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    budget = budget_of(store, small(prompt), limits=A_DAY)
    await budget.reserve()
    run = RenderSession(client, Ledger(store), waiting=QUICK, budget=budget)
    with pytest.raises(OverBudget, match="set no money aside"):
        await generate(run, small(f"{prompt} another"))
    assert (await Ledger(store).load(key_of(small(f"{prompt} another")))).records == ()
    assert charged(emulator, prompt) == []


async def test_a_run_that_has_been_reconciled_admits_no_claim(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """Also one that was on its way: it is asked once more right before it would be written."""
    budget = budget_of(store, small(prompt), limits=A_DAY)
    await budget.reserve()

    async def marking(moment: str, path: str) -> None:
        if moment == "before link":
            await budget.close()

    run = RenderSession(client, Ledger(HookedStore(store, marking)), waiting=QUICK, budget=budget)
    with pytest.raises(OverBudget, match="the run has ended"):
        await submit(run, small(prompt), image="stills/a.png")
    assert (await Ledger(store).load(key_of(small(prompt)))).records == ()
    assert (await day_of(store)).taken_usd == 0
    assert charged(emulator, prompt) == []


async def test_a_reservation_that_has_ended_is_made_anew_for_what_is_left(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    two = [small(f"{prompt} {n}") for n in range(2)]
    budget = budget_of(store, *two, limits=Limits(per_day=PRICE * 2), lasts=1.0)
    await budget.reserve()
    run = RenderSession(client, Ledger(store), waiting=QUICK, budget=budget)
    first = await generate(run, two[0])
    await asyncio.sleep(1.2)
    second = await generate(run, two[1])
    assert [history.state for history in (first, second)] == [Step.STORED, Step.STORED]
    assert second.number == 4  # claimed once, and not refused as late again and again
    assert await budget.close() == []
    costs = charged(emulator, prompt)
    assert await day_of(store) == Totals(spent_usd=sum(costs, Decimal(0)))
    assert len(costs) == 2


async def test_a_reservation_is_made_anew_by_the_rules_of_a_new_one(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    mine, others = small(f"{prompt} mine"), small(f"{prompt} others")
    limits = Limits(per_day=PRICE)
    budget = budget_of(store, mine, limits=limits, lasts=0.5)
    await budget.reserve()
    await asyncio.sleep(0.6)
    make_older(store, 0.5)
    await budget_of(store, others, limits=limits).reserve()
    with pytest.raises(OverBudget, match="limit per day"):
        await generate(RenderSession(client, Ledger(store), waiting=QUICK, budget=budget), mine)
    assert charged(emulator, prompt) == []


async def test_an_observer_whose_clock_is_ahead_gives_no_money_away(store: Store, prompt: str) -> None:
    """Dates of another machine count for nothing: only how old the store says its record is."""
    elsewhere = this_writer().model_copy(update={"boot": "another"})
    spend = MonthlySpend(store, reserved_for_seconds=300)
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=10)
    await spend.reserve({key_of(small(prompt)): PRICE}, A_DAY, elsewhere, long_ago)
    await MonthlySpend(store).release_ended(Ledger(store).load_whole)
    assert [entry.reserved_usd for entry in await spend.open(long_ago)] == [PRICE]
    make_older(store, 300)
    await MonthlySpend(store).release_ended(Ledger(store).load_whole)
    assert await spend.open(long_ago) == []


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


async def test_what_a_run_without_limits_left_out_counts_for_those_with_limits(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    one, two = small(f"{prompt} one"), small(f"{prompt} two")
    careless = budget_of(store, one, limits=Limits())
    await careless.reserve()
    assert (
        await submit(RenderSession(client, Ledger(store), waiting=QUICK, budget=careless), one)
    ).state is Step.ACCEPTED
    assert await careless.close() == []
    assert await day_of(store) == Totals(reserved_usd=PRICE)
    with pytest.raises(OverBudget, match="limit per day"):
        await budget_of(store, two, limits=Limits(per_day=PRICE)).reserve()
    assert len(charged(emulator, prompt)) == 1


async def test_an_end_that_is_put_off_while_it_is_judged_is_none(store: Store, prompt: str) -> None:
    elsewhere = this_writer().model_copy(update={"boot": "another"})
    spend, now = MonthlySpend(store, reserved_for_seconds=0.1), datetime.datetime.now(datetime.UTC)
    reservation = await spend.reserve({key_of(small(prompt)): PRICE}, A_DAY, elsewhere, now)
    make_older(store, 0.1)
    put_off: list[bool] = []

    async def meanwhile(moment: str, path: str) -> None:
        if moment == "before create" and path.endswith("/00002.json") and not put_off:
            put_off.append(True)
            assert await MonthlySpend(store).extend(reservation, now)

    await MonthlySpend(HookedStore(store, meanwhile)).release_ended(Ledger(store).load_whole)
    assert put_off == [True]
    assert [entry.reserved_usd for entry in await spend.open(now)] == [PRICE]


def make_older(store: Store, seconds: float) -> None:
    """The first record of the month, so that a reservation of *seconds* has ended for everybody."""
    (record,) = Path(store.url).glob("spending/2*/00001.json")
    then = time.time() - seconds - OBSERVERS_WAIT_SECONDS - 1  # a file system dates more coarsely
    os.utime(record, (then, then))


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


async def open_ones(store: Store) -> list[OpenReservation]:
    return await MonthlySpend(store).open(datetime.datetime.now(datetime.UTC))


async def test_a_month_record_holds_sums_and_the_keys_of_a_reservation_a_file_of_their_own(store: Store) -> None:
    keys = {f"sd1-{n}": PRICE for n in range(1000)}
    spend = MonthlySpend(store)
    made = await spend.reserve(keys, Limits(per_day=Decimal(1000)), this_writer(), datetime.datetime.now(datetime.UTC))
    (month,) = Path(store.url).glob("spending/2*/00001.json")
    assert b"sd1-" not in month.read_bytes()
    assert b"sd1-999" in (Path(store.url) / f"spending/reservations/{made.id}.json").read_bytes()


async def test_a_month_of_the_first_format_goes_on(store: Store) -> None:
    now = datetime.datetime.now(datetime.UTC)
    month, day = now.strftime("%Y-%m"), now.strftime("%Y-%m-%d")
    writer = this_writer().model_copy(update={"boot": "another"}).model_dump(mode="json")
    ended = (now - datetime.timedelta(minutes=1)).isoformat()
    held = {"id": "old", "month": month, "day": day, "until": ended, "writer": writer, "keys": {"sd1-a": 0.12}}
    totals = {"spent_usd": 0.24, "reserved_usd": 0.12}
    old: dict[str, Any] = {
        "schema": "prefect-seedance/spending/1",
        "month": month,
        "number": 1,
        "step": "settled",
        "nonce": "n",
        "at": now.isoformat(),
        "reservation": "other",
        "charged": {"sd1-b": 0.24},
        "total": totals,
        "days": {day: totals},
        "open": {"old": held},
    }
    await store.create(f"spending/{month}/00001.json", json.dumps(old).encode())
    assert await day_of(store) == Totals(spent_usd=Decimal("0.24"), reserved_usd=Decimal("0.12"))
    await MonthlySpend(store).release_ended(Ledger(store).load_whole)
    assert await day_of(store) == Totals(spent_usd=Decimal("0.24"))
    assert await open_ones(store) == []


async def test_a_report_counts_every_claim_of_a_stored_key(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    emulator.fault("run", "failed", error="worker exited", prompt=prompt, times=2)
    history = await generate(RenderSession(client, Ledger(store), waiting=QUICK, retry_failed=2), small(prompt))
    assert history.state is Step.STORED
    days, unreadable = await daily(Ledger(store))
    (day,) = [one.as_row() for one in days]
    assert unreadable == {}
    assert (day["claims"], day["failed"], day["stored"]) == (3, 2, 1)
    assert len(charged(emulator, prompt)) == 1


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
