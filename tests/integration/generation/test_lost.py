"""When a job or a clip counts as lost, and when it does not yet: a lost one is never paid for again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
import time
from typing import Any

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import DownloadFailed, NeedsAttention, StillRunning
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.poll_times import Waiting
from prefect_seedance.generation.resolve import settle
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step
from prefect_seedance.ledger.rules import History, remedy
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.one_clip import charges
from tests.support.renderer import QUICK, age_the_notes, small

SIX_HOURS = 6 * 3600.0
"""As the protocol says: what is lost has been seen by another run so long ago."""


@pytest.fixture
def run(client: RunpodClient, store: Store) -> RenderSession:
    return RenderSession(client, Ledger(store), waiting=QUICK)


@pytest.mark.parametrize("code", [500, 429, 401])
async def test_a_clip_is_not_lost_while_the_api_cannot_say_whether_its_link_is_dead(
    emulator: RunningEmulator, run: RenderSession, prompt: str, code: int
) -> None:
    completed = await wait(run, await submit(run, small(prompt)))
    emulator.fault("media", "gone", times=3, prompt=prompt)
    emulator.fault("status", "status", code=code, times=10, prompt=prompt)
    with contextlib.suppress(DownloadFailed, NeedsAttention):
        await persist(run, completed)
    assert (await run.ledger.load(completed.key)).state in (Step.COMPLETED, Step.STORED)
    emulator.clear_faults()
    assert (await persist(run, await run.ledger.load(completed.key))).state is Step.STORED


async def test_a_clip_is_not_lost_when_another_account_asks_for_its_link(
    emulator: RunningEmulator, run: RenderSession, prompt: str
) -> None:
    completed = await wait(run, await submit(run, small(prompt)))
    emulator.fault("media", "gone", times=3, prompt=prompt)
    emulator.fault("status", "hidden", times=10, prompt=prompt)
    async with RunpodClient(Account("another-key", emulator.base_url)) as other:
        with contextlib.suppress(DownloadFailed, NeedsAttention):
            await persist(RenderSession(other, run.ledger, waiting=QUICK), completed)
    assert (await run.ledger.load(completed.key)).state in (Step.COMPLETED, Step.STORED)


async def accepted_in_the_future(run: RenderSession, prompt: str) -> History:
    """A job out whose acceptance was dated by a clock that is a year ahead."""
    submitted = await submit(run, small(prompt))
    assert submitted.last is not None
    ahead = datetime.timedelta(days=365)
    dated = submitted.last.model_copy(update={"accepted_at": (submitted.last.accepted_at or submitted.last.at) + ahead})
    return History(submitted.key, (*submitted.records[:-1], dated))


async def test_a_job_that_is_dated_in_the_future_is_looked_at_within_its_usual_time(
    run: RenderSession, prompt: str
) -> None:
    history = await accepted_in_the_future(run, prompt)
    usual = RenderSession(run.client, run.ledger, waiting=Waiting(pause=0.05, deadline=5))
    usual.catalog = {name: model.model_copy(update={"usual_seconds": 2}) for name, model in run.catalog.items()}
    async with asyncio.timeout(30):
        assert (await wait(usual, history)).state is Step.COMPLETED


async def test_a_job_that_is_dated_in_the_future_and_unknown_to_the_api_is_lost_by_watching(
    emulator: RunningEmulator, run: RenderSession, prompt: str
) -> None:
    history = await accepted_in_the_future(run, prompt)
    emulator.fault("status", "purged", prompt=prompt)
    with pytest.raises(StillRunning, match="not known to the API"):
        await wait(run, history, deadline=0)
    async with asyncio.timeout(30):
        assert (await wait(run, history)).state is Step.LOST


async def test_a_job_is_lost_by_a_404_only_for_its_own_account_with_the_right_words_and_after_the_grace(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    run = RenderSession(client, Ledger(store), waiting=QUICK)
    submitted = await submit(run, small(prompt))
    emulator.fault("status", "hidden", prompt=prompt)
    async with RunpodClient(Account("another-key", emulator.base_url)) as other:
        with pytest.raises(NeedsAttention, match="another API key"):
            await wait(RenderSession(other, Ledger(store), waiting=QUICK), submitted)
    emulator.fault("status", "status", code=404, detail="endpoint not found", prompt=prompt)
    with pytest.raises(NeedsAttention, match="endpoint"):
        await wait(run, submitted)
    emulator.fault("status", "status", code=404, detail="no such page", times=1000, prompt=prompt)
    with pytest.raises(StillRunning):
        await wait(run, submitted, deadline=2 * QUICK.grace)
    emulator.clear_faults()
    emulator.fault("status", "hidden", times=2, prompt=prompt)
    assert (await run.ledger.load(submitted.key)).state is Step.ACCEPTED
    patient = RenderSession(client, Ledger(store), waiting=dataclasses.replace(QUICK, grace=150))
    assert (await generate(patient, small(prompt))).state is Step.STORED
    assert charges(emulator, prompt) == 1


async def test_a_job_that_stays_unknown_past_the_grace_is_lost_and_not_paid_for_again(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    run = RenderSession(client, Ledger(store), waiting=QUICK, retry_failed=1)
    submitted = await submit(run, small(prompt))
    emulator.fault("status", "purged", prompt=prompt)
    began = time.monotonic()
    assert (await wait(run, submitted)).state is Step.LOST
    assert time.monotonic() - began >= QUICK.grace
    assert (await generate(run, small(prompt))).state is Step.LOST
    assert await run.ledger.markers() == []
    assert charges(emulator, prompt) == 1


async def unseen_so_far(run: RenderSession, history: History) -> None:
    with pytest.raises(DownloadFailed, match="paid for and stays completed"):
        await persist(run, history)
    assert (await run.ledger.load(history.key)).state is Step.COMPLETED


@pytest.mark.parametrize(
    "fault", [{"fault": "gone"}, {"fault": "status", "code": 403}, {"fault": "html"}, {"fault": "corrupt"}], ids=str
)
async def test_trouble_at_the_media_host_loses_no_clip_however_often_one_run_sees_it(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str, fault: dict[str, Any]
) -> None:
    completed = await wait(run, await submit(run, small(prompt)))
    emulator.fault("media", **fault, times=100, prompt=prompt)
    await unseen_so_far(run, completed)
    assert age_the_notes(store, 7 * 24 * 3600) == 1
    await unseen_so_far(run, completed)
    emulator.clear_faults()
    assert (await persist(run, completed)).state is Step.STORED
    assert charges(emulator, prompt) == 1


async def test_a_dead_link_is_a_clip_lost_only_when_another_run_sees_it_again_hours_later(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    completed = await wait(run, await submit(run, small(prompt)))
    emulator.fault("media", "gone", times=100, prompt=prompt)
    await unseen_so_far(run, completed)
    another = RenderSession(run.client, Ledger(store), waiting=QUICK)
    age_the_notes(store, SIX_HOURS - 60)
    await unseen_so_far(another, completed)
    age_the_notes(store, 60)
    lost = (await persist(another, completed)).last
    assert lost is not None
    assert lost.step is Step.LOST
    assert f"settle {lost.key}@{lost.number} --store … --retry" in remedy(lost)
    assert charges(emulator, prompt) == 1


async def test_a_clip_that_comes_damaged_alike_hours_later_is_kept_as_it_is_and_can_be_asked_for_again(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    completed = await wait(run, await submit(run, small(prompt)))
    emulator.fault("media", "corrupt", times=6, prompt=prompt)
    await unseen_so_far(run, completed)
    age_the_notes(store, SIX_HOURS)
    another = RenderSession(run.client, Ledger(store), waiting=QUICK)
    lost = (await persist(another, completed)).last
    assert lost is not None
    assert (lost.step, lost.kind) == (Step.LOST, "unreadable")
    assert lost.clip is not None
    assert lost.clip in (lost.reason or "")
    assert hashlib.sha256(await store.read(lost.clip)).hexdigest() == lost.sha256
    assert (await settle(another.ledger, f"{lost.key}@{lost.number}", "retry")).clip is None
    [stored] = (await collect(another, MonthlySpend(store))).of(Step.STORED)
    assert (stored.clip or "").endswith(".mp4")
    assert await store.names("ledger-seen") == []
    assert charges(emulator, prompt) == 1


async def test_a_dead_link_that_is_signed_anew_each_time_ends_the_call_and_not_the_clip(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    completed = await wait(run, await submit(run, small(prompt)))
    emulator.fault("media", "gone", times=1000, prompt=prompt)
    emulator.fault("status", "signed", times=1000, prompt=prompt)
    async with asyncio.timeout(60):
        await unseen_so_far(run, completed)
    assert await store.names("ledger-seen") == []  # the API still has other links
    emulator.clear_faults()
    assert (await persist(run, completed)).state is Step.STORED
    assert charges(emulator, prompt) == 1


@pytest.mark.parametrize("fault", ["corrupt", "short", "truncated", "gone"])
async def test_a_damaged_download_or_a_dead_link_is_tried_again_for_nothing(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, fault: str
) -> None:
    emulator.fault("media", fault, times=2, prompt=prompt)
    stored = (await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))).last
    assert stored is not None
    assert stored.step is Step.STORED
    assert hashlib.sha256(await store.read(stored.clip or "")).hexdigest() == stored.sha256
    assert charges(emulator, prompt) == 1


async def test_a_404_that_a_later_look_contradicts_counts_no_longer(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    await submit(run, small(prompt))
    for fault in ("hidden", "unknown_word", "hidden"):
        emulator.fault("status", fault, prompt=prompt)
        collected = await collect(RenderSession(run.client, Ledger(store), waiting=QUICK), MonthlySpend(store))
        assert len(collected.of(Step.ACCEPTED)) == 1, fault
        age_the_notes(store, QUICK.grace)
    collected = await collect(RenderSession(run.client, Ledger(store), waiting=QUICK), MonthlySpend(store))
    assert len(collected.of(Step.STORED)) == 1

    assert charges(emulator, prompt) == 1
