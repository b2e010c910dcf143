from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from emulating import RunningEmulator
from renderer import API_KEY, QUICK, HookedStore, small

from prefect_seedance.client import Account, RunpodClient
from prefect_seedance.errors import Taken
from prefect_seedance.generation import Run
from prefect_seedance.ledger import Ledger
from prefect_seedance.lifecycle import Step
from prefect_seedance.settling import settle
from prefect_seedance.store import Store, open_store


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
