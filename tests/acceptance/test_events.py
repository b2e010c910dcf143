"""What automations and the asset catalog are told of a run, as a real Prefect server has it."""

from __future__ import annotations

import asyncio
import cProfile
import json
import pstats
import re
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from prefect_seedance import (
    RunpodCredentials,
    ShotSpec,
    SpendingLimits,
    Storyboard,
    VideoStore,
    collect_finished,
    process_inbox,
    storyboard_to_shots,
)
from prefect_seedance.errors import BadInput, NotApproved
from prefect_seedance.flows.campaign import campaign
from tests.support.deployments_page import follow
from tests.support.emulating import RunningEmulator
from tests.support.flow_boards import SMALL, make_board
from tests.support.places import ROOT
from tests.support.prefect_server import RunningPrefect
from tests.support.processes import until
from tests.support.shown import all_of, artifacts, credentials, events, run_id, serving, store

__all__ = ["credentials", "serving", "store"]

MADE = "prefect.asset.materialization.succeeded"
NOT_MADE = "prefect.asset.materialization.failed"
FOR_MANY = 40


def asset_of(event: dict[str, Any]) -> str:
    return str(event["resource"]["prefect.resource.id"])


def parts_of(event: dict[str, Any]) -> list[str]:
    return [one["prefect.resource.id"] for one in event["related"] if one["prefect.resource.role"] == "asset"]


async def test_takes_are_versions_of_one_asset_and_a_production_is_made_of_its_shots(
    credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect
) -> None:
    production = f"file://{store.url}/productions/the-lighthouse"
    found = []
    for take in (1, 2):
        shots = (ShotSpec(id="dawn", prompt="Dawn.", take=take), ShotSpec(id="noon", prompt="Noon."))
        board = Storyboard(title="The lighthouse", defaults=SMALL, shots=shots)
        state = await storyboard_to_shots(board, credentials, store, return_state=True)
        made = {asset_of(event): event for event in events(prefect_server, state, MADE, 3)}
        assert set(made) == {production, f"{production}/dawn", f"{production}/noon"}
        assert parts_of(made[production]) == [f"{production}/dawn", f"{production}/noon"]
        dawn = (await state.aresult()).shots[0]
        facts = {"key", "take", "job_id", "clip", "sha256", "bytes", "seconds", "cost_usd"}
        assert made[f"{production}/dawn"]["payload"] == dawn.model_dump(mode="json", include=facts)
        found.append(dawn)
    assert [dawn.take for dawn in found] == [1, 2]
    assert made[production]["payload"]["cost_usd"] == 0.1


