from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from emulating import RunningEmulator
from renderer import QUICK, HookedStore, small

from prefect_seedance.errors import BadInput, Taken
from prefect_seedance.generation.resolve import settle, waiting
from prefect_seedance.generation.session import Run
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store


async def test_an_answer_whose_put_is_reported_as_taken_by_itself_is_an_answer(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """The S3 SDK repeats a PUT whose answer was dropped, and then says "taken" of our own record."""
    emulator.fault("run", "drop_after", prompt=prompt)
    unclear = await Run(client, Ledger(store), waiting=QUICK).submit(small(prompt))
    assert unclear.state is Step.UNCLEAR

    async def repeated(moment: str, path: str) -> None:
        if moment == "after create":
            raise Taken(f"{path} exists already.")

    ledger = Ledger(HookedStore(store, repeated))
    assert (await settle(ledger, f"{unclear.key}@{unclear.number}", "charged")).step is Step.LOST
    assert await ledger.markers() == []


async def an_unclear_one(emulator: RunningEmulator, run: Run, prompt: str, fault: str = "drop") -> Record:
    """Dropped before it was accepted, or with "drop_after" after that."""
    emulator.fault("run", fault, prompt=prompt)
    history = await run.submit(small(prompt))
    assert history.state is Step.UNCLEAR
    assert history.last is not None
    return history.last


def age_the_claim(store: Store, unclear: Record, seconds: float) -> None:
    claim, then = Path(store.url) / record_path(unclear.key, unclear.number - 1), time.time() - seconds
    os.utime(claim, (then, then))


@pytest.fixture
def run(client: RunpodClient, store: Store) -> Run:
    return Run(client, Ledger(store), waiting=QUICK)


async def test_not_charged_is_taken_an_hour_after_the_claim_and_not_before(
    emulator: RunningEmulator, run: Run, store: Store, prompt: str
) -> None:
    unclear = await an_unclear_one(emulator, run, prompt)
    handle = f"{unclear.key}@{unclear.number}"
    for age, minutes in ((0, "6[01]"), (3540, "[12]"), (1800, "3[01]")):
        age_the_claim(store, unclear, age)
        with pytest.raises(BadInput, match=f"too early.*nothing was changed.*in {minutes} minutes"):
            await settle(run.ledger, handle, "not charged")
    age_the_claim(store, unclear, 3601)
    assert (await settle(run.ledger, handle, "not charged")).step is Step.REFUSED
    assert (await run.generate(small(prompt))).state is Step.STORED
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_an_answer_about_one_attempt_never_lands_on_the_next(
    emulator: RunningEmulator, run: Run, store: Store, prompt: str
) -> None:
    first = await an_unclear_one(emulator, run, prompt)
    age_the_claim(store, first, 7200)
    await settle(run.ledger, f"{first.key}@{first.number}", "not charged")
    second = await an_unclear_one(emulator, run, prompt, "drop_after")
    age_the_claim(store, second, 7200)
    for number in (first.number, second.number - 1, second.number + 1):
        with pytest.raises(BadInput, match=f"not what is current: {first.key}@{second.number} is unclear; nothing was"):
            await settle(run.ledger, f"{first.key}@{number}", "not charged")
    assert (await run.generate(small(prompt))).state is Step.UNCLEAR
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_charged_with_an_unknown_id_is_lost_and_never_submitted_again(
    emulator: RunningEmulator, run: Run, prompt: str
) -> None:
    unclear = await an_unclear_one(emulator, run, prompt, "drop_after")
    settled = await settle(run.ledger, f"{unclear.key}@{unclear.number}", "charged")
    assert (settled.step, settled.by, settled.charged_usd) == (Step.LOST, "person", unclear.estimated_usd)
    run.retry_failed = 3
    assert (await run.generate(small(prompt))).state is Step.LOST
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_a_job_id_is_taken_only_if_the_api_knows_it(
    emulator: RunningEmulator, run: Run, client: RunpodClient, prompt: str
) -> None:
    unclear = await an_unclear_one(emulator, run, prompt, "drop_after")
    handle = f"{unclear.key}@{unclear.number}"
    with pytest.raises(BadInput, match="does not know the job made-up-u1"):
        await settle(run.ledger, handle, "job id", job_id="made-up-u1", client=client)
    with pytest.raises(BadInput, match="RUNPOD_API_KEY"):
        await settle(run.ledger, handle, "job id", job_id="made-up-u1")
    job = next(charge["job_id"] for charge in emulator.charges if charge["prompt"] == prompt)
    emulator.fault("status", "status", code=500, prompt=prompt)
    with pytest.raises(BadInput, match="no usable answer"):
        await settle(run.ledger, handle, "job id", job_id=job, client=client)
    await settle(run.ledger, handle, "job id", job_id=job, client=client)
    assert (await run.generate(small(prompt))).state is Step.STORED
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


@pytest.mark.parametrize("handle", ["sd1-nothing@1", "sd1-nothing", "@", "sd1-nothing@-1", "sd1-nothing@one"])
async def test_what_is_not_there_cannot_be_settled(store: Store, handle: str) -> None:
    with pytest.raises(BadInput):
        await settle(Ledger(store), handle, "not charged")


async def test_what_waits_for_an_answer_is_listed_oldest_first_and_nothing_else(
    emulator: RunningEmulator, run: Run, prompt: str
) -> None:
    unclear = [(await an_unclear_one(emulator, run, f"{prompt} {name}")).key for name in ("first", "second")]
    submitted = await run.submit(small(f"{prompt} third"))
    assert submitted.last is not None
    found = await waiting(run.ledger, submitted.last.account)
    assert ([record.key for record in found.records], found.errors) == (unclear, {})
