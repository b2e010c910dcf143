"""Each rule of the ledger has a test here that goes red without it. Near money the last line counts charges."""

# What other processes and threads do can only be looked at, and a test has nothing else to do while it waits.

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.catalog.loading import VARIABLE
from prefect_seedance.errors import OverBudget, StoreUnavailable, Taken, TooLate
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import new_claim, submit
from prefect_seedance.keys import key_of
from prefect_seedance.ledger.ledger import Ledger, marker_path
from prefect_seedance.ledger.record import Step
from prefect_seedance.ledger.rules import History
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.generating import generate
from tests.support.one_clip import charges
from tests.support.raw_server import RawServer
from tests.support.renderer import API_KEY, QUICK, HookedStore, budget_of, small
from tests.support.roads import ROADS, rows_file

BY_BOTH = pytest.mark.parametrize("road", ["run", "runsync"])


async def let_the_marker_grow_old(store: Store) -> None:
    """As if its writer, on another machine, had slept for two minutes since."""
    ((key, number),) = await Ledger(store).markers()
    marker = await Ledger(store).marker(key, number)
    assert marker is not None
    elsewhere = marker.writer.model_copy(update={"boot": "another"})
    behind = {"claimed_at": marker.claimed_at - datetime.timedelta(minutes=2), "writer": elsewhere}
    await store.write(marker_path(key, number), marker.model_copy(update=behind).model_dump_json().encode())


async def test_a_writer_whose_number_the_collector_has_closed_does_not_send(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """The record that closes a number carries the claim id of the marker, and must not pass for the writer's claim."""
    collected: list[bool] = []

    async def between_marker_and_claim(moment: str, path: str) -> None:
        if moment == "before create" and path.startswith("ledger/") and not collected:
            collected.append(True)
            await let_the_marker_grow_old(store)
            await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))

    away = RenderSession(client, Ledger(HookedStore(store, between_marker_and_claim)), waiting=QUICK)
    await generate(away, small(prompt))
    history = await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
    assert history.state is Step.STORED
    assert charges(emulator, prompt) == 1


@BY_BOTH
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
async def test_a_process_that_is_asked_to_stop_during_the_post_still_writes_its_outcome_down(
    emulator: RunningEmulator,
    store: Store,
    client: RunpodClient,
    prompt: str,
    number: signal.Signals,
    road: str,
    tmp_path: Path,
) -> None:
    emulator.fault(road, "slow", seconds=2, prompt=prompt)
    before = emulator.calls()[road]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.renderer", emulator.base_url, store.url, prompt],
        stderr=subprocess.DEVNULL,
        env=os.environ | ({VARIABLE: rows_file(tmp_path)} if road == "runsync" else {}),
    )
    while emulator.calls()[road] == before and process.poll() is None:
        await asyncio.sleep(0.02)
    process.send_signal(number)
    process.wait()
    history = await Ledger(store).load(key_of(small(prompt)))
    assert steps(history) == "claimed accepted" + (" completed" if road == "runsync" else "")
    history = await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
    assert history.state is Step.STORED
    assert charges(emulator, prompt) == 1


async def test_a_verified_file_survives_a_cancelled_run_while_the_store_is_down(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    refused = asyncio.Event()
    down = True

    async def publishing(moment: str, _: str) -> None:
        if moment == "before put" and down:
            refused.set()
            raise StoreUnavailable("the store is down.")

    run = RenderSession(client, Ledger(HookedStore(store, publishing)), waiting=QUICK)
    task = asyncio.create_task(generate(run, small(prompt)))
    await refused.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=1)
    emulator.fault("media", "gone", times=100, prompt=prompt)  # what is in hand is all that there is
    down = False
    async with asyncio.timeout(30):
        while (await run.ledger.load(key_of(small(prompt)))).state is not Step.STORED:
            await asyncio.sleep(0.05)
    assert charges(emulator, prompt) == 1


