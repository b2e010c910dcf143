"""What a person sees in the Prefect UI and what automations are told, as a real Prefect server has it."""

from __future__ import annotations

import asyncio
import datetime
import json
import re
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prefect.assets import Asset
from prefect.utilities.callables import parameter_schema
from pydantic import SecretStr

from prefect_seedance import (
    RunpodCredentials,
    SpendingLimits,
    VideoStore,
    collect_finished,
    image_sequence_animation,
    storyboard_to_shots,
)
from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.report import COLUMNS
from prefect_seedance.budget.run_budget import Priced, RunBudget
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.orchestration.events import asset_key
from prefect_seedance.orchestration.markdown import escaped, inert
from prefect_seedance.orchestration.render import GLOBAL_LIMIT
from prefect_seedance.runpod.account import BASE_URL
from prefect_seedance.storage import open_store
from prefect_seedance.text import dollars
from tests.support.emulating import RunningEmulator
from tests.support.flow_boards import make_board
from tests.support.prefect_server import RunningPrefect
from tests.support.processes import until
from tests.support.shown import all_of, artifacts, credentials, run_id, serving, store

__all__ = ["credentials", "serving", "store"]

HOSTILE = "<img src=x onerror=alert(1)> [x](javascript:alert(1)) | **bold** `code`"


def unescaped_signs(markdown: str) -> str:
    """What a markdown renderer is left with once everything that is escaped is only text."""
    return re.sub(r"\\[\\|<>\[\]()*_`!#~&]", "", markdown)


