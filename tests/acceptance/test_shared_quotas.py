"""The quotas of an account on a real Prefect server: every flow and every worker takes its calls from one limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from prefect_seedance import RunpodCredentials, VideoStore, collect_finished, process_inbox, storyboard_to_shots
from prefect_seedance.flows.campaign import campaign
from prefect_seedance.orchestration.render import GLOBAL_LIMIT
from prefect_seedance.orchestration.shared_limits import STATUS, share_quotas
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.rate_limit import status_calls_of
from tests.support.campaigns import ONE_SHOT, CampaignDesk, mugs, write_table
from tests.support.emulating import RunningEmulator
from tests.support.flow_boards import make_board
from tests.support.prefect_server import RunningPrefect
from tests.support.processes import until

pytestmark = pytest.mark.slow


@pytest.fixture
def serving() -> Iterator[RunningEmulator]:
    with RunningEmulator.start(latency=2) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, prefect_server: RunningPrefect) -> CampaignDesk:
    """With two rows."""
    desk = CampaignDesk(tmp_path, {"RUNPOD_API_KEY": "none", **prefect_server.environment})
    desk.board(ONE_SHOT)
    write_table(tmp_path / "table.csv", mugs(2))
    return desk


async def test_every_flow_takes_its_calls_from_the_limits_that_all_workers_share(
    desk: CampaignDesk, serving: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    credentials = RunpodCredentials(api_key=SecretStr("k"), base_url=serving.base_url)
    store = VideoStore(url=desk.store)
    plain = desk.board(ONE_SHOT.replace("{product}", "jar"), "plain.yaml")
    limit = prefect_server.post(
        "v2/concurrency_limits/", name=STATUS, limit=1000, slot_decay_per_second=0.001, active=True
    )["id"]

    async def taken_by(running: Awaitable[object]) -> bool:
        before = prefect_server.get(f"v2/concurrency_limits/{limit}")["active_slots"]
        await running
        return bool(prefect_server.get(f"v2/concurrency_limits/{limit}")["active_slots"] > before)

    try:
        table = str(desk.folder / "table.csv")
        assert await taken_by(campaign(str(desk.folder / "board.yaml"), table, credentials, store))
        running: Any = storyboard_to_shots(plain, credentials, store, wait_minutes=0.001, return_state=True)
        assert await taken_by(running)
        assert await taken_by(collect_finished(credentials, store))  # what the run before has left
        await store.open().write("inbox/board.yaml", Path(plain).read_bytes().replace(b"jar", b"bowl"))
        assert await taken_by(process_inbox(credentials, store))
    finally:
        prefect_server.delete(f"v2/concurrency_limits/{limit}")
    assert len(serving.charges) == 4


@pytest.mark.parametrize("as_campaign", [False, True])
async def test_a_run_never_has_more_jobs_out_than_the_global_limit_of_jobs_allows(
    as_campaign: bool, desk: CampaignDesk, prefect_server: RunningPrefect
) -> None:
    limit = prefect_server.post("v2/concurrency_limits/", name=GLOBAL_LIMIT, limit=2)["id"]
    try:
        with RunningEmulator.start(latency=600) as slow:
            credentials = RunpodCredentials(api_key=SecretStr("k"), base_url=slow.base_url)
            store = VideoStore(url=desk.store)
            if as_campaign:
                table = write_table(desk.folder / "table.csv", mugs(4))
                running: Any = campaign(str(desk.folder / "board.yaml"), table, credentials, store)
            else:
                running = storyboard_to_shots(make_board("Dawn.", "Noon.", "Dusk.", "Night."), credentials, store)
            rendering = asyncio.create_task(running)
            for out in (2, 4):
                await asyncio.to_thread(until, lambda out=out: slow.calls()["run"] >= out)
                await asyncio.sleep(2)
                assert slow.calls()["run"] == out
                slow.advance(600)
            await rendering
            assert len(slow.charges) == 4
    finally:
        prefect_server.delete(f"v2/concurrency_limits/{limit}")


async def test_a_global_limit_with_slot_decay_is_shared_and_losing_it_stops_no_call(
    prefect_server: RunningPrefect,
) -> None:
    limit = prefect_server.post(
        "v2/concurrency_limits/", name=STATUS, limit=4, slot_decay_per_second=0.01, active=True
    )["id"]
    account = Account("k", "http://127.0.0.1:9/v2")
    try:
        await share_quotas(account, 2)
        quota = status_calls_of(account)
        async with asyncio.timeout(60):
            for _ in range(4):
                await quota.turn()
        assert prefect_server.get(f"v2/concurrency_limits/{limit}")["active_slots"] >= 3
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(quota.turn(), 3)
    finally:
        prefect_server.delete(f"v2/concurrency_limits/{limit}")
    async with asyncio.timeout(60):
        for _ in range(100):
            await quota.turn()