async def test_a_cancelled_run_gives_back_no_money_that_a_claim_on_its_way_still_spends(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """As `rendering` does when it ends: cancel the shots, then settle. The claim and its POST can't be cancelled."""
    on_its_way, cancelled = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def claiming(moment: str, path: str) -> None:
        if moment == "before create" and path.endswith("/0001.json"):
            loop.call_soon_threadsafe(on_its_way.set)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(cancelled.wait(), loop))

    spending, key, now = MonthlySpend(store), key_of(small(prompt)), datetime.datetime.now(datetime.UTC)
    budget = budget_of(store, small(prompt), limits=Limits(per_day=Decimal(1)))
    await budget.reserve()
    run = RenderSession(client, Ledger(HookedStore(store, claiming)), waiting=QUICK, budget=budget)
    task = asyncio.create_task(generate(run, small(prompt)))
    await on_its_way.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=1)  # it may wait for the claim, or keep the money reserved
    cancelled.set()
    await asyncio.wait({task})
    assert await run.budget.close() == []
    async with asyncio.timeout(30):
        while (await Ledger(store).load(key)).state in (None, Step.CLAIMED):
            await asyncio.sleep(0.05)
    usage = await spending.usage(now)
    spent = sum(Decimal(str(charge["usd"])) for charge in emulator.charges if charge["prompt"] == prompt)
    assert usage.day.taken_usd >= spent


async def test_a_reservation_whose_put_lands_late_counts_once(store: Store) -> None:
    late: list[tuple[str, bytes]] = []

    class Late(HookedStore):
        async def create(self, path: str, content: bytes) -> None:
            if "/reservations/" in path:
                await self.inner.create(path, content)
                return
            if not late:
                late.append((path, content))
                raise StoreUnavailable("no answer.")
            if len(late) == 1:
                late.append(late[0])
                await self.inner.create(*late[0])
            await self.inner.create(path, content)

    async def nothing(moment: str, path: str) -> None:
        pass

    now = datetime.datetime.now(datetime.UTC)
    spending = MonthlySpend(Late(store, nothing))
    await spending.reserve({"sd1-a": Decimal(1)}, Limits(per_day=Decimal(5)), this_writer(), now)
    assert (await spending.usage(now)).day.reserved_usd == 1


def steps(history: History) -> str:
    return " ".join(record.step for record in history.records)


@BY_BOTH
async def test_an_own_claim_reported_as_taken_is_submitted_once_and_needs_nobody(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, road: str
) -> None:
    async def repeated(moment: str, path: str) -> None:
        if moment == "after create" and path.startswith("ledger/"):
            raise Taken(f"{path} exists already.")

    hooked = Ledger(HookedStore(store, repeated))
    await generate(RenderSession(client, hooked, waiting=QUICK, catalog=ROADS[road]), small(prompt))
    history = await Ledger(store).load(key_of(small(prompt)))
    assert history.state is Step.STORED
    assert history.number == 4
    assert charges(emulator, prompt) == 1


@BY_BOTH
async def test_two_writers_of_one_flow_run_submit_once(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, road: str
) -> None:
    """A retried task has the flow run and task run of its first try, which may still be alive."""
    both = [
        RenderSession(client, Ledger(store), waiting=QUICK, flow_run_id="one", catalog=ROADS[road]) for _ in range(2)
    ]
    histories = await asyncio.gather(*(generate(run, small(prompt)) for run in both))
    assert [history.state for history in histories] == [Step.STORED] * 2
    assert charges(emulator, prompt) == 1


async def test_not_a_byte_of_a_late_claim_leaves(prompt: str) -> None:
    async with RawServer() as server, RunpodClient(Account(API_KEY, server.base_url)) as client:
        with pytest.raises(TooLate):
            await client.submit("seedance-1-0-pro", {}, late=lambda: True)
        while not server.received:
            await asyncio.sleep(0)
        assert server.received == [b""]


async def test_every_post_goes_out_on_a_connection_of_its_own(prompt: str) -> None:
    """A process that was suspended past the late check must wake to a connection that is closed."""
    async with RawServer() as server, RunpodClient(Account(API_KEY, server.base_url)) as client:
        for _ in range(3):
            await client.status("seedance-1-0-pro", "job-u1")
            await client.submit("seedance-1-0-pro", {})
        posts = [taken for taken in server.received if taken.startswith(b"POST")]
        assert [taken.count(b"POST /v2/") for taken in posts] == [1, 1, 1]
        assert [taken.count(b"GET /v2/") for taken in posts] == [0, 0, 0]


