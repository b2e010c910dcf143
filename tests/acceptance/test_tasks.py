"""The tasks in flows of one's own, submitted and mapped, on the runners that people use: nothing is paid twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster
from prefect import flow, unmapped
from prefect.task_runners import TaskRunner
from prefect_dask.task_runners import DaskTaskRunner
from pydantic import SecretStr

from prefect_seedance import Request, RunpodCredentials, VideoStore, persist_clip, submit_clip, wait_for_clip
from prefect_seedance.ledger.record import Record
from tests.support.emulating import RunningEmulator

STEPS: tuple[Any, ...] = (submit_clip, wait_for_clip, persist_clip)
"""Any, since to Prefect's types the future of an async task holds a coroutine."""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


def bring_home(requests: list[Request], credentials: RunpodCredentials, store: VideoStore) -> list[Record]:
    """The first by `.submit()`, the others by `.map()`."""
    first, *others = requests
    blocks, each = (credentials, store), (unmapped(credentials), unmapped(store))
    alone: Any = first
    mapped: Any = others
    for step in STEPS:
        alone, mapped = step.submit(alone, *blocks), step.map(mapped, *each)
    return [alone.result(), *mapped.result()]


@flow
def in_a_sync_flow(requests: list[Request], credentials: RunpodCredentials, store: VideoStore) -> list[Record]:
    return bring_home(requests, credentials, store)


@flow
async def in_an_async_flow(requests: list[Request], credentials: RunpodCredentials, store: VideoStore) -> list[Record]:
    return bring_home(requests, credentials, store)


def on_dask(*given: Any) -> tuple[list[Record], ...]:
    """Twice, with one cluster of two processes."""
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        runner: TaskRunner[Any] = DaskTaskRunner(address=cluster.scheduler_address)
        run = in_a_sync_flow.with_options(task_runner=runner)
        return run(*given), run(*given)


RUNS: dict[str, Callable[..., tuple[list[Record], ...]]] = {
    "sync": lambda *given: (in_a_sync_flow(*given), in_a_sync_flow(*given)),
    "async": lambda *given: (asyncio.run(in_an_async_flow(*given)), asyncio.run(in_an_async_flow(*given))),
    "on Dask": on_dask,
}


@pytest.mark.parametrize("run_twice", RUNS.values(), ids=RUNS)
def test_tasks_that_are_submitted_or_mapped_pay_once_for_each_request(
    run_twice: Callable[..., tuple[list[Record], ...]],
    emulator: RunningEmulator,
    tmp_path: Path,
    make_request: Callable[..., Request],
) -> None:
    credentials = RunpodCredentials(api_key=SecretStr("test-key"), base_url=emulator.base_url)
    store = VideoStore(url=str(tmp_path / "store"))
    requests = [make_request(prompt=prompt) for prompt in ("Dawn.", "Noon.", "Dusk.")]
    first, again = run_twice(requests, credentials, store)
    assert first == again
    assert [record.request.prompt for record in first] == ["Dawn.", "Noon.", "Dusk."]
    for record in first:
        assert (Path(store.url) / str(record.clip)).exists()
    assert sorted(charge["prompt"] for charge in emulator.charges) == ["Dawn.", "Dusk.", "Noon."]
