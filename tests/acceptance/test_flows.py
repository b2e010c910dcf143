"""The flows on a real Prefect server: what they pay, what they leave, and what their states and artifacts say."""

from __future__ import annotations

import asyncio
import datetime
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from pydantic import SecretStr

from prefect_seedance import (
    Defaults,
    Production,
    Request,
    RunpodCredentials,
    ShotSpec,
    SpendingLimits,
    Storyboard,
    VideoStore,
    collect_finished,
    image_sequence_animation,
    storyboard_to_shots,
    submit_clip,
)
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.errors import BadInput, OverBudget
from prefect_seedance.production.manifest import Manifest
from tests.support.emulating import RunningEmulator
from tests.support.flow_boards import SMALL, credentials, make_board, store
from tests.support.prefect_server import RunningPrefect
from tests.support.processes import until
from tests.support.s3_server import Line, RunningS3
from tests.support.shown import run_id

pytestmark = pytest.mark.usefixtures("prefect_server")

__all__ = ["credentials", "store"]


def statuses(manifest: Manifest | Production) -> list[str]:
    return [shot.status for shot in manifest.shots]


async def test_a_storyboard_becomes_stored_clips_and_a_film(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    manifest = await storyboard_to_shots(make_board("Dawn.", "Noon.", "Dusk."), credentials, store)
    assert manifest.status == "complete"
    assert statuses(manifest) == ["stored"] * 3
    root = Path(store.url)
    for shot in manifest.shots:
        assert shot.clip is not None
        assert (root / shot.clip).stat().st_size == shot.bytes
        assert (shot.width, shot.height, shot.frames) == (640, 640, 48)
    written = manifest.load()
    for path in (written.film, written.timeline, written.review):
        assert path is not None
        assert (root / path).exists()
    assert float(manifest.spent_usd) == emulator.bill()["total_usd"]
    assert len(emulator.charges) == 3


async def test_rendering_again_costs_nothing_and_a_changed_prompt_pays_for_one(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    first = await storyboard_to_shots(make_board("Dawn.", "Noon."), credentials, store)
    again = await storyboard_to_shots(make_board("Dawn.", "Noon."), credentials, store)
    assert (again.spent_usd, again.reused_usd) == (0, first.spent_usd)
    assert not any(shot.paid_this_run for shot in again.shots)
    changed = await storyboard_to_shots(make_board("Dawn.", "Late noon."), credentials, store)
    assert [shot.paid_this_run for shot in changed.shots] == [False, True]
    assert len(emulator.charges) == 3


async def test_one_refused_one_failed_and_one_unclear_shot_stop_no_sibling(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    emulator.fault("run", "status", code=400, prompt="Refused")
    emulator.fault("run", "moderated", prompt="Moderated")
    emulator.fault("run", "drop_after", prompt="Unclear")
    board = make_board("Refused.", "Moderated.", "Unclear.", "Fine.")
    state = await storyboard_to_shots(board, credentials, store, return_state=True)
    manifest = await state.aresult()
    assert statuses(manifest) == ["refused", "failed", "unclear", "stored"]
    assert (state.name, state.type.value, manifest.status) == ("Completed", "COMPLETED", "partial")
    assert "settle" in (manifest.shots[2].error or "")
    assert manifest.film is not None
    again = await storyboard_to_shots(board, credentials, store)
    assert statuses(again) == ["stored", "failed", "unclear", "stored"]
    assert sorted(charge["prompt"] for charge in emulator.charges) == ["Fine.", "Refused.", "Unclear."]


async def test_a_run_that_stored_nothing_failed(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    emulator.fault("run", "status", code=400, times=5)
    state = await storyboard_to_shots(make_board("Dawn."), credentials, store, return_state=True)
    assert (state.name, state.type.value) == ("Failed", "FAILED")
    assert emulator.charges == []


async def test_failed_jobs_are_tried_again_only_when_asked(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    emulator.fault("run", "failed", error="worker exited", times=2)
    board = make_board("Dawn.")
    without = await storyboard_to_shots(board, credentials, store, return_state=True)
    failed = await without.aresult(raise_on_failure=False)
    assert isinstance(failed, Production)
    assert statuses(failed) == ["failed"]
    manifest = await storyboard_to_shots(board, credentials, store, retry_failed=2)
    assert (statuses(manifest), manifest.shots[0].attempt) == (["stored"], 3)
    assert len(emulator.charges) == 1


async def test_a_chain_hands_the_true_last_frame_to_the_api(credentials: RunpodCredentials, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with RunningEmulator.start(latency=0.3, serve=tmp_path / "store") as emulator:
        here = RunpodCredentials(api_key=SecretStr("k"), base_url=emulator.base_url)
        store = VideoStore(url=str(tmp_path / "store"), public_base_url=emulator.public_base_url)
        shots = (
            ShotSpec(id="arrival", prompt="Dawn."),
            ShotSpec(id="climb", prompt="Stairs.", continue_from="arrival"),
            ShotSpec(id="top", prompt="Light.", continue_from="climb"),
        )
        board = Storyboard(title="Chain", defaults=SMALL, shots=shots)
        manifest = await storyboard_to_shots(board, here, store)
        assert statuses(manifest) == ["stored"] * 3
        assert len(list((tmp_path / "store" / "stills").iterdir())) == 2
        records = "".join(file.read_text() for file in (tmp_path / "store" / "ledger").rglob("*.json"))
        assert "last.png" not in records
        assert len(emulator.charges) == 3


async def test_a_broken_chain_ends_there_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    with RunningEmulator.start(latency=0.3, serve=tmp_path / "store") as emulator:
        here = RunpodCredentials(api_key=SecretStr("k"), base_url=emulator.base_url)
        store = VideoStore(url=str(tmp_path / "store"), public_base_url=emulator.public_base_url)
        emulator.fault("run", "failed", prompt="Stairs")
        shots = (
            ShotSpec(id="arrival", prompt="Dawn."),
            ShotSpec(id="climb", prompt="Stairs.", continue_from="arrival"),
            ShotSpec(id="top", prompt="Light.", continue_from="climb"),
        )
        board = Storyboard(title="Chain", defaults=SMALL, shots=shots)
        manifest = await storyboard_to_shots(board, here, store)
        assert statuses(manifest) == ["stored", "failed", "blocked"]
        assert "climb" in (manifest.shots[2].error or "")
        assert len(emulator.charges) == 1


async def test_a_chain_that_the_provider_could_not_fetch_is_blocked_by_the_plan(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    shots = (ShotSpec(id="a", prompt="Dawn."), ShotSpec(id="b", prompt="Stairs.", continue_from="a"))
    with pytest.raises(BadInput, match="public-base-url"):
        await storyboard_to_shots(Storyboard(title="Chain", defaults=SMALL, shots=shots), credentials, store)
    assert emulator.charges == []


async def test_equal_shots_are_one_clip_and_one_payment(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    manifest = await storyboard_to_shots(make_board("Dawn.", "Dawn.", "Dawn."), credentials, store)
    assert statuses(manifest) == ["stored"] * 3
    assert len({shot.key for shot in manifest.shots}) == 1
    assert len(emulator.charges) == 1


async def test_a_budget_below_the_plan_submits_nothing(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    with pytest.raises(OverBudget, match="nothing was submitted"):
        await storyboard_to_shots(make_board("Dawn.", "Noon."), credentials, store, budget=0.06)
    assert emulator.calls()["run"] == 0


async def test_a_large_board_shares_task_runs_and_pays_the_same(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    board = make_board(*(f"Scene {n}." for n in range(120)))
    state = await storyboard_to_shots(board, credentials, store, max_in_flight=120, return_state=True)
    manifest = await state.aresult()
    assert statuses(manifest) == ["stored"] * 120
    run_id = str(state.state_details.flow_run_id)
    task_runs = prefect_server.post("task_runs/count", flow_runs={"id": {"any_": [run_id]}})
    assert task_runs <= 25
    assert len(emulator.charges) == 120


async def test_the_flow_can_be_retried_as_a_whole(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    failures = iter([True, False])

    @flow(retries=1)
    async def unlucky() -> Production:
        manifest = await storyboard_to_shots(make_board("Dawn."), credentials, store)
        if next(failures):
            raise RuntimeError("after the money was spent")
        return manifest

    assert (await unlucky()).status == "complete"
    assert len(emulator.charges) == 1


async def test_collecting_when_nothing_is_open_finds_nothing(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    await storyboard_to_shots(make_board("Dawn."), credentials, store)
    collected = await collect_finished(credentials, store)
    assert (collected["stored"], collected["running"], collected["spent_usd"]) == (0, 0, 0)
    assert len(emulator.charges) == 1


async def test_what_is_shown_in_the_ui_is_there(
    credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect
) -> None:
    state = await storyboard_to_shots(make_board("Dawn <b>."), credentials, store, return_state=True)
    run_id = str(state.state_details.flow_run_id)
    artifacts = prefect_server.post("artifacts/filter", flow_runs={"id": {"any_": [run_id]}})
    assert {artifact["key"] for artifact in artifacts if artifact["key"]} == {
        "seedance-plan",
        "seedance-progress",
        "seedance-shots",
        "seedance-cost",
    }


async def test_pictures_become_an_animation(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "store").mkdir()
    (tmp_path / "pictures").mkdir()
    for n in (1, 2, 10):
        Image.new("RGB", (640, 640), (n * 20, 90, 120)).save(tmp_path / "pictures" / f"img{n}.png")
    with RunningEmulator.start(latency=0.3, serve=tmp_path / "store") as emulator:
        here = RunpodCredentials(api_key=SecretStr("k"), base_url=emulator.base_url)
        store = VideoStore(url=str(tmp_path / "store"), public_base_url=emulator.public_base_url)
        manifest = await image_sequence_animation(
            str(tmp_path / "pictures"), "The light changes.", here, store, defaults=SMALL
        )
        assert [shot.id for shot in manifest.shots] == ["img1", "img2", "img10"]
        assert manifest.status == "complete"
        assert len(emulator.charges) == 3


async def test_limits_budget_and_approval_hold_for_what_is_resumed_and_may_be_paid_again(
    credentials: RunpodCredentials, store: VideoStore, emulator: RunningEmulator
) -> None:
    emulator.fault("run", "failed", error="worker exited")
    board = make_board("Dawn.")
    assert isinstance(board.defaults, Defaults)
    request = Request(model=board.defaults.model, prompt="Dawn.", size="640x640", duration=2, fps=24)
    await submit_clip(request, credentials, store)
    for allowed in (
        {"budget": 0.01},
        {"limits": SpendingLimits(per_day=0.01)},
        {"limits": SpendingLimits(per_month=0.01)},
        {"limits": SpendingLimits(approve_above=0)},
    ):
        with pytest.raises(OverBudget):
            await storyboard_to_shots(board, credentials, store, retry_failed=1, **allowed)
    assert emulator.charges == []
    limits = SpendingLimits(per_day=1)
    manifest = await storyboard_to_shots(board, credentials, store, retry_failed=1, limits=limits)
    assert statuses(manifest) == ["stored"]
    usage = await MonthlySpend(store.open()).usage(datetime.datetime.now(datetime.UTC))
    assert float(usage.day.spent_usd) == emulator.bill()["total_usd"]
    assert len(emulator.charges) == 1


async def test_a_flow_leaves_no_connection_to_its_bucket_open_however_it_ends(
    credentials: RunpodCredentials, emulator: RunningEmulator, s3_server: RunningS3, line: Line, tmp_path: Path
) -> None:
    bucket = f"s3://{s3_server.new_bucket()}/x"
    store = VideoStore(url=bucket, key="k", secret=SecretStr("s"), endpoint_url=line.endpoint_url)
    ended: list[Any] = []
    runs: list[Any] = [
        storyboard_to_shots(make_board("Dawn."), credentials, store, return_state=True),
        storyboard_to_shots(str(tmp_path / "none.yaml"), credentials, store, return_state=True),
        image_sequence_animation(str(tmp_path / "*.jpg"), "It turns.", credentials, store, return_state=True),
    ]
    for running in runs:
        asked = len(line.signed_with)
        ended.append(await running)
        assert len(line.signed_with) > asked
        await asyncio.to_thread(until, lambda: line.connections == 0, seconds=3)
    assert [state.name for state in ended] == ["Completed", "Failed", "Failed"]
    assert len(emulator.charges) == 1


@pytest.mark.parametrize("tried", [storyboard_to_shots, image_sequence_animation])
async def test_a_subflow_that_may_not_be_told_of_its_cancelling_says_at_its_start_that_its_jobs_may_go_on(
    tried: Any, credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect, tmp_path: Path
) -> None:
    nothing = ("none.yaml",) if tried is storyboard_to_shots else (f"{tmp_path}/*.png", "It turns.")

    @flow
    async def parent(cancel_jobs: bool) -> str:
        return run_id(await tried(*nothing, credentials, store, cancel_jobs=cancel_jobs, return_state=True))

    warned, plain = await parent(True), await parent(False)
    await asyncio.to_thread(until, lambda: "cancel_jobs may do nothing in this run" in prefect_server.logs(warned))
    assert "cancel_jobs may do nothing" not in prefect_server.logs(plain)


async def test_a_cancelled_run_gives_back_no_money_of_a_claim_on_its_way(
    credentials: RunpodCredentials, emulator: RunningEmulator, s3_server: RunningS3, line: Line
) -> None:
    """The second claim's record is still on its way into the bucket when the run is cancelled."""
    claims: list[str] = []
    on_its_way, go_on = threading.Event(), threading.Event()

    def asked(method: str, path: str) -> None:
        if method == "PUT" and "/ledger/" in path and path.endswith("/0001.json"):
            claims.append(path)
            if len(claims) == 2:
                on_its_way.set()
                go_on.wait(30)

    line.on_request = asked
    bucket = f"s3://{s3_server.new_bucket()}/x"
    store = VideoStore(url=bucket, key="k", secret=SecretStr("s"), endpoint_url=line.endpoint_url)
    limits = SpendingLimits(per_day=0.11)
    board = make_board("Dawn.", "Noon.")
    run = asyncio.create_task(storyboard_to_shots(board, credentials, store, limits=limits))
    assert await asyncio.to_thread(on_its_way.wait, 60)
    run.cancel()
    await asyncio.wait({run}, timeout=2)
    go_on.set()
    await asyncio.wait({run}, timeout=60)
    opened = store.open()
    usage = await MonthlySpend(opened).usage(datetime.datetime.now(datetime.UTC))
    await opened.aclose()
    assert usage.day.taken_usd >= sum(Decimal(str(charge["usd"])) for charge in emulator.charges)
    with pytest.raises(OverBudget):
        await storyboard_to_shots(make_board("Dusk."), credentials, store, limits=limits)
    assert sum(charge["usd"] for charge in emulator.charges) <= 0.11
