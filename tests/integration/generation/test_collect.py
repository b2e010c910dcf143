from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import hashlib
import time
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import DownloadFailed, LostRace, NeedsAttention, StillRunning, StoreUnavailable
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.poll_times import Waiting
from prefect_seedance.generation.resolve import settle, waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import new_claim, submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, marker_path, record_path
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import History, remedy
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.responses import link_in
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.one_clip import charges
from tests.support.renderer import QUICK, HookedStore, age_the_notes, small

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


async def test_what_goes_wrong_with_one_clip_keeps_no_other_from_coming_home(run: RenderSession, prompt: str) -> None:
    wrong, right = [await submit(run, small(f"{prompt} {which}")) for which in ("wrong", "right")]

    async def break_down(_: str, path: str) -> None:
        if wrong.key in path:
            raise ZeroDivisionError("by nobody foreseen")

    broken = RenderSession(run.client, Ledger(HookedStore(run.ledger.store, break_down)), waiting=QUICK)
    stored: list[Record] = []
    while not stored:
        collected = await collect(broken, MonthlySpend(run.ledger.store))
        stored = collected.of(Step.STORED)
    assert [record.key for record in stored] == [right.key]
    assert collected.errors == {wrong.key: "ZeroDivisionError: by nobody foreseen."}


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
    assert (await generate(run, small(prompt))).state is Step.STORED
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
    assert f"settle {lost.key}@{lost.number} --retry" in remedy(lost)
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


async def test_two_publishers_with_different_bytes_leave_two_whole_files_and_a_record_of_one(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    run = RenderSession(client, Ledger(store), waiting=QUICK)
    completed = await wait(run, await submit(run, small(prompt)))
    other = (await wait(run, await submit(run, small(f"{prompt} other")))).last
    assert other is not None
    other_link = str(link_in(other.answer or {}, http=True))
    published: list[History] = []

    async def meanwhile(moment: str, _: str) -> None:
        if moment == "after put" and not published:
            published.append(await persist(run, completed))

    class OtherBytes(RunpodClient):
        async def download(self, link: str, path: Path, **within: Any) -> str:
            return await super().download(other_link, path, **within)

    async with OtherBytes(client.account) as slower:
        history = await persist(RenderSession(slower, Ledger(HookedStore(store, meanwhile)), waiting=QUICK), completed)
    assert history.last == published[0].last
    assert history.last is not None
    names = await store.names("clips")
    assert len(names) == 2
    for name in names:
        assert hashlib.sha256(await store.read(f"clips/{name}")).hexdigest()[:12] in name
    assert hashlib.sha256(await store.read(history.last.clip or "")).hexdigest() == history.last.sha256


async def test_the_collector_closes_an_overdue_marker_by_its_number_and_leaves_a_young_one(
    store: Store, client: RunpodClient, prompt: str
) -> None:
    async def dies_before_its_claim(moment: str, path: str) -> None:
        if moment == "before create":
            raise asyncio.CancelledError

    claims = {}
    for name, boot in (("young", "another"), ("gone", None)):
        request, run = small(f"{prompt} {name}"), RenderSession(client, Ledger(store), waiting=QUICK)
        claim = new_claim(run, History(key_of(request)), request)
        changed = {"boot": boot} if boot else {"started": "long ago"}
        claims[name] = claim.model_copy(update={"writer": claim.writer.model_copy(update=changed)})
        with pytest.raises(asyncio.CancelledError):
            await Ledger(HookedStore(store, dies_before_its_claim)).claim(History(claim.key), claims[name])
    await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))
    closed = (await Ledger(store).load(claims["gone"].key)).last
    assert closed is not None
    assert closed.step is Step.REFUSED
    assert closed.claim_id != claims["gone"].claim_id, "its writer would find itself in the record of another"
    assert (await Ledger(store).load(claims["young"].key)).records == ()
    assert await Ledger(store).markers() == [(claims["young"].key, 1)]
    with pytest.raises(LostRace):
        await Ledger(store).claim(History(claims["gone"].key), claims["gone"])


