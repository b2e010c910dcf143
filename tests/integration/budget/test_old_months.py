"""Months that earlier versions have written go on: nothing is forgotten, and nothing counted twice."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.records import MonthRecord, Totals, month_of
from prefect_seedance.budget.report import recount, report_of
from prefect_seedance.errors import LedgerUnreadable
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record, Step, next_step
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import new_claim_id, this_writer
from prefect_seedance.storage.store import Store
from tests.support.renderer import small

NOW = datetime.datetime.now(datetime.UTC)
MONTH, DAY = month_of(NOW), NOW.strftime("%Y-%m-%d")
COST, UPPER = Decimal("0.05"), Decimal("0.12")
ONE, TWO, THREE = (small(f"Of the first format, {number}.") for number in range(3))


async def claimed(store: Store, request: Any, *steps: Step) -> History:
    """The history of a claim under the reservation `old`, as it was written then."""
    claim = Record(
        key=key_of(request),
        number=1,
        step=Step.CLAIMED,
        at=NOW,
        request=request,
        estimated_usd=COST,
        upper_usd=UPPER,
        attempt=1,
        claim_id=new_claim_id(),
        claimed_at=NOW,
        submit_timeout_seconds=90,
        writer=this_writer(),
        reservation="old",
    )
    ledger = Ledger(store)
    history = await ledger.append(History(claim.key), claim)
    for step in steps:
        assert history.last is not None
        facts = {"cost_usd": COST, "job_id": "j"} if step in (Step.COMPLETED, Step.STORED) else {}
        history = await ledger.append(history, next_step(history.last, step, **facts))
    return history


async def old_month(store: Store, *settled: dict[str, str], left: list[str]) -> None:
    """A reservation of three keys and the steps that *settled* some of them, by the first format; *left* are open."""
    writer = this_writer().model_copy(update={"boot": "another"}).model_dump(mode="json")
    until = (NOW - datetime.timedelta(minutes=1)).isoformat()
    keys = {key_of(request): float(UPPER) for request in (ONE, TWO, THREE)}
    held = {"id": "old", "month": MONTH, "day": DAY, "until": until, "writer": writer, "keys": keys}
    spent = Decimal(0)
    for number, charged in enumerate(({}, *settled), 1):
        spent += sum(map(Decimal, charged.values()), Decimal(0))
        if number == len(settled) + 1:
            held = held | {"keys": {key: float(UPPER) for key in left}}
        totals = {"spent_usd": float(spent), "reserved_usd": float(UPPER) * len(held["keys"])}
        record = {
            "schema": "prefect-seedance/spending/1",
            "month": MONTH,
            "number": number,
            "step": "settled" if charged else "reserved",
            "nonce": f"n{number}",
            "at": NOW.isoformat(),
            "reservation": "old",
            "charged": {key: float(usd) for key, usd in charged.items()},
            "total": totals,
            "days": {DAY: totals},
            "open": {"old": held} if held["keys"] else {},
        }
        await store.create(f"spending/{MONTH}/{number:05d}.json", json.dumps(record).encode())


async def day_of(store: Store) -> Totals:
    return (await MonthlySpend(store).usage(NOW)).day


async def test_a_run_of_the_first_format_that_was_settled_in_part_is_settled_whole(store: Store) -> None:
    await claimed(store, ONE, Step.ACCEPTED, Step.COMPLETED, Step.STORED)
    await claimed(store, TWO, Step.ACCEPTED, Step.COMPLETED, Step.STORED)
    await old_month(store, {key_of(ONE): str(COST)}, left=[key_of(TWO), key_of(THREE)])
    assert await day_of(store) == Totals(spent_usd=COST, reserved_usd=2 * UPPER)
    await MonthlySpend(store).release_ended(Ledger(store).load_whole)
    assert await day_of(store) == Totals(spent_usd=2 * COST)
    assert await MonthlySpend(store).open(NOW) == []
    await MonthlySpend(store).release_ended(Ledger(store).load_whole)
    assert [day.count.stored for day in (await report_of(store)).days] == [2]
    assert await day_of(store) == Totals(spent_usd=2 * COST)


async def test_what_a_person_settles_of_a_closed_run_of_the_first_format_returns_to_its_month(store: Store) -> None:
    await claimed(store, ONE, Step.ACCEPTED, Step.COMPLETED, Step.STORED)
    unclear = await claimed(store, TWO, Step.UNCLEAR)
    await old_month(store, {key_of(ONE): str(COST), key_of(TWO): str(UPPER)}, left=[])
    assert await day_of(store) == Totals(spent_usd=COST + UPPER)
    ledger = Ledger(store)
    assert unclear.last is not None
    refused = await ledger.append(unclear, next_step(unclear.last, Step.REFUSED, by="person", kind="settled"))
    for _ in range(2):
        await MonthlySpend(store).correct(refused, ledger.load_whole)
        assert await day_of(store) == Totals(spent_usd=COST)


async def test_an_old_month_takes_new_runs_and_a_recount_knows_both(store: Store) -> None:
    await claimed(store, ONE, Step.ACCEPTED, Step.COMPLETED, Step.STORED)
    await old_month(store, {key_of(ONE): str(COST)}, left=[])
    keys = {key_of(THREE): UPPER}
    await MonthlySpend(store).reserve(keys, Limits(per_day=Decimal(1)), this_writer(), NOW)
    assert await day_of(store) == Totals(spent_usd=COST, reserved_usd=UPPER)
    assert len((await report_of(store)).missing) == 1
    assert [day.count.stored for day in (await recount(store)).days] == [1]
    report = await report_of(store)
    assert (report.missing, [day.count.stored for day in report.days]) == ([], [1])
    assert await day_of(store) == Totals(spent_usd=COST, reserved_usd=UPPER)


async def test_a_record_of_a_format_to_come_forbids_to_spend(store: Store) -> None:
    """As the records of this version do for an older one: it would not enter what became of the claims."""
    await MonthlySpend(store).reserve({"sd1-a": UPPER}, Limits(), this_writer(), NOW)
    (file,) = Path(store.url).glob("spending/2*/*.json")
    assert MonthRecord.model_validate_json(file.read_bytes()).schema_ == "prefect-seedance/spending/3"
    file.write_text(file.read_text().replace("spending/3", "spending/4"))
    with pytest.raises(LedgerUnreadable, match="nothing more is spent"):
        await MonthlySpend(store).reserve({"sd1-b": UPPER}, Limits(per_day=Decimal(1)), this_writer(), NOW)
    assert len(list(Path(store.url).glob("spending/2*/*.json"))) == 1
