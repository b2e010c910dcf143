"""Stores of both kinds, for `pytest_plugins`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support.s3_server import Line, RunningS3


@pytest.fixture(scope="session")
def s3_server() -> Iterator[RunningS3]:
    server = RunningS3().start()
    yield server
    server.stop()


@pytest.fixture(params=["disk", "s3"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty store of either kind, as a person would give it."""
    if request.param == "disk":
        return str(tmp_path / "store")
    server = request.getfixturevalue("s3_server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{server.new_bucket()}/some/prefix"


@pytest.fixture
async def either_store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    yield opened
    await opened.aclose()


@pytest.fixture
def line(s3_server: RunningS3) -> Iterator[Line]:
    line = Line(s3_server)
    yield line
    line.stop()


@pytest.fixture
async def far_store(line: Line, s3_server: RunningS3) -> AsyncIterator[Store]:
    """A store at the other end of *line*."""
    store = open_store(f"s3://{s3_server.new_bucket()}/x", key="k", secret="s", endpoint_url=line.endpoint_url)
    yield store
    await store.aclose()
