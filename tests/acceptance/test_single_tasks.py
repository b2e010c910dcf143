"""A task that a team calls by itself, outside of our flows, keeps the same promises."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from prefect import flow, task
from prefect.runtime import flow_run
from pydantic import SecretStr

from prefect_seedance import (
    Request,
    RunpodCredentials,
    SpendingLimits,
    VideoStore,
    persist_clip,
    storyboard_to_shots,
    submit_clip,
    wait_for_clip,
)
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import BadInput, DownloadFailed, NeedsAttention, OverBudget, StoreUnavailable
from prefect_seedance.ledger.record import Record
from prefect_seedance.orchestration.tasks import safe_to_repeat
from tests.support.emulating import RunningEmulator
from tests.support.flow_boards import credentials, make_board, store

pytestmark = pytest.mark.usefixtures("prefect_server")

__all__ = ["credentials", "store"]


@pytest.mark.parametrize("on", ["submit", "wait", "persist"])
async def test_repeating_a_task_never_pays_again(
    on: str,
    credentials: RunpodCredentials,
    store: VideoStore,
    emulator: RunningEmulator,
    make_request: Callable[..., Request],
) -> None:
    times = {name: 2 if name == on else 1 for name in ("submit", "wait", "persist")}

    @flow
    async def repeated() -> str | None:
        for _ in range(times["submit"]):
            record = await submit_clip(make_request(), credentials, store)
        for _ in range(times["wait"]):
            ended = await wait_for_clip(record, credentials, store)
        for _ in range(times["persist"]):
            stored = await persist_clip(ended, credentials, store)
        return stored.clip

    clip = await repeated()
    assert clip is not None
    assert (Path(store.url) / clip).exists()
    assert len(emulator.charges) == 1


async def test_what_a_task_used_alone_pays_counts_against_every_limit(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator, make_request: Callable[..., Request]
) -> None:
    @flow
    async def alone() -> tuple[str | None, Record]:
        await submit_clip(make_request(), credentials, store)
        return flow_run.get_id(), await submit_clip(make_request(), credentials, store)

    run_id, record = await alone()
    assert record.writer.flow_run_id == run_id
    opened = store.open()
    usage = await MonthlySpend(opened).usage(datetime.datetime.now(datetime.UTC))
    assert usage.month.taken_usd == record.charged_usd > 0
    assert await opened.names("spending/reservations") == [f"{record.reservation}.json"]
    with pytest.raises(OverBudget):
        await storyboard_to_shots(make_board("Noon."), credentials, store, limits=SpendingLimits(per_month=0.08))
    assert len(emulator.charges) == 1


async def test_a_task_used_alone_without_a_key_is_one_sentence(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator, make_request: Callable[..., Request]
) -> None:
    with pytest.raises(BadInput, match="no usable Runpod API key"):
        await submit_clip(
            make_request(), RunpodCredentials(api_key=SecretStr(""), base_url=credentials.base_url), store
        )
    assert emulator.calls()["run"] == 0


async def test_a_task_used_alone_goes_by_the_users_own_catalog(
    credentials: RunpodCredentials,
    store: VideoStore,
    emulator: RunningEmulator,
    make_request: Callable[..., Request],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = {"title": "Dearer", "durations": [2], "checked": "2026-11-01"}
    tiers = [{"name": "480p", "sizes": ["640x640"], "per_second": "0.5"}]
    rows = tmp_path / "rows.yaml"
    rows.write_text(json.dumps([row | {"slug": "seedance-1-0-pro", "tiers": tiers}]), encoding="utf-8")
    monkeypatch.setenv("PREFECT_SEEDANCE_CATALOG", str(rows))
    record = await submit_clip(make_request(), credentials, store)
    assert record.estimated_usd == Decimal("0.5") * record.request.duration
    with pytest.raises(BadInput, match="no endpoint seedance-9; nothing was submitted"):
        await submit_clip(make_request(model="seedance-9"), credentials, store)
    assert len(emulator.charges) == 1


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(StoreUnavailable("down"), 2), (DownloadFailed("later"), 2), (NeedsAttention("a person"), 1)],
)
async def test_a_task_is_tried_again_only_where_another_try_can_mend_it(error: Exception, attempts: int) -> None:
    tries = []

    @task(retries=1, retry_condition_fn=safe_to_repeat)
    async def unlucky() -> None:
        tries.append(1)
        raise error

    @flow
    async def around() -> None:
        await unlucky()

    with pytest.raises(type(error)):
        await around()
    assert len(tries) == attempts


def test_a_team_that_has_prefect_retry_every_task_has_it_repeat_no_submission() -> None:
    program = "from prefect_seedance import submit_clip; print(submit_clip.retries)"
    environment = os.environ | {"PREFECT_TASKS_DEFAULT_RETRIES": "2"}
    assert subprocess.check_output([sys.executable, "-c", program], env=environment, text=True) == "0\n"


async def test_a_prompt_with_commands_that_change_the_bill_is_refused_before_it_is_paid(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator, make_request: Callable[..., Request]
) -> None:
    with pytest.raises(BadInput, match=r"can change the bill; .*; nothing was submitted"):
        await submit_clip(make_request(prompt="A lighthouse. --rs 1080p --dur 10"), credentials, store)
    assert emulator.charges == []
