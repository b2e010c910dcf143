from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from emulating import RunningEmulator
from renderer import API_KEY, QUICK, small

from prefect_seedance.client import Account, RunpodClient
from prefect_seedance.errors import DownloadFailed, NeedsAttention
from prefect_seedance.generation import Run
from prefect_seedance.ledger import Ledger
from prefect_seedance.lifecycle import History, Step
from prefect_seedance.store import Store, open_store
from prefect_seedance.waiting import Waiting


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


@pytest.fixture
def run(client: RunpodClient, store: Store) -> Run:
    return Run(client, Ledger(store), waiting=QUICK)


@pytest.mark.parametrize("code", [500, 429, 401])
async def test_a_clip_is_not_lost_while_the_api_cannot_say_whether_its_link_is_dead(
    emulator: RunningEmulator, run: Run, prompt: str, code: int
) -> None:
    completed = await run.wait(await run.submit(small(prompt)))
    emulator.fault("media", "gone", times=3, prompt=prompt)
    emulator.fault("status", "status", code=code, times=10, prompt=prompt)
    with contextlib.suppress(DownloadFailed, NeedsAttention):
        await run.persist(completed)
    assert (await run.ledger.load(completed.key)).state in (Step.COMPLETED, Step.STORED)
    emulator.clear_faults()
    assert (await run.persist(await run.ledger.load(completed.key))).state is Step.STORED


async def test_a_clip_is_not_lost_when_another_account_asks_for_its_link(
    emulator: RunningEmulator, run: Run, prompt: str
) -> None:
    completed = await run.wait(await run.submit(small(prompt)))
    emulator.fault("media", "gone", times=3, prompt=prompt)
    emulator.fault("status", "hidden", times=10, prompt=prompt)
    async with RunpodClient(Account("another-key", emulator.base_url)) as other:
        with contextlib.suppress(DownloadFailed, NeedsAttention):
            await Run(other, run.ledger, waiting=QUICK).persist(completed)
    assert (await run.ledger.load(completed.key)).state in (Step.COMPLETED, Step.STORED)


async def accepted_in_the_future(run: Run, prompt: str) -> History:
    """A job out whose acceptance was dated by a clock that is a year ahead."""
    submitted = await run.submit(small(prompt))
    assert submitted.last is not None
    ahead = datetime.timedelta(days=365)
    dated = submitted.last.model_copy(update={"accepted_at": (submitted.last.accepted_at or submitted.last.at) + ahead})
    return History(submitted.key, (*submitted.records[:-1], dated))


async def test_a_job_that_is_dated_in_the_future_is_looked_at_within_its_usual_time(run: Run, prompt: str) -> None:
    history = await accepted_in_the_future(run, prompt)
    usual = Run(run.client, run.ledger, waiting=Waiting(pause=0.05, deadline=5))
    usual.catalog = {name: model.model_copy(update={"usual_seconds": 2}) for name, model in run.catalog.items()}
    async with asyncio.timeout(30):
        assert (await usual.wait(history)).state is Step.COMPLETED


async def test_a_job_that_is_dated_in_the_future_and_unknown_to_the_api_is_lost_by_watching(
    emulator: RunningEmulator, run: Run, prompt: str
) -> None:
    history = await accepted_in_the_future(run, prompt)
    emulator.fault("status", "purged", prompt=prompt)
    async with asyncio.timeout(30):
        assert (await run.wait(history, deadline=0)).state is Step.LOST