async def test_what_an_answer_echoes_of_the_request_is_in_no_record(store: Store, prompt: str) -> None:
    async with RawServer() as server, RunpodClient(Account(API_KEY, server.base_url)) as client:
        history = await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(prompt))
        assert history.state is Step.FAILED
    assert b"no luck" in everything_in(store)
    assert b"secret-link" not in everything_in(store)


async def test_the_key_is_in_no_file_of_the_store_and_never_goes_to_the_media_host(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, tmp_path: Path
) -> None:
    emulator.fault("run", "status", code=401, detail=f"bad token {prompt}", prompt=f"{prompt} refused")
    emulator.fault("run", "drop_after", prompt=f"{prompt} unclear")
    for one in ("refused", "unclear", "stored"):
        await generate(RenderSession(client, Ledger(store), waiting=QUICK), small(f"{prompt} {one}"))
    assert API_KEY.encode() not in everything_in(store)
    async with RawServer() as server:
        await client.download(server.base_url, tmp_path / "clip")
        assert b"authorization" not in bytes(server.received[0]).lower()
        assert API_KEY.encode() not in server.received[0]
        async with RunpodClient(Account(API_KEY, server.base_url)) as told:
            await told.status("seedance-1-0-pro", "job-u1")
        assert f"Bearer {API_KEY}".encode() in server.received[1]


def everything_in(store: Store) -> bytes:
    files = [file for file in Path(store.url).rglob("*") if file.is_file()]
    assert files
    return b"".join(file.read_bytes() for file in files)


@BY_BOTH
async def test_what_was_surely_not_accepted_is_claimed_anew(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, road: str
) -> None:
    emulator.fault(road, "status", code=429, retry_after=0, times=2, prompt=prompt)
    submitted = await submit(RenderSession(client, Ledger(store), waiting=QUICK, catalog=ROADS[road]), small(prompt))
    steps_taken = "claimed refused claimed refused claimed accepted"
    assert steps(submitted) == steps_taken + (" completed" if road == "runsync" else "")
    assert len({record.claim_id for record in submitted.records}) == 3
    assert submitted.last is not None
    assert submitted.last.attempt == 3
    assert charges(emulator, prompt) == 1


@BY_BOTH
async def test_a_post_that_could_not_connect_is_refused_and_the_next_run_claims_anew(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, road: str
) -> None:
    async with RunpodClient(Account(API_KEY, "http://127.0.0.1:9/v2")) as nowhere:
        run = RenderSession(nowhere, Ledger(store), waiting=QUICK, catalog=ROADS[road])
        trying = asyncio.create_task(submit(run, small(prompt)))
        async with asyncio.timeout(30):
            while (await Ledger(store).load(key_of(small(prompt)))).state is not Step.REFUSED:
                await asyncio.sleep(0.01)
        trying.cancel()
    run = RenderSession(client, Ledger(store), waiting=QUICK, catalog=ROADS[road])
    assert (await generate(run, small(prompt))).state is Step.STORED
    assert charges(emulator, prompt) == 1


AMBIGUOUS: list[dict[str, Any]] = [
    {"fault": "drop"},
    {"fault": "drop_after"},
    {"fault": "half"},
    {"fault": "no_id"},
    {"fault": "html"},
    {"fault": "redirect"},
    {"fault": "silent"},
    {"fault": "accept_late"},
    {"fault": "status", "code": 500},
    {"fault": "status", "code": 503, "html": True, "accept": True},
    {"fault": "status", "code": 408, "html": True, "accept": True},
    {"fault": "status", "code": 499, "html": True, "accept": True},
]


@BY_BOTH
@pytest.mark.parametrize("fault", AMBIGUOUS, ids=lambda fault: f"{fault['fault']} {fault.get('code', '')}")
async def test_an_ambiguous_answer_is_unclear_and_never_followed_by_a_second_post(
    emulator: RunningEmulator, store: Store, prompt: str, fault: dict[str, Any], road: str
) -> None:
    emulator.fault(road, **fault, prompt=prompt)
    before = emulator.calls()[road]
    async with RunpodClient(Account(API_KEY, emulator.base_url), answer_seconds=0.5) as client:
        for retry in (0, 3):
            run = RenderSession(client, Ledger(store), waiting=QUICK, retry_failed=retry, catalog=ROADS[road])
            assert steps(await generate(run, small(prompt))) == "claimed unclear"
        await collect(RenderSession(client, Ledger(store), waiting=QUICK), MonthlySpend(store))
    assert steps(await Ledger(store).load(key_of(small(prompt)))) == "claimed unclear"
    assert emulator.calls()[road] == before + 1