async def test_nothing_of_a_hostile_storyboard_is_active_in_an_artifact(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    serving.fault("run", "failed", error=HOSTILE, prompt="Fails")
    board = make_board(f"Fails {HOSTILE}", "Fine.", title=f"Dawn {HOSTILE}")
    state = await storyboard_to_shots(board, credentials, store, return_state=True)
    shown = artifacts(prefect_server, state)
    assert set(shown) == {"seedance-plan", "seedance-progress", "seedance-shots", "seedance-cost"}
    told = "".join(f"{artifact['description']}\n{artifact['data']}\n" for artifact in shown.values())
    assert told.count("onerror=") == 5  # title: in three descriptions and in the plan; the error: once
    bare = unescaped_signs(told)
    assert "<img src=x" not in bare
    assert "](javascript" not in bare
    assert "**bold**" not in bare
    assert "`code`" not in bare


def test_escaped_text_is_the_same_text() -> None:
    assert re.sub(r"\\(.)", r"\1", escaped(HOSTILE)) == HOSTILE
    assert escaped("two\n\nparagraphs") == "two paragraphs"


def test_a_cell_of_a_table_looks_the_same_and_is_no_markup() -> None:
    cell = inert(HOSTILE)
    assert cell.replace("\u200b", "") == HOSTILE
    assert "<img" not in cell
    assert "](" not in cell
    assert (inert(1.5), inert(None)) == (1.5, None)


async def test_shots_lead_to_their_clips_and_show_their_posters(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    serving.fault("run", "drop_after", prompt="Unclear")
    board = make_board("Dawn.", "Noon.", "Unclear.", "Dusk.", "Night.")
    state = await storyboard_to_shots(board, credentials, store, return_state=True)
    manifest = (await state.aresult()).load()
    shown = artifacts(prefect_server, state)
    page = shown["seedance-shots"]["data"]
    for shot in manifest.shots:
        assert (f"[{shot.id}](<{serving.public_base_url}/{shot.clip}>)" in page) == (shot.status == "stored")
    assert page.count("<img src=") == 4
    assert f"[Film](<{serving.public_base_url}/{manifest.film}>)" in page
    assert "- **shot-3** is unclear: nobody knows" in page
    assert "**The lighthouse**: partial, 4 of 5 shots stored" in shown["seedance-shots"]["description"]
    assert f"| Spent by this run | {dollars(manifest.spent_usd)} |" in shown["seedance-cost"]["data"]
    assert "| shot-3 | generate | $0.05 | 640x640 | 1 |" in shown["seedance-plan"]["data"]


async def test_what_is_spent_reserved_and_left_of_every_limit_is_shown_during_the_run_and_after_it(
    credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect
) -> None:
    board, limits = make_board("Dawn.", "Noon."), SpendingLimits(per_day=1, per_month=20)
    state = await storyboard_to_shots(board, credentials, store, limits=limits, budget=0.5, return_state=True)
    after = [
        "This run: $0.10 spent, $0.00 reserved, $0.40 left of $0.50.",
        "Today, all runs (UTC): $0.10 spent, $0.00 reserved, $0.90 left of $1.00.",
        "This month, all runs (UTC): $0.10 spent, $0.00 reserved, $19.90 left of $20.00.",
    ]
    data = artifacts(prefect_server, state)["seedance-cost"]["data"]
    assert [line for line in after if f"- {line}" in data] == after
    during = "Today, all runs (UTC): $0.00 spent, $0.10 reserved, $0.90 left of $1.00."
    all_of(lambda: [{}] if during in prefect_server.logs(run_id(state)) else [], 1)


async def test_a_run_that_waits_for_places_of_the_global_limit_says_so(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    limits = "v2/concurrency_limits"
    prefect_server.post(f"{limits}/", name=GLOBAL_LIMIT, limit=3)
    taken = {"names": [GLOBAL_LIMIT], "slots": 3, "mode": "concurrency"}
    lease = prefect_server.post(f"{limits}/increment-with-lease", **taken)["lease_id"]
    try:
        waiting: Any = storyboard_to_shots(make_board("Dawn.", title="Waits"), credentials, store, return_state=True)
        rendering = asyncio.create_task(waiting)
        [run] = await asyncio.to_thread(until, partial(_runs_of, prefect_server, "render Waits"))
        said = "1 places of seedance-jobs are wanted and 0 are free; nothing is submitted until they are"
        await asyncio.to_thread(until, lambda: said in prefect_server.logs(run["id"]))
        assert serving.calls()["run"] == 0
        prefect_server.post(f"{limits}/decrement-with-lease", lease_id=lease)
        assert (await rendering).name == "Completed"
    finally:
        prefect_server.delete(f"{limits}/{GLOBAL_LIMIT}")
    assert len(serving.charges) == 1


def _runs_of(server: RunningPrefect, name: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = server.post("flow_runs/filter", flow_runs={"name": {"any_": [name]}})
    return runs


async def test_what_is_left_is_never_a_reason_to_fail(tmp_path: Path) -> None:
    opened = open_store(str(tmp_path))
    month = datetime.datetime.now(datetime.UTC).strftime("%Y-%m")
    await opened.create(f"spending/{month}/00001.json", b"{}")
    limits, load = Limits(per_day=Decimal(1)), Ledger(opened).load_whole
    [line] = await RunBudget(priced=Priced({}, limits, MonthlySpend(opened), load, this_writer())).lines()
    assert "can't be read" in line


async def test_a_store_that_is_not_served_says_where_the_production_lies(
    credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect
) -> None:
    apart = VideoStore(url=store.url)
    state = await storyboard_to_shots(make_board("Dawn."), credentials, apart, return_state=True)
    page = artifacts(prefect_server, state)["seedance-shots"]["data"]
    assert f"`{store.url}/productions/the-lighthouse/" in page
    assert "](" not in page


@pytest.mark.parametrize("url", ["s3://bucket/pre fix", "/home/me/my 100% {store} #1", "/srv/Über den Wolken"])
def test_every_store_makes_keys_that_prefect_takes(url: str) -> None:
    key = asset_key(open_store(url, key="a", secret="b"), "clips/sd1-0-0.mp4")
    assert Asset(key=key).key.startswith(("s3://bucket/", "file:///"))


async def test_the_report_is_left_only_by_a_collector_that_changed_something(
    tmp_path: Path, prefect_server: RunningPrefect
) -> None:
    with RunningEmulator.start(latency=600) as slow:
        credentials = RunpodCredentials(api_key=SecretStr("test-key"), base_url=slow.base_url)
        store = VideoStore(url=str(tmp_path / "store"))
        await storyboard_to_shots(make_board("Dawn."), credentials, store, wait_minutes=0.001, return_state=True)
        slow.advance(600)
        state = await collect_finished(credentials, store, return_state=True)
        assert state.message == "1 stored, 0 running, 0 unclear, 0 lost"
        shown = artifacts(prefect_server, state)
        assert set(shown) == {"seedance-collected", "seedance-report"}
        assert shown["seedance-report"]["type"] == "table"
        [day] = json.loads(shown["seedance-report"]["data"])
        assert tuple(day) == COLUMNS
        assert (day["stored"], day["spent_usd"]) == (1, slow.bill()["total_usd"])
        again = await collect_finished(credentials, store, return_state=True)
        assert again.message == "0 stored, 0 running, 0 unclear, 0 lost"
        assert artifacts(prefect_server, again) == {}


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("The {place}", "render The {lighthouse}"),
        (f"Dawn {HOSTILE}", f"render Dawn {HOSTILE}"[:66] + "…"),
    ],
)
async def test_a_run_and_its_tasks_are_named_after_the_work(
    title: str, name: str, credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect
) -> None:
    board = make_board("Dawn.", title=title).model_copy(update={"variables": {"place": "{lighthouse}"}})
    state = await storyboard_to_shots(board, credentials, store, return_state=True)
    assert prefect_server.flow_run(run_id(state))["name"] == name
    of_run = {"id": {"any_": [run_id(state)]}}
    tasks = all_of(lambda: prefect_server.post("task_runs/filter", flow_runs=of_run), 4)
    assert {task["name"] for task in tasks} == {
        "submit clip: shot-1",
        "wait for clip: shot-1",
        "persist clip: shot-1",
        "write production",
    }


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("boards/lighthouse.yaml", "render lighthouse"),
        ("s3://key:secret@bucket/boards/lighthouse.v2.yaml", "render lighthouse.v2"),
        ("https://me:secret@host/board.yaml?token=secret", "render board"),
        ("", "render"),
    ],
)
async def test_the_name_of_a_run_holds_no_secret_of_a_link(
    place: str, name: str, credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect
) -> None:
    state = await storyboard_to_shots(place, credentials, store, return_state=True)
    assert prefect_server.flow_run(run_id(state))["name"] == name


