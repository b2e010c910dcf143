"""An emulator whose jobs end at once, shared by a file, and for each test a store, a client and a prompt of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.renderer import API_KEY


@pytest.fixture(scope="module")
def shared_emulator() -> Iterator[RunningEmulator]:
    with RunningEmulator.start(latency=0.01) as running:
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