async def test_what_has_ended_is_written_down_before_anything_is_downloaded(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    """Jobs that the API does not know hold up no other, and no place is held for the time of a grace."""
    jobs = [await submit(run, small(f"{prompt} {n}")) for n in range(30)]
    emulator.fault("status", "hidden", times=1000, prompt=f"{prompt} 1")  # eleven of them: 1 and 10 to 19
    downloading: list[list[Step | None]] = []

    class Looking(RunpodClient):
        async def download(self, link: str, path: Path, **within: Any) -> str:
            downloading.append([(await Ledger(store).load(job.key)).state for job in jobs])
            return await super().download(link, path, **within)

    await asyncio.sleep(1)
    async with Looking(run.client.account) as client, asyncio.timeout(60):
        collected = await collect(
            RenderSession(client, Ledger(store), waiting=dataclasses.replace(QUICK, grace=150)), MonthlySpend(store)
        )
    assert downloading[0].count(Step.COMPLETED) == 19
    assert (len(collected.of(Step.STORED)), len(collected.of(Step.ACCEPTED))) == (19, 11)
    assert len(await store.names("ledger-seen")) == 11
    assert sum(charge["prompt"].startswith(prompt) for charge in emulator.charges) == 30


async def test_a_download_that_takes_long_keeps_no_job_from_being_looked_at(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    slow, running = [await submit(run, small(f"{prompt} {which}")) for which in ("slow", "running")]
    emulator.fault("media", "slow", seconds=8, times=1, prompt=f"{prompt} slow")
    emulator.fault("status", "unknown_word", times=3, prompt=f"{prompt} running")
    await asyncio.sleep(1)
    async with asyncio.timeout(60):
        collected = await collect(RenderSession(run.client, Ledger(store), waiting=QUICK), MonthlySpend(store))
    assert {record.key for record in collected.of(Step.STORED)} == {slow.key, running.key}
    assert sum(charge["prompt"].startswith(prompt) for charge in emulator.charges) == 2


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


def damage(store: Store, path: str) -> None:
    (Path(store.url) / path).write_text("{")


async def test_what_cannot_be_read_is_named_and_the_rest_comes_home(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    record, missing, right = [await submit(run, small(f"{prompt} {n}")) for n in ("record", "missing", "right")]
    damage(store, record_path(record.key, 2))
    for number in (1, 2):
        (Path(store.url) / record_path(missing.key, number)).unlink()
    damage(store, marker_path(missing.key, 1))
    await asyncio.sleep(1)
    told = (await collect(run, MonthlySpend(store))).as_json()
    assert sorted(error["key"] for error in told["errors"]) == sorted([record.key, missing.key])
    assert all("damaged" in error["error"] for error in told["errors"])
    assert [clip["key"] for clip in told["clips"] if clip["status"] == "stored"] == [right.key]
    assert sum(charge["prompt"].startswith(prompt) for charge in emulator.charges) == 3


async def takes_nothing(moment: str, path: str) -> None:
    """A read-only store, or a full one."""
    if moment.split()[0] == "before" and moment.split()[1] in ("create", "write", "put", "delete", "age"):
        raise StoreUnavailable(f"The store failed at {path} (Read-only file system).")


async def test_collecting_and_listing_end_on_a_store_that_takes_nothing_and_show_what_is_unclear(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    request = small(f"{prompt} overdue")
    claim = new_claim(run, History(key_of(request)), request)
    gone = claim.model_copy(update={"writer": claim.writer.model_copy(update={"started": "long ago"})})
    await Ledger(store).claim(History(claim.key), gone)
    out = await submit(run, small(f"{prompt} out"))
    read_only = Ledger(HookedStore(store, takes_nothing))
    async with asyncio.timeout(20):
        collected = await collect(RenderSession(run.client, read_only, waiting=QUICK), MonthlySpend(read_only.store))
        waiting_ones = await waiting(read_only)
    assert [record.key for record in collected.of(Step.UNCLEAR)] == [claim.key]
    assert [(record.key, record.number) for record in waiting_ones.records] == [(claim.key, 2)]
    assert "takes no files now" in collected.errors[out.key]
    assert [(await Ledger(store).load(h)).number for h in (claim.key, out.key)] == [1, 2]
    assert len((await collect(run, MonthlySpend(store))).of(Step.STORED, Step.ACCEPTED)) == 1
    assert sum(charge["prompt"].startswith(prompt) for charge in emulator.charges) == 1


def failing_at_the_second_look(store: Store, error: Exception) -> HookedStore:
    """Its markers can be listed once; the second time *error* is raised, and never again."""
    looks: list[str] = []

    async def fail(moment: str, path: str) -> None:
        if (moment, path) == ("before names", "ledger-open"):
            looks.append(path)
            if len(looks) == 2:
                raise error

    return HookedStore(store, fail)


async def test_a_store_that_is_silent_for_a_moment_ends_no_download(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    await submit(run, small(prompt))
    emulator.fault("media", "slow", seconds=4, times=1, prompt=prompt)
    await asyncio.sleep(1)
    blips = Ledger(failing_at_the_second_look(store, StoreUnavailable("the store answers 503.")))
    collected = await collect(RenderSession(run.client, blips, waiting=QUICK), MonthlySpend(store))
    assert len(collected.of(Step.STORED)) == 1
    assert charges(emulator, prompt) == 1


async def test_collecting_that_fails_leaves_no_download_behind_that_still_uses_the_client(
    emulator: RunningEmulator, run: RenderSession, store: Store, prompt: str
) -> None:
    await submit(run, small(prompt))
    emulator.fault("media", "slow", seconds=20, times=1, prompt=prompt)
    going_on: list[str] = []

    class Slow(RunpodClient):
        async def download(self, link: str, path: Path, **within: Any) -> str:
            going_on.append(link)
            try:
                return await super().download(link, path, **within)
            finally:
                await asyncio.sleep(0)
                going_on.remove(link)

    await asyncio.sleep(1)
    broken = Ledger(failing_at_the_second_look(store, ZeroDivisionError("by nobody foreseen")))
    async with Slow(run.client.account) as client:
        with pytest.raises(ZeroDivisionError):
            await collect(RenderSession(client, broken, waiting=QUICK), MonthlySpend(store))
        assert going_on == []
    assert charges(emulator, prompt) == 1
