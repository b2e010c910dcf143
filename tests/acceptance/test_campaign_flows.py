"""Campaigns on a real Prefect server: approval in the UI, shards on workers that are killed, nothing paid twice."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import State
from pydantic import SecretStr

from prefect_seedance import RunpodCredentials, SpendingLimits, VideoStore
from prefect_seedance.errors import BadInput, NotApproved
from prefect_seedance.flows.campaign import campaign
from tests.support.asking import references_to, wait_until_asked
from tests.support.campaigns import ONE_SHOT, CampaignDesk, mugs, write_table
from tests.support.emulating import RunningEmulator
from tests.support.forked import prefect_python
from tests.support.prefect_server import RunningPrefect
from tests.support.processes import until
from tests.support.shown import artifacts, events, run_id
from tests.support.workers import kill_tree, worker

pytestmark = pytest.mark.slow

KEY = "rpa_THE-KEY-OF-CAMPAIGNS"
POOL = "campaigns"
DEPLOYMENTS = f"""
pull: []
deployments:
  - name: all
    entrypoint: prefect_seedance.flows.campaign.campaign
    work_pool: {{name: {POOL}}}
    enforce_parameter_schema: true
  - name: workers
    entrypoint: prefect_seedance.flows.campaign_shard.campaign_shard
    work_pool: {{name: {POOL}}}
    enforce_parameter_schema: true
