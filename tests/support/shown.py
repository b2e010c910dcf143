"""What a real Prefect server has to say of a run: its artifacts and its events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from pydantic import SecretStr

from prefect_seedance import RunpodCredentials, VideoStore
from tests.support.emulating import RunningEmulator
from tests.support.prefect_server import RunningPrefect


@pytest.fixture
def serving(tmp_path: Path, prefect_server: RunningPrefect) -> Iterator[RunningEmulator]:
    """An emulator that serves the folder of `store`."""
    (tmp_path / "store").mkdir()
    with RunningEmulator.start(latency=0.3, serve=tmp_path / "store") as running:
        yield running


@pytest.fixture
def credentials(serving: RunningEmulator) -> RunpodCredentials:
    return RunpodCredentials(api_key=SecretStr("test-key"), base_url=serving.base_url)


@pytest.fixture
def store(serving: RunningEmulator, tmp_path: Path) -> VideoStore:
    return VideoStore(url=str(tmp_path / "store"), public_base_url=serving.public_base_url)


def run_id(state: State[Any]) -> str:
    return str(state.state_details.flow_run_id)


def artifacts(server: RunningPrefect, state: State[Any]) -> dict[str, dict[str, Any]]:
    found = server.post("artifacts/filter", flow_runs={"id": {"any_": [run_id(state)]}})
    return {artifact["key"]: artifact for artifact in found if artifact["key"]}


def events(server: RunningPrefect, state: State[Any], name: str, expected: int) -> list[dict[str, Any]]:
    """The events of that name which the run has caused."""
    wanted = {
        "event": {"name": [name]},
        "related": {"resources_in_roles": [[f"prefect.flow-run.{run_id(state)}", "flow-run"]]},
    }
    return all_of(lambda: server.post("events/filter", filter=wanted, limit=50)["events"], expected)


def all_of(asked: Callable[[], list[dict[str, Any]]], expected: int) -> list[dict[str, Any]]:
    """So many answers, once the server has written them down, for which it takes a moment."""
    deadline = time.monotonic() + 60
    while len(found := asked()) < expected and time.monotonic() < deadline:
        time.sleep(0.3)
    assert len(found) == expected
    return found