async def test_a_production_that_holds_nothing_is_an_asset_that_failed_and_a_failed_run(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    serving.fault("run", "status", code=400, times=5)
    state = await storyboard_to_shots(make_board("Dawn."), credentials, store, return_state=True)
    assert (state.name, state.message) == ("Failed", "0 of 1 shots stored, 1 refused, $0.00 spent")
    [event] = events(prefect_server, state, NOT_MADE, 1)
    assert asset_of(event) == f"file://{store.url}/productions/the-lighthouse"
    [told] = events(prefect_server, state, "prefect-seedance.production.made", 1)
    assert told["resource"]["prefect-seedance.status"] == "nothing"
    assert events(prefect_server, state, MADE, 0) == []
    assert serving.charges == []


async def test_an_artifact_that_the_server_does_not_take_keeps_no_production_from_being_told(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    serving.fault("status", "silent", times=10_000)  # so that nothing ends before its progress is gone
    board = make_board("Dawn.", title="Progress deleted in the UI")
    running: Any = storyboard_to_shots(board, credentials, store, return_state=True)
    rendering = asyncio.create_task(running)
    wanted = {"flow_runs": {"name": {"any_": [f"render {board.title}"]}}, "artifacts": {"type": {"any_": ["progress"]}}}
    while not (found := await asyncio.to_thread(prefect_server.post, "artifacts/filter", **wanted)):
        assert not rendering.done()
    prefect_server.delete(f"artifacts/{found[0]['id']}")
    serving.clear_faults()
    state: State[Any] = await rendering
    [told] = events(prefect_server, state, "prefect-seedance.production.made", 1)
    assert told["payload"]["status"] == "complete"
    assert asset_of(events(prefect_server, state, MADE, 2)[0]).startswith(f"file://{store.url}/productions/")
    assert {"seedance-shots", "seedance-cost"} <= set(artifacts(prefect_server, state))
    assert len(serving.charges) == 1


async def test_whether_a_partial_run_failed_is_decided_by_whoever_starts_it(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator
) -> None:
    serving.fault("run", "status", code=400, prompt="Noon", times=5)
    for fail_on_partial, name in ((False, "Completed"), (True, "Failed")):
        state = await storyboard_to_shots(
            make_board("Dawn.", "Noon."), credentials, store, fail_on_partial=fail_on_partial, return_state=True
        )
        production: Any = await state.aresult(raise_on_failure=False)
        assert (state.name, production.status, production.counts) == (name, "partial", {"stored": 1, "refused": 1})
        assert (state.message or "").startswith("1 of 2 shots stored, 1 refused, $")
    assert len(serving.charges) == 1


def make_table_board(folder: Path) -> str:
    """A storyboard with a variable."""
    board = {"title": "Mugs", "defaults": {"size": "640x640", "duration": 2}}
    file = folder / "mugs.json"
    file.write_text(json.dumps({**board, "shots": [{"id": "turn", "prompt": "A {mug} mug turns."}]}))
    return str(file)


async def test_every_event_carries_what_the_deployments_page_says(
    credentials: RunpodCredentials,
    store: VideoStore,
    serving: RunningEmulator,
    prefect_server: RunningPrefect,
    tmp_path: Path,
) -> None:
    page = (ROOT / "deployments" / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(prefect-seedance\.[a-z.]+)` \| `([a-z0-9_, ]+)` \|$", page, re.MULTILINE))
    serving.fault("run", "drop_after", prompt="Noon.")
    serving.fault("run", "cancelled", prompt="Dusk.")
    serving.fault("run", "status", code=400, prompt="Midnight.")
    serving.fault("run", "failed", prompt="Morning.")
    board = make_board("Dawn.", "Noon.", "Dusk.", "Midnight.", "Morning.")
    rendered = await storyboard_to_shots(board, credentials, store, return_state=True)
    over = await storyboard_to_shots(make_board("Night."), credentials, store, budget=0.01, return_state=True)
    production = await rendered.aresult()
    [unclear] = [shot for shot in production.shots if shot.status == "unclear"]
    (Path(store.url) / "ledger" / str(unclear.key) / "0002.json").write_text("{")
    rows: Any = campaign(make_table_board(tmp_path), [{"mug": "red"}], credentials, store, return_state=True)
    of_a_table: State[Any] = await rows
    collected = await collect_finished(credentials, store, return_state=True)
    assert (collected.name, collected.message) == (
        "Completed",
        "0 stored, 0 running, 0 unclear, 0 lost, 1 not readable",
    )
    strict = await collect_finished(credentials, store, fail_on_partial=True, return_state=True)
    report: Any = await strict.aresult(raise_on_failure=False)
    assert (strict.name, report["stored"]) == ("Failed", 0)
    states: dict[str, State[Any]] = {"budget.refused": over, "ledger.unreadable": collected}
    states["campaign.made"] = of_a_table
    told = {}
    for name, fields in listed.items():
        short = name.removeprefix("prefect-seedance.")
        [told[short]] = events(prefect_server, states.get(short, rendered), name, 1)
        assert sorted(told[short]["payload"]) == sorted(fields.split(", "))
    assert set(told) == {
        "clip.stored",
        "shot.refused",
        "shot.failed",
        "shot.unclear",
        "clip.lost",
        "ledger.unreadable",
        "budget.refused",
        "production.made",
        "campaign.made",
    }
    made = told["production.made"]["payload"]
    assert (made["run"], made["status"]) == (run_id(rendered), "partial")
    assert made["counts"] == {"stored": 1, "unclear": 1, "lost": 1, "refused": 1, "failed": 1}
    written = Path(made["manifest"].removeprefix("file://"))
    assert json.loads(written.read_text()) == production.load().model_dump(mode="json", by_alias=True)
    assert Path(made["film"].removeprefix("file://")).exists()


async def test_an_approval_or_a_look_that_is_missing_is_told_once_by_whatever_it_stopped(
    credentials: RunpodCredentials,
    store: VideoStore,
    serving: RunningEmulator,
    prefect_server: RunningPrefect,
    tmp_path: Path,
) -> None:
    dear = SpendingLimits(approve_above=0.01)
    inbox = Path(store.url) / "inbox"
    inbox.mkdir()
    (inbox / "board.json").write_text(make_board("Noon.").model_dump_json(exclude_none=True))
    [left] = (await process_inbox(credentials, store, dear))["boards"]
    whys = [left["error"].removesuffix(" It stays in the inbox for the next run.")]
    with pytest.raises(NotApproved) as refused:
        await storyboard_to_shots(make_board("Dawn."), credentials, store, dear)
    whys.append(str(refused.value))
    table = make_table_board(tmp_path), [{"mug": "red"}, {"mug": "blue"}]
    for asking in ({"limits": dear}, {"canary": 1}):
        with pytest.raises(NotApproved) as refused:
            await campaign(*table, credentials, store, **asking)
        whys.append(str(refused.value))
    assert [why.partition("; ")[2].partition(" ")[0] for why in whys] == ["nothing"] * 4
    wanted = {"event": {"name": ["prefect-seedance.budget.refused"]}}

    def told() -> list[str]:
        found = prefect_server.post("events/filter", filter=wanted, limit=50)["events"]
        return [event["payload"]["reason"] for event in reversed(found) if event["payload"]["reason"] in whys]

    until(lambda: whys[-1] in told())
    assert told() == whys
    assert len(serving.charges) == 1


async def test_a_large_production_keeps_its_whole_lineage_in_few_events_and_prefect_walks_through_no_shot(
    credentials: RunpodCredentials, store: VideoStore, prefect_server: RunningPrefect, tmp_path: Path
) -> None:
    shots = [{"id": f"s{n}", "prompt": f"Scene {n}."} for n in range(FOR_MANY + 60)]
    walks = []
    for count in (FOR_MANY, len(shots)):
        board = tmp_path / "board.json"
        defaults = {"size": "640x640", "duration": 2}
        board.write_text(json.dumps({"title": "Many", "defaults": defaults, "shots": shots[:count]}))
        await storyboard_to_shots(str(board), credentials, store, max_in_flight=100)
        with cProfile.Profile() as profile:
            state = await storyboard_to_shots(str(board), credentials, store, return_state=True)
        calls: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
        walks.append(sum(facts[1] for place, facts in calls.items() if place[2] == "visit_collection"))
    made = events(prefect_server, state, MADE, 2)
    assert {asset_of(event) for event in made} == {f"file://{store.url}/productions/many"}
    assert len({part for event in made for part in parts_of(event)}) == len(shots)
    assert walks[0] == walks[1]


async def test_a_storyboard_too_large_for_prefect_is_one_sentence_and_its_file_is_taken(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator, tmp_path: Path
) -> None:
    board = make_board(*(f"Scene {n}. {'A long description. ' * 50}" for n in range(600)))
    with pytest.raises(BadInput, match=r"and Prefect takes 524,288; nothing was submitted; save it as a YAML"):
        await storyboard_to_shots(board, credentials, store)
    file = tmp_path / "board.json"
    file.write_text(board.model_dump_json(exclude_none=True))
    state = await storyboard_to_shots(str(file), credentials, store, budget=0.01, return_state=True)
    assert "more than the budget" in (state.message or "")
    assert serving.calls()["run"] == 0


async def test_a_complete_production_starts_the_deployment_that_comes_after_it(
    credentials: RunpodCredentials, store: VideoStore, serving: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    flow = prefect_server.post("flows/", name="publish")["id"]
    after = prefect_server.post("deployments/", name="films", flow_id=flow)["id"]
    follow("What comes after", prefect_server.environment)
    serving.fault("run", "status", code=400, prompt="Refused.")
    await storyboard_to_shots(make_board("Refused.", title="Nothing"), credentials, store, return_state=True)
    made = await storyboard_to_shots(make_board("Dawn."), credentials, store)
    [run] = all_of(lambda: prefect_server.post("flow_runs/filter", deployments={"id": {"any_": [after]}}), 1)
    assert run["parameters"] == {"manifest": made.manifest, "film": made.film}
    assert len(serving.charges) == 1