ENDS: list[tuple[dict[str, Any], Step, int, int]] = [
    ({"fault": "failed"}, Step.STORED, 2, 1),
    ({"fault": "timed_out"}, Step.STORED, 2, 1),
    ({"fault": "moderated"}, Step.FAILED, 1, 0),
    ({"fault": "failed", "cost": 0.04}, Step.LOST, 1, 1),
    ({"fault": "timed_out", "cost": 0.04}, Step.LOST, 1, 1),
    ({"fault": "cancelled"}, Step.LOST, 1, 1),
    ({"fault": "cancelled", "cost": 0}, Step.LOST, 1, 0),
]


@BY_BOTH
@pytest.mark.parametrize(("fault", "state", "posts", "charged"), ENDS, ids=lambda value: str(value))
async def test_only_a_free_failure_is_claimed_again_and_only_if_allowed(
    emulator: RunningEmulator,
    store: Store,
    client: RunpodClient,
    prompt: str,
    fault: dict[str, Any],
    state: Step,
    posts: int,
    charged: int,
    road: str,
) -> None:
    emulator.fault(road, **fault, prompt=prompt)
    before = emulator.calls()[road]
    for _ in range(2):
        once = RenderSession(client, Ledger(store), waiting=QUICK, catalog=ROADS[road])
        first = await generate(once, small(prompt))
        assert first.state in (Step.FAILED, Step.LOST)
    assert emulator.calls()[road] == before + 1
    allowed = RenderSession(client, Ledger(store), waiting=QUICK, retry_failed=1, catalog=ROADS[road])
    assert (await generate(allowed, small(prompt))).state is state
    assert emulator.calls()[road] == before + posts
    assert charges(emulator, prompt) == charged


async def test_a_claim_that_is_dated_in_the_future_is_overdue_by_watching(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    run = RenderSession(client, Ledger(store), waiting=QUICK)
    claim = new_claim(run, History(key_of(small(prompt))), small(prompt))
    ahead = {"claimed_at": claim.claimed_at + datetime.timedelta(days=365), "submit_timeout_seconds": 0.3}
    elsewhere = claim.writer.model_copy(update={"boot": "another"})
    await Ledger(store).claim(History(claim.key), claim.model_copy(update={**ahead, "writer": elsewhere}))
    async with asyncio.timeout(20):
        assert steps(await submit(run, small(prompt))) == "claimed unclear"
    assert charges(emulator, prompt) == 0


@BY_BOTH
async def test_a_claim_past_the_end_of_its_reservation_is_not_submitted(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, road: str
) -> None:
    budget = budget_of(store, small(prompt), limits=Limits(per_day=Decimal(1)), lasts=2.0)
    await budget.reserve()
    seen: list[History] = []

    async def slow(moment: str, path: str) -> None:
        if moment == "after create" and path.startswith("ledger/") and path.endswith("/0001.json"):
            await asyncio.sleep(2.5)  # the claim is in, and its reservation ends before anything is sent
        if moment == "after create" and path.startswith("ledger/") and path.endswith("/0002.json"):
            seen.append(await Ledger(store).load(key_of(small(prompt))))
            budget.stop("the test has seen enough")

    hooked = Ledger(HookedStore(store, slow))
    run = RenderSession(client, hooked, waiting=QUICK, budget=budget, catalog=ROADS[road])
    with pytest.raises(OverBudget):
        await submit(run, small(prompt))
    assert steps(seen[0]) == "claimed refused"
    assert seen[0].last is not None
    assert seen[0].last.kind == "late"
    assert charges(emulator, prompt) == 0


async def test_what_another_run_has_done_meanwhile_is_seen(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    run, other = (RenderSession(client, Ledger(store), waiting=QUICK) for _ in range(2))
    accepted = (await submit(run, small(prompt))).last
    stored = (await generate(other, small(prompt))).last
    assert accepted is not None
    assert stored is not None
    assert (await run.history_of(stored)).state is Step.STORED
    again = await persist(run, await wait(run, await run.history_of(accepted)))
    assert (again.last, again.state) == (stored, Step.STORED)
    assert charges(emulator, prompt) == 1
