"""Approval by a person, on a real Prefect server: a deployed run pauses with its plan, and spends only after a yes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from pydantic import SecretStr

from prefect_seedance import RunpodCredentials, SpendingLimits, VideoStore
from tests.support.commanding import Desk
from tests.support.emulating import RunningEmulator
from tests.support.forked import prefect_python
from tests.support.prefect_server import RunningPrefect, stop

BOARD = """
    title: The lighthouse
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: arrival, prompt: A keeper rows.}
      - {id: lamp, prompt: The lamp | burns.}
"""
ANOTHER = BOARD + "      - {id: gulls, prompt: Gulls rise.}\n"
SUSPENDED, REFUSED = "Suspended", "Failed"
PARENT = """
import asyncio, json, sys
from prefect import flow
from prefect.deployments import run_deployment

@flow
async def parent(parameters):
    run = await run_deployment("storyboard-to-shots/approval", parameters=parameters, poll_interval=1)
    production = await run.state.aresult()
    loaded = production.load()
    shots, same = [shot.status for shot in loaded.shots], loaded == await production.aload()
    facts = [production.status, production.counts, float(production.spent_usd), production.manifest]
    print(json.dumps([*facts, shots, same]))

asyncio.run(parent(json.loads(sys.argv[1])))
"""


class Deployed:
    """`storyboard_to_shots` on a worker, with blocks of its own."""

    def __init__(self, server: RunningPrefect, desk: Desk, deployment: str, name: str) -> None:
        self.server = server
        self.desk = desk
        self.deployment = deployment
        self.name = name

    def parameters(self, **more: Any) -> dict[str, Any]:
        kinds = {"credentials": "runpod-credentials", "store": "video-store", "limits": "spending-limits"}
        blocks = {name: {"$ref": {"block_document_slug": f"{kind}/{self.name}"}} for name, kind in kinds.items()}
        return {"storyboard": self.desk.board(BOARD), **blocks, **more}

    def start(self, **more: Any) -> str:
        run = self.server.post(f"deployments/{self.deployment}/create_flow_run", parameters=self.parameters(**more))
        return str(run["id"])

    def start_until_asked(self, **more: Any) -> str:
        run = self.start(**more)
        self.server.wait_for_state(run, SUSPENDED, asked=lambda: self.asked(run) != "")
        return run

    def answer(self, run: str, **given: Any) -> dict[str, Any]:
        """What the form in the UI sends."""
        told: dict[str, Any] = self.server.post(f"flow_runs/{run}/resume", run_input=given)
        return told

    def asked(self, run: str) -> str:
        """What the form in the UI shows; empty while it is still being saved, a moment after the state."""
        keys = self.server.flow_run(run)["state"]["state_details"]["run_input_keyset"] or {}
        saved = [self.server.api.get(f"flow_runs/{run}/input/{keys.get(name)}") for name in ("schema", "description")]
        return str(saved[1].json()) if all(answer.is_success for answer in saved) else ""

    def end(self, run: str, *names: str) -> dict[str, Any]:
        return self.server.wait_for_state(run, *names)


@pytest.fixture(scope="module")
def worked(prefect_server: RunningPrefect, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A worker, and the id of the deployment that it runs."""
    folder = tmp_path_factory.mktemp("worker")
    (folder / "prefect.yaml").write_text(
        "pull: []\n"
        "deployments:\n"
        "  - name: approval\n"
        "    entrypoint: prefect_seedance.flows.storyboard_to_shots.storyboard_to_shots\n"
        "    work_pool: {name: approvals}\n"
        "    enforce_parameter_schema: true\n"
    )
    prefect_server.cli("work-pool", "create", "approvals", "--type", "process", "--overwrite")
    prefect_server.cli("--no-prompt", "deploy", "--all", cwd=folder)
    environment = os.environ | prefect_server.environment
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [prefect_python(), "-m", "prefect", "worker", "start", "--pool", "approvals"],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        yield str(prefect_server.get("deployments/name/storyboard-to-shots/approval")["id"])
        stop(process)


