"""`report` reads what the months have added up; whatever happens to a claim, the whole ledger says the same."""

from __future__ import annotations

import datetime
import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.records import month_of
from prefect_seedance.budget.report import recount, report_of
from prefect_seedance.budget.totals import CLOSE_EVERY
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.resolve import settle
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Step, next_step
from prefect_seedance.ledger.rules import History
from prefect_seedance.models import Request
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.counting import CountedStore
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.ledgers import stored_keys
from tests.support.renderer import QUICK, budget_of, small

A_DAY = Limits(per_day=Decimal(50))


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


async def rows(store: Store) -> list[dict[str, Any]]:
    """What `report` says, with nothing missing."""
    report = await report_of(store)
    assert (report.missing, report.errors) == ([], {})
    return [day.as_row() for day in report.days]


async def recounted(store: Store) -> list[dict[str, Any]]:
    """What `report --recount` says; nothing was wrong before."""
    report = await recount(store)
    assert (report.missing, report.errors, report.notes) == ([], {}, [])
    return [day.as_row() for day in report.days]


async def a_run(store: Store, client: RunpodClient, request: Request, **more: Any) -> History:
    budget = budget_of(store, request, limits=A_DAY)
    await budget.reserve()
    run = RenderSession(client, Ledger(store), waiting=QUICK, budget=budget, **more)
    try:
        return await generate(run, request)
    finally:
        assert await budget.close() == []


async def an_unclear_run(store: Store, client: RunpodClient, emulator: RunningEmulator, request: Request) -> History:
    emulator.fault("run", "drop", prompt=request.prompt)
    budget = budget_of(store, request, limits=A_DAY)
    await budget.reserve()
    history = await submit(RenderSession(client, Ledger(store), waiting=QUICK, budget=budget), request)
    assert history.state is Step.UNCLEAR
    assert await budget.close() == []
    return history


def newest_totals(store: Store) -> Path:
    return max((Path(store.url) / "spending" / "totals" / month_of(now())).glob("*.json"))


async def test_every_end_of_a_claim_stands_in_the_report_as_in_the_ledger(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    def clip(name: str) -> Request:
        return small(f"{prompt} {name}")

    assert (await a_run(store, client, clip("stored"))).state is Step.STORED
    emulator.fault("run", "status", code=400, prompt=clip("refused").prompt)
    assert (await a_run(store, client, clip("refused"))).state is Step.REFUSED
    emulator.fault("run", "moderated", prompt=clip("moderated").prompt)
    assert (await a_run(store, client, clip("moderated"))).state is Step.FAILED
    emulator.fault("run", "failed", error="worker exited", prompt=clip("twice").prompt, times=1)
    assert (await a_run(store, client, clip("twice"), retry_failed=1)).state is Step.STORED
    unclear, lost, free, stray = [
        await an_unclear_run(store, client, emulator, clip(name)) for name in ("unclear", "lost", "free", "stray")
    ]
    ledger = Ledger(store)
    await settle(ledger, f"{lost.key}@2", "charged")
    then = time.time() - 7200
    os.utime(Path(store.url) / record_path(free.key, 1), (then, then))
    await settle(ledger, f"{free.key}@2", "not charged")
    assert stray.last is not None
    await ledger.append(stray, next_step(stray.last, Step.STRAY, job_id="late"))
    await collect(RenderSession(client, ledger, waiting=QUICK), MonthlySpend(store))
    out = budget_of(store, clip("out"), limits=A_DAY)
    await out.reserve()
    await submit(RenderSession(client, ledger, waiting=QUICK, budget=out), clip("out"))

    told = await rows(store)
    [day] = told
    counts = {name: day[name] for name in ("claims", "stored", "failed", "unclear", "lost")}
    assert counts == {"claims": 10, "stored": 2, "failed": 2, "unclear": 2, "lost": 2}
    assert unclear.state is Step.UNCLEAR
    assert await recounted(store) == told == await rows(store)
    costs = [
        Decimal(str(c["usd"])) for c in emulator.charges if c["prompt"].startswith(prompt) and "out" not in c["prompt"]
    ]
    assert day["spent_usd"] == float(sum(costs))


async def test_what_a_writer_that_was_thought_dead_brings_home_is_followed(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """Its claim was called unclear and its run settled; it lives, knows its job, and dies before it settles again."""
    unclear = await an_unclear_run(store, client, emulator, small(prompt))
    emulator.clear_faults()
    job = (await client.submit("seedance-1-0-pro", {"prompt": prompt, "size": "480x864", "duration": 2})).job_id
    assert unclear.last is not None
    accepted = next_step(
        unclear.last,
        Step.ACCEPTED,
        job_id=job,
        base_url=client.account.base_url,
        account=client.account.fingerprint,
        accepted_at=now(),
    )
    await Ledger(store).append(unclear, accepted)
    stored = 0
    while not stored:
        found = await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))
        stored = len(found.of(Step.STORED))
    told = await rows(store)
    assert (told[0]["unclear"], told[0]["stored"]) == (0, 1)
    assert await recounted(store) == told
    usage = await MonthlySpend(store).usage(now())
    costs = [Decimal(str(charge["usd"])) for charge in emulator.charges if charge["prompt"] == prompt]
    assert usage.day.spent_usd == sum(costs)


