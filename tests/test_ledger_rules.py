"""Each rule of the ledger has a test here that goes red without it. Near money the last line counts charges."""

# What other processes and threads do can only be looked at, and a test has nothing else to do while it waits.

from __future__ import annotations

import asyncio
import datetime
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from emulating import RunningEmulator
from renderer import API_KEY, QUICK, HookedStore, small

from prefect_seedance.client import Account, RunpodClient
from prefect_seedance.collecting import collect
from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.fingerprint import key_of
from prefect_seedance.generation import Run
from prefect_seedance.ledger import Ledger, this_writer
from prefect_seedance.lifecycle import History, Record, Step
from prefect_seedance.models import Request
from prefect_seedance.spending import Limits, Spending
from prefect_seedance.store import Store, open_store

RENDERER = Path(__file__).with_name("renderer.py")


@pytest.fixture(scope="module")
def shared_emulator() -> Iterator[RunningEmulator]:
    with RunningEmulator.start(speed=20, latency=0.2) as running:
        yield running


@pytest.fixture
def emulator(shared_emulator: RunningEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunningEmulator:
    shared_emulator.clear_faults()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return shared_emulator


@pytest.fixture
def prompt(tmp_path: Path) -> str:
    """Of this test alone, so that its charges can be told apart."""
    return str(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
async def client(emulator: RunningEmulator) -> AsyncIterator[RunpodClient]:
    async with RunpodClient(Account(API_KEY, emulator.base_url)) as opened:
        yield opened


def charges(emulator: RunningEmulator, prompt: str) -> int:
    return sum(charge["prompt"] == prompt for charge in emulator.charges)


class OnAnotherMachine(Run):
    """A run whose machine has a clock that is two minutes behind ours."""

    def _new_claim(self, history: History, request: Request) -> Record:
        claim, behind = super()._new_claim(history, request), datetime.timedelta(minutes=2)
        writer = claim.writer.model_copy(update={"boot": "another"})
        return claim.model_copy(
            update={"at": claim.at - behind, "claimed_at": claim.claimed_at - behind, "writer": writer}
        )


async def test_a_writer_whose_number_the_collector_has_closed_does_not_send(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str
) -> None:
    """The record that closes a number carries the claim id of the marker, and must not pass for the writer's claim."""
    collected: list[bool] = []

    async def between_marker_and_claim(moment: str, path: str) -> None:
        if moment == "before create" and path.startswith("ledger/") and not collected:
            collected.append(True)
            await collect(Run(client, Ledger(store), waiting=QUICK), Spending(store))

    away = OnAnotherMachine(client, Ledger(HookedStore(store, between_marker_and_claim)), waiting=QUICK)
    await away.generate(small(prompt))
    history = await Run(client, Ledger(store), waiting=QUICK).generate(small(prompt))
    assert history.state is Step.STORED
    assert charges(emulator, prompt) == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
async def test_a_process_that_is_asked_to_stop_during_the_post_still_writes_its_outcome_down(
    emulator: RunningEmulator, store: Store, client: RunpodClient, prompt: str, number: signal.Signals
) -> None:
    emulator.fault("run", "slow", seconds=2, prompt=prompt)
    before = emulator.calls()["run"]
    process = subprocess.Popen(
        [sys.executable, str(RENDERER), emulator.base_url, store.url, prompt], stderr=subprocess.DEVNULL
    )
    while emulator.calls()["run"] == before and process.poll() is None:
        await asyncio.sleep(0.02)
    process.send_signal(number)
    process.wait()
    history = await Ledger(store).load(key_of(small(prompt)))
    assert [record.step for record in history.records] == [Step.CLAIMED, Step.ACCEPTED]
    history = await Run(client, Ledger(store), waiting=QUICK).generate(small(prompt))
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

    run = Run(client, Ledger(HookedStore(store, publishing)), waiting=QUICK)
    task = asyncio.create_task(run.generate(small(prompt)))
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

    spending, key, now = Spending(store), key_of(small(prompt)), datetime.datetime.now(datetime.UTC)
    reservation = await spending.reserve({key: Decimal(1)}, Limits(per_day=Decimal(1)), this_writer(), now)
    run = Run(client, Ledger(HookedStore(store, claiming)), waiting=QUICK)
    run.purse.spending, run.purse.reservation = spending, reservation
    task = asyncio.create_task(run.generate(small(prompt)))
    await on_its_way.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=1)  # it may wait for the claim, or keep the money reserved
    cancelled.set()
    await asyncio.wait({task})
    await settle_as_rendering_does(run)
    async with asyncio.timeout(30):
        while (await Ledger(store).load(key)).state in (None, Step.CLAIMED):
            await asyncio.sleep(0.05)
    standing = await spending.standing(now)
    spent = sum(Decimal(str(charge["usd"])) for charge in emulator.charges if charge["prompt"] == prompt)
    assert standing.day.taken_usd >= spent


async def settle_as_rendering_does(run: Run) -> None:
    from prefect_seedance.rendering import _settle  # a slow import

    await _settle(run)


async def test_a_reservation_whose_put_lands_late_counts_once(store: Store) -> None:
    late: list[tuple[str, bytes]] = []

    class Late(HookedStore):
        async def create(self, path: str, content: bytes) -> None:
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
    spending = Spending(Late(store, nothing))
    await spending.reserve({"sd1-a": Decimal(1)}, Limits(per_day=Decimal(5)), this_writer(), now)
    assert (await spending.standing(now)).day.reserved_usd == 1
