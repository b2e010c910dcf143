"""What a person says about a claim in doubt is an answer, once, for that attempt alone."""

from __future__ import annotations

import asyncio
import os
import time
from decimal import Decimal
from pathlib import Path

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.report import daily
from prefect_seedance.errors import ApiUnreachable, BadInput, DownloadFailed, LostRace, Taken
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.resolve import settle, waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.ledger import Ledger, marker_path, record_path
from prefect_seedance.ledger.record import Record, Step, next_step
from prefect_seedance.ledger.rules import History
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.doubtful import a_lost_one, an_unclear_one
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.renderer import QUICK, HookedStore, small


async def test_an_answer_whose_put_is_reported_as_taken_by_itself_is_an_answer(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """The S3 SDK repeats a PUT whose answer was dropped, and then says "taken" of our own record."""
    emulator.fault("run", "drop_after", prompt=prompt)
    unclear = await submit(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
    assert unclear.state is Step.UNCLEAR

    async def repeated(moment: str, path: str) -> None:
        if moment == "after create":
            raise Taken(f"{path} exists already.")

    ledger = Ledger(HookedStore(store, repeated))
    assert (await settle(ledger, f"{unclear.key}@{unclear.number}", "charged")).step is Step.LOST
    assert await ledger.markers() == []


def age_the_claim(store: Store, unclear: Record, seconds: float) -> None:
    claim, then = Path(store.url) / record_path(unclear.key, unclear.number - 1), time.time() - seconds
    os.utime(claim, (then, then))


@pytest.fixture
def run(client: RunpodClient, store: Store) -> RenderSession:
    return RenderSession(client, Ledger(store), waiting=QUICK)


async def test_not_charged_is_taken_an_hour_after_the_claim_and_not_before(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    unclear = await an_unclear_one(emulator, run, prompt)
    handle = f"{unclear.key}@{unclear.number}"
    for age, minutes in ((0, "6[01]"), (3540, "[12]"), (1800, "3[01]")):
        age_the_claim(store, unclear, age)
        with pytest.raises(BadInput, match=f"too early.*nothing was changed.*in {minutes} minutes"):
            await settle(run.ledger, handle, "not charged")
    age_the_claim(store, unclear, 3601)
    assert (await settle(run.ledger, handle, "not charged")).step is Step.REFUSED
    assert (await generate(run, small(prompt))).state is Step.STORED
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_an_answer_about_one_attempt_never_lands_on_the_next(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    first = await an_unclear_one(emulator, run, prompt)
    age_the_claim(store, first, 7200)
    await settle(run.ledger, f"{first.key}@{first.number}", "not charged")
    second = await an_unclear_one(emulator, run, prompt, "drop_after")
    age_the_claim(store, second, 7200)
    for number in (first.number, second.number - 1, second.number + 1):
        with pytest.raises(BadInput, match=f"not what is current: {first.key}@{second.number} is unclear; nothing was"):
            await settle(run.ledger, f"{first.key}@{number}", "not charged")
    assert (await generate(run, small(prompt))).state is Step.UNCLEAR
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_charged_with_an_unknown_id_is_lost_and_never_submitted_again(
    emulator: RunningEmulator, run: RenderSession, prompt: str
) -> None:
    unclear = await an_unclear_one(emulator, run, prompt, "drop_after")
    settled = await settle(run.ledger, f"{unclear.key}@{unclear.number}", "charged")
    assert (settled.step, settled.by, settled.charged_usd) == (Step.LOST, "person", unclear.estimated_usd)
    run.retry_failed = 3
    assert (await generate(run, small(prompt))).state is Step.LOST
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_a_job_id_is_taken_only_if_the_api_knows_it(
    emulator: RunningEmulator, run: RenderSession, client: RunpodClient, prompt: str
) -> None:
    unclear = await an_unclear_one(emulator, run, prompt, "drop_after")
    handle = f"{unclear.key}@{unclear.number}"
    with pytest.raises(BadInput, match="does not know the job made-up-u1"):
        await settle(run.ledger, handle, "job id", job_id="made-up-u1", client=client)
    with pytest.raises(BadInput, match="RUNPOD_API_KEY"):
        await settle(run.ledger, handle, "job id", job_id="made-up-u1")
    job = next(charge["job_id"] for charge in emulator.charges if charge["prompt"] == prompt)
    emulator.fault("status", "status", code=500, prompt=prompt)
    with pytest.raises(ApiUnreachable, match="no usable answer"):
        await settle(run.ledger, handle, "job id", job_id=job, client=client)
    emulator.fault("status", "status", code=401, prompt=prompt)
    with pytest.raises(BadInput, match="refuses this key or no longer knows the endpoint; nothing was changed"):
        await settle(run.ledger, handle, "job id", job_id=job, client=client)
    await settle(run.ledger, handle, "job id", job_id=job, client=client)
    assert (await generate(run, small(prompt))).state is Step.STORED
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


@pytest.mark.parametrize(
    "handle", ["sd1-nothing@1", "sd1-nothing", "@", "sd1-nothing@-1", "sd1-nothing@one", "../../x@1", "sd1-nothing@²"]
)
async def test_what_is_not_there_cannot_be_settled(store: Store, handle: str) -> None:
    with pytest.raises(BadInput):
        await settle(Ledger(store), handle, "not charged")


async def test_what_waits_for_an_answer_is_listed_oldest_first_and_nothing_else(
    emulator: RunningEmulator, run: RenderSession, prompt: str
) -> None:
    unclear = [(await an_unclear_one(emulator, run, f"{prompt} {name}")).key for name in ("first", "second")]
    submitted = await submit(run, small(f"{prompt} third"))
    assert submitted.last is not None
    found = await waiting(run.ledger, submitted.last.account)
    assert ([record.key for record in found.records], found.errors) == (unclear, {})


async def test_the_job_of_another_key_or_of_another_attempt_is_not_taken(
    emulator: RunningEmulator, run: RenderSession, client: RunpodClient, store: Store, prompt: str
) -> None:
    other = (await submit(run, small(f"{prompt} other"))).last
    emulator.fault("run", "failed", prompt=prompt)
    first = (await wait(run, await submit(run, small(prompt)))).last
    assert other is not None
    assert first is not None
    assert first.step is Step.FAILED
    emulator.fault("run", "drop_after", prompt=prompt)
    unclear = (await submit(run, small(prompt), retry=True)).last
    assert unclear is not None
    for job in (other.job_id, first.job_id):
        with pytest.raises(BadInput, match=f"{job} is that of .*nothing was changed"):
            await settle(run.ledger, f"{unclear.key}@{unclear.number}", "job id", job_id=job, client=client)
    assert (await run.ledger.load(unclear.key)).number == unclear.number
    assert sum(charge["prompt"].startswith(prompt) for charge in emulator.charges) == 2


async def test_what_cannot_be_read_is_named_beside_what_is_listed(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    unclear, damaged = [await an_unclear_one(emulator, run, f"{prompt} {n}") for n in ("unclear", "damaged")]
    (Path(store.url) / record_path(damaged.key, damaged.number)).write_text("{")
    found = await waiting(run.ledger)
    assert [record.key for record in found.records] == [unclear.key]
    assert "damaged" in found.errors[damaged.key]
    days, errors = await daily(run.ledger)
    assert ([day.as_row()["unclear"] for day in days], list(errors)) == ([1], [damaged.key])
    assert sum(charge["prompt"].startswith(prompt) for charge in emulator.charges) == 0


async def test_another_job_that_a_person_names_takes_over_nothing_of_the_one_before(
    emulator: RunningEmulator, run: RenderSession, client: RunpodClient, prompt: str
) -> None:
    completed = await wait(run, await submit(run, small(prompt)))
    assert completed.last is not None
    kept = {"clip": "clips/a.unreadable", "sha256": "b" * 64, "bytes": 3, "cost_usd": Decimal("0.01")}
    lost = await run.ledger.append(completed, next_step(completed.last, Step.LOST, kind="unreadable", **kept))
    elsewhere = (
        await submit(RenderSession(client, Ledger(open_store(f"{run.ledger.store.url}-2"))), small(prompt))
    ).last
    assert elsewhere is not None
    out = await settle(run.ledger, f"{lost.key}@{lost.number}", "job id", job_id=elsewhere.job_id, client=client)
    assert (out.step, out.job_id) == (Step.ACCEPTED, elsewhere.job_id)
    assert (out.answer, out.cost_usd, out.clip, out.sha256, out.bytes, out.footage) == (None,) * 6
    assert out.charged_usd == completed.records[0].charged_usd
    assert (await generate(run, small(prompt))).state is Step.STORED
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 2


async def test_a_completed_job_of_another_account_is_listed_as_well_as_one_that_is_out(
    emulator: RunningEmulator, run: RenderSession, client: RunpodClient, prompt: str
) -> None:
    """Its link may be dead, and only its own account could ask for another."""
    completed = await wait(run, await submit(run, small(prompt)))
    assert (await waiting(run.ledger, client.account.fingerprint)).records == ()
    found = await waiting(run.ledger, Account("after-the-rotation", emulator.base_url).fingerprint)
    assert [(record.key, record.step) for record in found.records] == [(completed.key, Step.COMPLETED)]
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_a_clip_that_never_came_home_can_be_given_up_when_its_link_has_ended_and_not_before(
    emulator: RunningEmulator, run: RenderSession, client: RunpodClient, store: Store, prompt: str
) -> None:
    """Its link is dead each time, and each time the API has another one: nothing else ends that."""
    completed = await wait(run, await submit(run, small(prompt)))
    assert completed.last is not None
    emulator.fault("media", "gone", times=1000, prompt=prompt)
    emulator.fault("status", "signed", times=1000, prompt=prompt)
    handle, record = f"{completed.key}@{completed.number}", record_path(completed.key, completed.number)
    for age, hours in ((1800, 168), (6.5 * 86400 + 1800, 12)):
        os.utime(Path(store.url) / record, (time.time() - age,) * 2)
        with pytest.raises(BadInput, match=f"one in use; nothing was changed.*; in {hours} hours, .* be given up"):
            await settle(run.ledger, handle, "charged", client=client)
    os.utime(Path(store.url) / record, (time.time() - 7 * 86400 - 1,) * 2)
    with pytest.raises(
        DownloadFailed, match=f"stays completed.*`prefect-seedance settle {handle} --store … --charged`"
    ):
        await persist(run, completed)
    given_up = await settle(run.ledger, handle, "charged", client=client)
    assert (given_up.step, given_up.by, given_up.charged_usd) == (Step.LOST, "person", completed.last.charged_usd)
    assert (await generate(run, small(prompt))).state is Step.LOST
    assert await run.ledger.markers() == []
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_an_answer_that_died_between_its_marker_and_its_record_is_closed_and_can_be_given_again(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    lost = await a_lost_one(run, await submit(run, small(prompt)), store, emulator, prompt)

    async def dies_before_its_record(moment: str, path: str) -> None:
        if moment == "before create":
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await settle(Ledger(HookedStore(store, dies_before_its_record)), f"{lost.key}@{lost.number}", "retry")
    marker = Path(store.url) / marker_path(lost.key, lost.number + 1)
    for age, left in ((0, [marker.name]), (3600, [])):
        os.utime(marker, (time.time() - age,) * 2)
        collected = await collect(RenderSession(run.client, Ledger(store), waiting=QUICK), MonthlySpend(store))
        assert len(collected.of(Step.LOST)) == 1
        assert await store.names("ledger-open") == left
    history = await run.ledger.load(lost.key)
    assert (history.state, history.number) == (Step.LOST, lost.number + 1)
    assert (await collect(run, MonthlySpend(store))).found == {}
    with pytest.raises(LostRace):  # the one that was thought dead wakes
        await run.ledger.append(History(lost.key, history.records[:-1]), next_step(lost, Step.ACCEPTED))
    await run.ledger.unmark(history, lost.number + 1)
    await settle(run.ledger, f"{lost.key}@{lost.number + 1}", "retry")
    assert (await generate(run, small(prompt))).state is Step.STORED
    assert await run.ledger.markers() == []
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1