@pytest.fixture
def deployed(worked: str, prefect_server: RunningPrefect, tmp_path: Path, emulator: RunningEmulator) -> Deployed:
    desk = Desk(tmp_path, {"RUNPOD_API_KEY": "k", "RUNPOD_BASE_URL": emulator.base_url, **prefect_server.environment})
    name = f"approval-{emulator.port}"
    RunpodCredentials(api_key=SecretStr("k"), base_url=emulator.base_url).save(name)
    VideoStore(url=desk.store).save(name)
    SpendingLimits(approve_above=0.01).save(name)
    return Deployed(prefect_server, desk, worked, name)


def test_a_dear_plan_pauses_with_its_table_and_goes_on_after_a_yes(
    deployed: Deployed, emulator: RunningEmulator
) -> None:
    run = deployed.start_until_asked()
    shown = deployed.asked(run)
    assert "The lighthouse" in shown
    assert "| arrival | generate |" in shown
    assert deployed.desk.run("plan", deployed.desk.board(BOARD), "--json").document["plan_hash"] in shown
    assert emulator.calls()["run"] == 0

    wrongs: list[Any] = ["perhaps", [], {"yes": True}]
    for wrong in wrongs:
        told = deployed.answer(run, approved=wrong)
        assert told["status"] == "REJECT"
        assert "approved" in told["details"]["reason"]
    assert deployed.server.flow_run(run)["state"]["name"] == SUSPENDED

    assert deployed.answer(run, approved=True)["status"] == "ACCEPT"
    deployed.end(run, "Completed")
    clips = sorted((Path(deployed.desk.store) / "clips").iterdir())
    assert len(clips) == len(emulator.charges) == 2


def test_a_no_spends_nothing(deployed: Deployed, emulator: RunningEmulator) -> None:
    run = deployed.start_until_asked()
    deployed.answer(run, approved=False)
    ended = deployed.end(run, REFUSED)
    assert "declined; nothing was submitted" in ended["state"]["message"]
    assert emulator.calls()["run"] == 0
    assert emulator.charges == []


def test_a_run_that_was_declined_and_is_retried_asks_again(deployed: Deployed, emulator: RunningEmulator) -> None:
    run = deployed.start_until_asked()
    deployed.answer(run, approved=False)
    deployed.end(run, REFUSED)
    retry = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "Retry from the UI"}
    deployed.server.post(f"flow_runs/{run}/set_state", state=retry)
    deployed.server.wait_for_state(run, SUSPENDED, asked=lambda: deployed.asked(run) != "")
    assert emulator.charges == []
    deployed.answer(run, approved=True)
    deployed.end(run, "Completed")
    assert len(emulator.charges) == 2


