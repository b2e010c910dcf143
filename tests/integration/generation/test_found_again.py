"""What was lost comes home where a person knows more, and can be given up where nobody can."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import BadInput, DownloadFailed, NeedsAttention
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.resolve import settle, waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.ledger import Ledger, marker_path, record_path
from prefect_seedance.ledger.record import Step, next_step
from prefect_seedance.ledger.rules import GRACE_SECONDS, remedy
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.doubtful import a_lost_one, an_unclear_one
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.renderer import QUICK, HookedStore, age_the_notes, small

SIX_HOURS = 6 * 3600.0
"""As the protocol says: what is lost has been seen by another run so long ago."""


@pytest.fixture
def run(client: RunpodClient, store: Store) -> RenderSession:
    return RenderSession(client, Ledger(store), waiting=QUICK)


async def test_a_lost_job_whose_id_is_known_comes_home_after_a_person_has_it_asked_for_again(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    lost = await a_lost_one(run, await submit(run, small(prompt)), store, emulator, prompt)
    assert f"settle {lost.key}@{lost.number} --store … --retry" in remedy(lost)
    with pytest.raises(BadInput, match="not what is current"):
        await settle(run.ledger, f"{lost.key}@{lost.number - 1}", "retry")
    order: list[str] = []

    async def watch(moment: str, path: str) -> None:
        if moment in ("after write", "after create"):
            order.append(path)

    out = await settle(Ledger(HookedStore(store, watch)), f"{lost.key}@{lost.number}", "retry")
    assert (out.step, out.job_id, out.by) == (Step.ACCEPTED, lost.job_id, "person")
    assert order == [marker_path(lost.key, out.number), record_path(lost.key, out.number)]
    collected = await collect(RenderSession(run.client, run.ledger, waiting=QUICK), MonthlySpend(store))
    assert len(collected.of(Step.STORED)) == 1
    assert await run.ledger.markers() == []
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_a_lost_clip_whose_link_is_known_is_fetched_again_without_asking_the_api(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    completed = await wait(run, await submit(run, small(prompt)))
    emulator.fault("media", "gone", times=6, prompt=prompt)
    lost = completed
    for each in (run, RenderSession(run.client, run.ledger, waiting=QUICK)):
        with contextlib.suppress(DownloadFailed):
            lost = await persist(each, completed)
        age_the_notes(store, SIX_HOURS)
    assert lost.state is Step.LOST
    emulator.fault("status", "purged", prompt=prompt)
    assert (await settle(run.ledger, f"{lost.key}@{lost.number}", "retry")).step is Step.COMPLETED
    assert (await generate(run, small(prompt))).state is Step.STORED
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_a_job_that_was_completed_lost_and_asked_for_again_can_complete_again(
    emulator: RunningEmulator, run: RenderSession, prompt: str
) -> None:
    """A record that must not be lost is not taken for the one from before the loss."""
    history = await wait(run, await submit(run, small(prompt)))
    for step in (Step.LOST, Step.ACCEPTED):
        assert history.last is not None
        history = await run.ledger.append(history, next_step(history.last, step))
    assert history.last is not None
    again = await run.ledger.append_until_in(next_step(history.last, Step.COMPLETED))
    assert (again.state, again.number) == (Step.COMPLETED, history.number + 1)
    assert (await persist(run, again)).state is Step.STORED
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_what_is_lost_without_link_and_id_has_nowhere_to_be_looked_for_until_its_id_is_found(
    emulator: RunningEmulator, run: RenderSession, client: RunpodClient, prompt: str
) -> None:
    unclear = await an_unclear_one(emulator, run, prompt, "drop_after")
    lost = await settle(run.ledger, f"{unclear.key}@{unclear.number}", "charged")
    assert "--retry" not in remedy(lost)
    with pytest.raises(BadInput, match="nowhere to look"):
        await settle(run.ledger, f"{lost.key}@{lost.number}", "retry")
    job = next(charge["job_id"] for charge in emulator.charges if charge["prompt"] == prompt)
    await settle(run.ledger, f"{lost.key}@{lost.number}", "job id", job_id=job, client=client)
    assert (await generate(run, small(prompt))).state is Step.STORED
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_a_job_whose_account_is_gone_can_be_given_up_after_the_grace_and_by_nobody_else(
    emulator: RunningEmulator, run: RenderSession, client: RunpodClient, store: Store, prompt: str
) -> None:
    accepted = (await submit(run, small(prompt))).last
    assert accepted is not None
    handle, path = f"{accepted.key}@{accepted.number}", record_path(accepted.key, accepted.number)
    assert (await waiting(run.ledger, client.account.fingerprint)).records == ()
    assert (await waiting(run.ledger)).records == ()
    with pytest.raises(BadInput, match="account is the one in use; nothing was changed"):
        await settle(run.ledger, handle, "charged", client=client)
    async with RunpodClient(Account("after-the-rotation", emulator.base_url)) as rotated:
        assert [r.key for r in (await waiting(run.ledger, rotated.account.fingerprint)).records] == [accepted.key]
        for verdict in ("not charged", "retry"):
            with pytest.raises(BadInput, match=r"is accepted; nothing was changed; only (unclear|lost) ones"):
                await settle(run.ledger, handle, verdict, client=rotated)
        with pytest.raises(BadInput, match="too early to give up"):
            await settle(run.ledger, handle, "charged", client=rotated)
        then = time.time() - GRACE_SECONDS - 1
        os.utime(Path(store.url) / path, (then, then))
        lost = await settle(run.ledger, handle, "charged", client=rotated)
    assert (lost.step, lost.by, lost.charged_usd) == (Step.LOST, "person", accepted.charged_usd)
    assert await run.ledger.markers() == []
    await settle(run.ledger, f"{lost.key}@{lost.number}", "retry")  # the old key is found after all
    assert (await generate(run, small(prompt))).state is Step.STORED
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1


async def test_a_job_whose_endpoint_was_withdrawn_can_be_given_up_after_the_grace(
    emulator: RunningEmulator, run: RenderSession, client: RunpodClient, store: Store, prompt: str
) -> None:
    accepted = (await submit(run, small(prompt))).last
    assert accepted is not None
    handle, path = f"{accepted.key}@{accepted.number}", record_path(accepted.key, accepted.number)
    emulator.fault("status", "status", code=404, detail="endpoint not found", times=1000, prompt=prompt)
    with pytest.raises(NeedsAttention, match=f"endpoint .* is not there .*settle {handle} --store … --charged"):
        await wait(run, await run.ledger.load(accepted.key), deadline=0)
    with pytest.raises(BadInput, match="too early to give up"):
        await settle(run.ledger, handle, "charged", client=client)
    then = time.time() - GRACE_SECONDS - 1
    os.utime(Path(store.url) / path, (then, then))
    lost = await settle(run.ledger, handle, "charged", client=client)
    assert (lost.step, lost.by, lost.charged_usd) == (Step.LOST, "person", accepted.charged_usd)
    assert await run.ledger.markers() == []
    assert sum(charge["prompt"] == prompt for charge in emulator.charges) == 1
