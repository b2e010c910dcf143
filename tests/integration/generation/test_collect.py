"""The collector brings home what other runs left, names what it can't read, and never submits."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import LostRace, StoreUnavailable
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.resolve import waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import new_claim, submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, marker_path, record_path
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import History
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.responses import link_in
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.one_clip import charges
from tests.support.renderer import QUICK, HookedStore, small


@pytest.fixture
def run(client: RunpodClient, store: Store) -> RenderSession:
    return RenderSession(client, Ledger(store), waiting=QUICK)


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