def test_nobody_answering_in_time_spends_nothing(deployed: Deployed, emulator: RunningEmulator) -> None:
    run = deployed.start_until_asked()
    state = deployed.server.flow_run(run)["state"]
    within = datetime.fromisoformat(state["state_details"]["pause_timeout"]) - datetime.now(UTC)
    assert timedelta(hours=23) < within < timedelta(hours=25)
    state["state_details"]["pause_timeout"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()  # a day has passed
    changed = {name: state[name] for name in ("type", "name", "state_details")}
    deployed.server.post(f"flow_runs/{run}/set_state", state=changed, force=True)
    deployed.answer(run, approved=True)
    deployed.end(run, REFUSED)
    assert emulator.charges == []


def test_a_storyboard_that_changed_while_waiting_is_asked_about_again(
    deployed: Deployed, emulator: RunningEmulator
) -> None:
    run = deployed.start_until_asked()
    deployed.desk.board(ANOTHER)
    deployed.answer(run, approved=True)
    deployed.server.wait_for_state(run, SUSPENDED, asked=lambda: "gulls" in deployed.asked(run))
    assert emulator.calls()["run"] == 0
    deployed.answer(run, approved=True)
    deployed.end(run, "Completed")
    assert len(emulator.charges) == 3


def test_an_approval_is_used_once(deployed: Deployed, emulator: RunningEmulator) -> None:
    emulator.fault("run", "failed", prompt="burns", times=100)
    run = deployed.start_until_asked()
    deployed.answer(run, approved=True)
    deployed.end(run, "Completed")
    again = deployed.start_until_asked(retry_failed=1)
    assert "| lamp | retry |" in deployed.asked(again)
    assert "| arrival | reuse |" in deployed.asked(again)
    assert emulator.calls()["run"] == 2
    assert len(emulator.charges) == 1


async def test_a_run_that_is_part_of_another_flow_names_its_hash_and_one_of_its_own_pauses(
    deployed: Deployed, emulator: RunningEmulator
) -> None:
    name, given = "storyboard-to-shots/approval", deployed.parameters()
    start: Any = partial(run_deployment, name, parameters=given, poll_interval=1)

    @flow
    async def parent() -> tuple[FlowRun, FlowRun]:
        return await start(), await start(as_subflow=False, timeout=0)

    part, own = await parent()
    assert part.state is not None
    assert (part.state.name, emulator.calls()["run"]) == (REFUSED, 0)
    plan_hash = deployed.desk.run("plan", deployed.desk.board(BOARD), "--json").document["plan_hash"]
    assert f"nothing was submitted; approve it with --approve {plan_hash}." in str(part.state.message)
    deployed.server.wait_for_state(str(own.id), SUSPENDED, asked=lambda: plan_hash in deployed.asked(str(own.id)))
    assert emulator.charges == []


def test_the_command_line_asks_by_exit_code_and_takes_a_hash_once(
    tmp_path: Path, emulator: RunningEmulator, prefect_server: RunningPrefect
) -> None:
    desk = Desk(tmp_path, {"RUNPOD_API_KEY": "k", "RUNPOD_BASE_URL": emulator.base_url, **prefect_server.environment})
    render = ("render", desk.board(BOARD), "--approve-above", "0.01", "--retry-failed", "1", "--json")
    asked = desk.run(*render)
    plan_hash = asked.document["plan_hash"]
    assert asked.code == 4
    assert asked.document == desk.run("plan", desk.board(BOARD), "--json").document
    assert f"--approve {plan_hash}" in asked.err

    changed = desk.run("render", desk.board(ANOTHER, "other.yaml"), *render[2:], "--approve", plan_hash)
    assert changed.code == 4
    assert "something changed" in changed.err
    assert emulator.calls()["run"] == 0

    emulator.fault("run", "failed", prompt="burns", times=100)
    partial = desk.run(*render[:4], "--json", "--approve", plan_hash)
    assert partial.code == 3, partial.err
    paid = len(emulator.charges)
    used = desk.run(*render, "--approve", plan_hash)
    assert used.code == 4
    assert len(emulator.charges) == paid == 1

    emulator.clear_faults()
    renewed = desk.run(*render, "--approve", used.document["plan_hash"])
    assert renewed.code == 0, renewed.err
    assert len(emulator.charges) == 2


def test_a_parent_flow_in_another_process_gets_the_production_of_a_deployment_run(
    deployed: Deployed, prefect_server: RunningPrefect, emulator: RunningEmulator
) -> None:
    given = json.dumps(deployed.parameters(limits=None))
    results = prefect_server.home / "storage"
    of_others = set(results.iterdir()) if results.exists() else set()
    ran = subprocess.run(
        [sys.executable, "-c", PARENT, given],
        env=os.environ | prefect_server.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    status, counts, spent, manifest, shots, same = json.loads(ran.stdout.splitlines()[-1])
    assert (status, counts, shots, same) == ("complete", {"stored": 2}, ["stored"] * 2, True)
    assert manifest.startswith(f"file://{deployed.desk.store}/productions/the-lighthouse/")
    kept = set(results.iterdir()) - of_others
    assert kept
    assert [result.read_text() for result in kept if result.stat().st_size > 2_000] == []
    assert spent == emulator.bill()["total_usd"]
    assert len(emulator.charges) == 2