async def test_a_report_of_much_that_is_settled_reads_a_file_and_the_last_steps(store: Store) -> None:
    await stored_keys(store, runs=CLOSE_EVERY * 2, each=3)
    counted = CountedStore(store)
    [day] = (await report_of(counted)).days
    assert (day.count.claims, day.count.stored) == (CLOSE_EVERY * 6, CLOSE_EVERY * 6)
    assert counted.operations.total() <= CLOSE_EVERY + 8
    assert not [asked for asked in counted.asked if "ledger/" in asked]
    assert len(list((Path(store.url) / "spending" / "totals" / month_of(now())).iterdir())) == 1


async def test_totals_that_are_missing_or_damaged_are_told_and_made_anew_by_a_recount(store: Store) -> None:
    await stored_keys(store, runs=CLOSE_EVERY, each=2)
    whole = await rows(store)
    for content in (None, "{", "{}"):
        newest_totals(store).unlink() if content is None else newest_totals(store).write_text(content)
        [told] = (await report_of(store)).missing
        assert ("missing" if content is None else "damaged") in told
        assert "`prefect-seedance report --recount`" in told
        again = await recount(store)
        assert [day.as_row() for day in again.days] == whole == await rows(store)
    assert (await MonthlySpend(store).usage(now())).month.spent_usd == Decimal("0.05") * CLOSE_EVERY * 2


async def test_who_settles_leaves_spoilt_totals_to_a_recount(store: Store) -> None:
    await stored_keys(store, runs=CLOSE_EVERY, each=1)
    newest_totals(store).unlink()
    await stored_keys(store, runs=CLOSE_EVERY * 2, each=1, title="Later")
    assert (await report_of(store)).missing != []


async def test_a_month_that_told_otherwise_than_the_ledger_is_named_and_set_right(store: Store) -> None:
    keys = await stored_keys(store, runs=1, each=2)
    ledger = Ledger(store)
    history = await ledger.load_whole(keys[0])
    assert history.last is not None
    await ledger.append(history, next_step(history.last, Step.STRAY, job_id="of a process that died then"))
    before = await rows(store)
    report = await recount(store)
    assert [now().strftime("%Y-%m-%d") in note for note in report.notes] == [True]
    assert [day.as_row() for day in report.days] == await rows(store) != before
    assert await recounted(store) == await rows(store)


async def test_what_is_settled_after_a_recount_is_counted_once(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    budget = budget_of(store, small(prompt), limits=A_DAY)
    await budget.reserve()
    run = RenderSession(client, Ledger(store), waiting=QUICK, budget=budget)
    assert (await generate(run, small(prompt))).state is Step.STORED
    first = await recounted(store)
    assert await budget.close() == []
    await stored_keys(store, runs=CLOSE_EVERY, each=1)
    [day] = await rows(store)
    assert (first[0]["claims"], day["claims"]) == (1, 1 + CLOSE_EVERY)
    assert await recounted(store) == [day]
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_runs_that_an_earlier_version_settled_are_told_until_they_are_recounted(store: Store) -> None:
    await stored_keys(store, runs=2, each=2)
    for file in Path(store.url).glob("spending/2*/*.json"):
        record = json.loads(file.read_text())
        (name,), (entered,) = record["entered"], record.pop("entered").values()
        record |= {"schema": "prefect-seedance/spending/2", "reservation": name}
        record |= {"reserved_usd": entered["reserved_usd"], "spent_usd": entered["spent_usd"]}
        for entry in record["open"].values():
            entry.pop("number", None)
        file.write_text(json.dumps(record))
    report = await report_of(store)
    assert [("2 runs were" in line, "--recount" in line) for line in report.missing] == [(True, True)]
    again = await recount(store)
    assert [day.count.stored for day in again.days] == [4]
    assert await rows(store) == [day.as_row() for day in again.days]
    await stored_keys(store, runs=1, each=3, title="Later")
    await MonthlySpend(store).correct(
        await Ledger(store).load_whole(key_of(small("Run 0, shot 0."))), Ledger(store).load_whole
    )
    assert await rows(store) == await recounted(store)
    assert (await MonthlySpend(store).usage(now())).month.spent_usd == Decimal("0.05") * 7


async def test_a_ledger_without_any_month_is_counted_whole_until_it_has_months(store: Store) -> None:
    await stored_keys(store, runs=1, each=2)
    for file in Path(store.url).glob("spending/*/*"):
        file.unlink()
    for folder in Path(store.url).glob("spending/*"):
        folder.rmdir()
    assert [day.count.stored for day in (await report_of(store)).days] == [2]
    assert [day.count.stored for day in (await recount(store)).days] == [2]
    assert [row["stored"] for row in await rows(store)] == [2]