async def test_an_animation_is_named_after_its_pictures(
    credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect, tmp_path: Path
) -> None:
    state = await image_sequence_animation(
        f"{tmp_path}/frames/*.png", "It moves.", credentials, store, return_state=True
    )
    assert prefect_server.flow_run(run_id(state))["name"] == "animate frames"


@pytest.mark.parametrize("flow", [storyboard_to_shots, image_sequence_animation, collect_finished])
def test_every_field_of_a_form_says_what_belongs_in_it(flow: Any) -> None:
    properties = parameter_schema(flow).model_dump()["properties"]
    assert all(field["description"].endswith(".") for field in properties.values())


async def test_a_form_that_was_left_empty_renders(
    credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect
) -> None:
    """As both UIs send it: null where a field may be None, and nothing where a field was cleared."""
    nothing = dict.fromkeys(("image", "last_image", "continue_from", "model", "size", "duration", "fps", "crop"))
    written: dict[str, Any] = {
        "title": "From a form",
        "defaults": {"size": "640x640", "duration": 2, "fps": None, "crop": False},
        "variables": {},
        "rows": None,
        "shots": [{"id": "one", "prompt": "Dawn.", **nothing}],
    }
    empty = {"limits": None, "budget": None, "approve": None, "cancel_jobs": False}
    state = await storyboard_to_shots(written, credentials, store, **empty, return_state=True)
    assert (await state.aresult()).status == "complete"
    assert prefect_server.flow_run(run_id(state))["name"] == "render From a form"


def test_block_forms_that_were_left_empty_are_as_good_as_defaults(tmp_path: Path) -> None:
    """The older UI sends an empty text for a field that was cleared, the newer one null for one that was not used."""
    assert RunpodCredentials(api_key=SecretStr("abc"), base_url="").account().base_url == BASE_URL
    unused: dict[str, Any] = dict.fromkeys(("key", "secret", "endpoint_url", "region", "public_base_url"))
    for left in (unused, dict.fromkeys(unused, "")):
        assert VideoStore(url=str(tmp_path), **left).open().public_base_url is None
    assert SpendingLimits(per_run=None, per_day=None, per_month=None, approve_above=None).limits().per_day is None