"""


@pytest.fixture
def serving() -> Iterator[RunningEmulator]:
    with RunningEmulator.start(latency=2) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, serving: RunningEmulator, prefect_server: RunningPrefect) -> CampaignDesk:
    """With two rows, and a store and credentials that are saved as blocks."""
    desk = CampaignDesk(tmp_path, {"RUNPOD_API_KEY": "none", **prefect_server.environment})
    desk.board(ONE_SHOT)
    write_table(tmp_path / "table.csv", mugs(2))
    return desk


@pytest.fixture
def blocks(desk: CampaignDesk, serving: RunningEmulator) -> tuple[RunpodCredentials, VideoStore]:
    credentials = RunpodCredentials(api_key=SecretStr(KEY), base_url=serving.base_url)
    store = VideoStore(url=desk.store)
    name = f"campaign-{serving.port}"
    credentials.save(name)
    store.save(name)
    return credentials, store


@pytest.fixture(scope="module")
def deployed(prefect_server: RunningPrefect, tmp_path_factory: pytest.TempPathFactory) -> RunningPrefect:
    folder = tmp_path_factory.mktemp("campaigns")
    (folder / "prefect.yaml").write_text(DEPLOYMENTS)
    prefect_server.cli("work-pool", "create", POOL, "--type", "process")
    prefect_server.cli("--no-prompt", "deploy", "--all", cwd=folder)
    return prefect_server


def test_a_campaign_pauses_for_its_price_and_for_its_canary_and_goes_on_with_what_it_froze(
    deployed: RunningPrefect,
    desk: CampaignDesk,
    blocks: tuple[RunpodCredentials, VideoStore],
    serving: RunningEmulator,
    tmp_path: Path,
) -> None:
    deployment = deployed.get("deployments/name/campaign/all")["id"]
    given = {
        "storyboard": str(desk.folder / "board.yaml"),
        "table": str(desk.folder / "table.csv"),
        "limits": {"per_day": None, "approve_above": 0.01},
        "canary": 1,
        **references_to(str(blocks[0]._block_document_name)),
    }

    def start(**changed: str | None) -> str:
        return str(deployed.post(f"deployments/{deployment}/create_flow_run", parameters=given | changed)["id"])

    with worker(deployed, POOL, "one", tmp_path):
        run = start()
        form = wait_until_asked(deployed, run, "The hash of this campaign is")
        assert "**Mugs** would spend about **$0.10**" in form
        assert "| m00001/turn | A mug number 1 turns. | 640x640 | $0.05 |" in form
        assert serving.calls()["run"] == 0
        moved = (desk.folder / "table.csv").read_text()
        (desk.folder / "table.csv").write_text(moved + "m3,one more\n")
        deployed.post(f"flow_runs/{run}/resume", run_input={"approved": True})
        form = wait_until_asked(deployed, run, "The canary of")
        [found] = desk.ids()
        assert f"{desk.store}/campaigns/{found}/review/0001.html" in form
        assert len(serving.charges) == 1
        deployed.post(f"flow_runs/{run}/resume", run_input={"approved": True})
        ended = deployed.wait_for_state(run, "Completed")
        assert ended["state"]["message"].startswith("2 of 2 clips stored, 2 of 2 shards done, $0.05 spent")
        by_id = deployed.wait_for_state(start(storyboard=found, table=None), "Completed")
        (desk.folder / "table.csv").write_text(moved)
        again = deployed.wait_for_state(start(), "Completed")
    for run_again in (by_id, again):
        assert run_again["state"]["message"] == "2 of 2 clips stored, 2 of 2 shards done, $0.00 spent"
    assert len(serving.charges) == 2
    assert desk.ids() == [found]


def test_shards_on_workers_are_paid_once_whoever_is_killed_and_no_key_reaches_the_server(
    deployed: RunningPrefect,
    desk: CampaignDesk,
    blocks: tuple[RunpodCredentials, VideoStore],
    serving: RunningEmulator,
    tmp_path: Path,
) -> None:
    write_table(desk.folder / "table.csv", mugs(9))
    name = f"block:{blocks[0]._block_document_name}"
    words = ["--account", name, "--deployment", "workers", "--shard-size", "3", "--shards-at-once", "2", "--json"]
    serving.fault("status", "silent", times=10_000)  # so that no shard ends
    parent = _parent(desk, words)
    with worker(deployed, POOL, "two", tmp_path) as doomed:
        until(lambda: len(list(Path(desk.store).glob("ledger/*/0002.json"))) == 6)
        assert _states(deployed, desk) == ["RUNNING", "RUNNING"]
        parent.kill()
        parent.wait()
        kill_tree(doomed.pid)
    serving.clear_faults()
    [found] = desk.ids()
    assert _states(deployed, desk) == ["RUNNING", "RUNNING"]
    parent = _parent(desk, words)
    with worker(deployed, POOL, "three", tmp_path):
        document = json.loads(parent.communicate(timeout=400)[0])
    assert (parent.returncode, document["status"], document["statuses"]) == (0, "complete", {"stored": 9})
    keys = Counter(row["key"] for row in desk.rows(found))
    assert set(keys.values()) == {1}
    assert len(serving.charges) == len(keys) == 9
    runs = _shard_runs(deployed, found)
    assert len({run["idempotency_key"] for run in runs}) == len(runs)
    messages = [run["state"]["message"] for run in runs]
    assert _states(deployed, desk) == ["COMPLETED"] * 3 + ["CRASHED"] * 2, messages
    submits = serving.calls()["run"]
    again = _parent(desk, words)  # there is no worker, and none is needed
    assert json.loads(again.communicate(timeout=120)[0]) == document
    assert (again.returncode, serving.calls()["run"], len(_shard_runs(deployed, found))) == (0, submits, len(runs))
    desk.store = name  # and what is asked about it takes blocks too
    assert desk.run("campaign", "status", found, "--json").document == document
    planned = desk.run("campaign", "plan", "board.yaml", "--table", "table.csv", "--shard-size", "3", "--account", name)
    assert "3 shards are done." in planned.err
    assert desk.run("campaign", "stop", found).code == 0
    for file in deployed.home.rglob("*.db*"):
        assert KEY.encode() not in file.read_bytes(), file
    assert KEY not in json.dumps(runs)
    _few_task_runs_and_events(deployed, [run["id"] for run in runs])


def _parent(desk: CampaignDesk, words: list[str]) -> subprocess.Popen[str]:
    block = words[1]
    command = [prefect_python(), "-m", "prefect_seedance.cli", "campaign", "run", "board.yaml", "--table", "table.csv"]
    with (desk.folder / "parent.log").open("a") as log:
        return subprocess.Popen(
            [*command, *words, "--store", block],
            env=os.environ | desk.environment,
            cwd=desk.folder,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def _states(server: RunningPrefect, desk: CampaignDesk) -> list[str]:
    return sorted(run["state"]["type"] for found in desk.ids() for run in _shard_runs(server, found))


def _shard_runs(server: RunningPrefect, found: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = server.post("flow_runs/filter", flow_runs={"tags": {"all_": [f"campaign:{found}"]}})
    return runs


def _few_task_runs_and_events(server: RunningPrefect, runs: list[str]) -> None:
    """Not one for each clip."""
    assert server.post("task_runs/filter", flow_runs={"id": {"any_": runs}}) == []
    wanted = {
        "event": {"prefix": ["prefect-seedance."]},
        "related": {"id": [f"prefect.flow-run.{run}" for run in runs]},
    }
    assert server.post("events/filter", filter=wanted)["events"] == []


async def test_any_rows_of_a_program_are_a_campaign_and_none_of_them_is_kept_by_the_server(
    desk: CampaignDesk,
    blocks: tuple[RunpodCredentials, VideoStore],
    serving: RunningEmulator,
    prefect_server: RunningPrefect,
) -> None:
    credentials, store = blocks
    board = str(desk.folder / "board.yaml")
    rows = ({**row, "note": "x" * 300_000} for row in mugs(3))
    running: Any = campaign(board, rows, credentials, store, return_state=True)
    state: State[Any] = await running
    made = await state.aresult()
    assert (made.status, made.counts, float(made.spent_usd)) == ("complete", {"stored": 3}, 0.15)
    kept = prefect_server.flow_run(run_id(state))
    assert kept["parameters"]["table"] == "the rows of a program"
    assert KEY not in json.dumps(kept)
    shown = artifacts(prefect_server, state)
    assert "| m00001/turn | A mug number 1 turns. |" in shown["seedance-campaign-plan"]["data"]
    [told] = events(prefect_server, state, "prefect-seedance.campaign.made", 1)
    assert told["payload"] == {"run": run_id(state), **made.model_dump(mode="json")}
    [asset] = events(prefect_server, state, "prefect.asset.materialization.succeeded", 1)
    assert asset["resource"]["prefect.resource.id"] == f"file://{desk.store}/campaigns/{made.id}"
    assert asset["payload"]["cost_usd"] == made.model_dump(mode="json")["cost_usd"]
    assert f"file://{board}" in {one["prefect.resource.id"] for one in asset["related"]}
    assert len(serving.charges) == 3


def test_the_command_with_prefect_ends_as_it_does_without(
    tmp_path: Path, serving: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    account = {"RUNPOD_API_KEY": KEY, "RUNPOD_BASE_URL": serving.base_url}
    ends = []
    for way, environment in (("here", account), ("there", account | prefect_server.environment)):
        (tmp_path / way).mkdir()
        desk = CampaignDesk(tmp_path / way, environment)
        desk.board(ONE_SHOT.replace("turns", f"turns {way}"))
        write_table(desk.folder / "table.csv", mugs(2))
        words = ["--canary", "1", "--approve-above", "0", "--json"]
        dear = desk.campaign("run", *words)
        [told] = [line for line in dear.err.splitlines() if "approve it with --approve" in line]
        words += ["--approve", told.rpartition(" ")[2].rstrip(".")]
        canary, done = desk.campaign("run", *words), desk.campaign("run", *words, "--go-on")
        missing = desk.campaign("run", table="none.csv")
        write_table(desk.folder / "table.csv", mugs(3))
        by_id = desk.run("campaign", "run", desk.ids()[0], "--json")
        assert by_id.document == done.document
        assert f"{desk.store}/campaigns/{desk.ids()[0]}/review/0001.html" in canary.err
        assert "There is no table none.csv here, beside the storyboard or in the store; nothing was" in missing.err
        assert [said.document["shards_left"] for said in (dear, canary)] == [2, 1]
        assert "This run cost $0.05." in canary.err
        codes = [said.code for said in (dear, canary, done, missing, by_id)]
        ends.append([codes, done.document["statuses"], sorted(done.document)])
    assert ends[0] == ends[1]
    assert ends[0][:2] == [[4, 4, 0, 2, 0], {"stored": 2}]
    assert len(serving.charges) == 4
    runs = prefect_server.post("flow_runs/filter", flows={"name": {"any_": ["campaign"]}})
    assert len([run for run in runs if run["parameters"]["storyboard"] == str(desk.folder / "board.yaml")]) == 4


async def test_what_can_not_be_begun_is_one_sentence_before_anything_is_spent(
    desk: CampaignDesk,
    blocks: tuple[RunpodCredentials, VideoStore],
    serving: RunningEmulator,
    deployed: RunningPrefect,
) -> None:
    credentials, store = blocks
    board, table = str(desk.folder / "board.yaml"), str(desk.folder / "table.csv")
    with pytest.raises(BadInput, match="There is no deployment campaign-shard/nowhere; nothing was submitted"):
        await campaign(board, table, credentials, store, deployment="nowhere")
    with pytest.raises(BadInput, match="The deployment campaign/all is not one of campaign-shard"):
        await campaign(board, table, credentials, store, deployment="campaign/all")
    unsaved = RunpodCredentials(api_key=SecretStr(KEY), base_url=serving.base_url)
    with pytest.raises(BadInput, match=r"no saved block.*nothing was submitted; save it with \.save"):
        await campaign(board, table, unsaved, store, deployment="workers")
    with pytest.raises(BadInput, match="The store is no saved block"):
        await campaign(board, table, credentials, VideoStore(url=desk.store), deployment="workers")
    gone = deployed.post("work_pools/", name="gone", type="process")
    await _deploy_on(deployed, str(gone["name"]))
    with pytest.raises(BadInput, match="The deployment lost has no work pool"):
        await campaign(board, table, credentials, store, deployment="lost")
    with pytest.raises(NotApproved) as refused:
        await campaign(board, table, credentials, store, limits=SpendingLimits(approve_above=0.01))
    told = str(refused.value)
    assert "nothing was submitted; approve it with --approve" in told
    desk.board(ONE_SHOT.replace("turns", "spins"))
    with pytest.raises(NotApproved, match="has changed since, which makes another campaign; nothing was submitted"):
        await campaign(board, table, credentials, store, approve=told.rpartition(" ")[2].rstrip("."))
    assert serving.calls()["run"] == 0


async def _deploy_on(server: RunningPrefect, pool: str) -> None:
    """A deployment whose work pool is deleted afterwards."""
    flow = server.post("flows/", name="campaign-shard")["id"]
    server.post("deployments/", name="lost", flow_id=flow, work_pool_name=pool)
    server.delete(f"work_pools/{pool}")
