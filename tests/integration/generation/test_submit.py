"""Each rule of the ledger has a test here that goes red without it. Near money the last line counts charges."""

from __future__ import annotations

import asyncio
import datetime
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

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
