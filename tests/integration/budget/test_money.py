"""What a run may spend, and what the months know of it, through everything that can happen to a claim."""

from __future__ import annotations

import asyncio
import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.records import Totals
from prefect_seedance.budget.report import daily
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.catalog.pricing import upper
from prefect_seedance.errors import OverBudget
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import new_claim, submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.models import Picture
from prefect_seedance.rendering.plan import Planned, PlannedShot, make_plan
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.local import LocalStore
from prefect_seedance.storage.store import Store
from tests.support.board_texts import read, shots
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.renderer import API_KEY, QUICK, HookedStore, budget_of, small
from tests.support.spending import charged, day_of, make_older, open_ones

PRICE = upper(small(""), KNOWN[small("").model])
A_DAY = Limits(per_day=Decimal(5))


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
    picture = Picture(sha256="a" * 64, format="PNG", width=480, height=864, bytes=9, source="a.png")
    request = small(prompt, image=picture)
    budget = budget_of(store, request, limits=A_DAY)
    await budget.reserve()

    async def marking(moment: str, path: str) -> None:
        if moment == "before link":
            await budget.close()

    served = LocalStore(Path(store.url), public_base_url="https://films.example")
    run = RenderSession(client, Ledger(HookedStore(served, marking)), waiting=QUICK, budget=budget)
    with pytest.raises(OverBudget, match="the run has ended"):
        await submit(run, request, image="stills/a.png")
    assert (await Ledger(store).load(key_of(small(prompt)))).records == ()
    assert (await day_of(store)).taken_usd == 0
    assert charged(emulator, prompt) == []


async def test_a_reservation_that_has_ended_is_made_anew_for_what_is_left(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    two = [small(f"{prompt} {n}") for n in range(2)]
    budget = budget_of(store, *two, limits=Limits(per_day=PRICE * 2), lasts=5.0)
    await budget.reserve()
    run = RenderSession(client, Ledger(store), waiting=QUICK, budget=budget)
    first = await generate(run, two[0])
    await asyncio.sleep(5.2)
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
