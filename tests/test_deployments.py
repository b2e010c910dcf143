"""The deployments, done for real: server, blocks, work pool, deploy, worker, a scheduled run that ends with a clip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from emulating import RunningEmulator
from prefect.flows import load_flow_from_entrypoint
from prefect_server import RunningPrefect
from pydantic import SecretStr

from prefect_seedance import RunpodCredentials, SpendingLimits, VideoStore

pytest_plugins = ["prefect_server"]

ROOT = Path(__file__).parent.parent
DEPLOY = ("--no-prompt", "deploy", "--all", "--prefect-file", "deployments/prefect.yaml")
KEY = "rpa_THE-KEY-OF-THE-TESTS"
BOARD = """
title: The lighthouse
defaults: {size: 640x640, duration: 2}
shots:
  - {id: arrival, prompt: A keeper rows.}
"""


def deployments() -> dict[str, dict[str, Any]]:
    written = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text(encoding="utf-8"))
    return {deployment["name"]: deployment for deployment in written["deployments"]}


@pytest.mark.parametrize("name", ["collect", "inbox", "storyboard", "animation"])
def test_every_entry_point_really_imports_and_takes_its_parameters(name: str) -> None:
    deployment = deployments()[name]
    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    wanted = flow.parameters.model_dump()
    assert set(deployment["parameters"]) <= set(wanted["properties"])
    assert set(wanted["required"]) <= set(deployment["parameters"])
    file, function = deployment["entrypoint"].removeprefix("prefect_seedance.").rsplit(".", 1)
    by_path = f"{file.replace('.', '/')}.py:{function}"
    assert load_flow_from_entrypoint(by_path, use_placeholder_flow=False).name == flow.name


def test_whoever_spends_has_a_budget_limits_and_no_second_run_at_once() -> None:
    for name, deployment in deployments().items():
        assert deployment["concurrency_limit"]["limit"] == 1
        assert deployment["concurrency_limit"]["collision_strategy"] in ("ENQUEUE", "CANCEL_NEW")
        assert deployment["tags"]
        assert deployment["description"]
        active = [schedule["interval"] for schedule in deployment["schedules"] if schedule["active"]]
        assert active == {"collect": [300], "inbox": [600]}.get(name, [])
        if name != "collect":
            assert deployment["parameters"]["budget"] > 0
            assert deployment["parameters"]["limits"]


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[RunningEmulator]:
    (tmp_path / "store").mkdir()
    with RunningEmulator.start(latency=0.3, serve=tmp_path / "store") as running:
        yield running


@pytest.fixture
def deployed(prefect_server: RunningPrefect, serving: RunningEmulator, tmp_path: Path) -> RunningPrefect:
    """A server on which deployments/README.md was followed up to the worker."""
    prefect_server.cli("block", "register", "--module", "prefect_seedance.blocks")
    RunpodCredentials(api_key=SecretStr(KEY), base_url=serving.base_url).save("seedance", overwrite=True)
    VideoStore(url=str(tmp_path / "store"), public_base_url=serving.public_base_url).save("seedance", overwrite=True)
    SpendingLimits(per_day=50, per_month=500, approve_above=10).save("seedance", overwrite=True)
    prefect_server.cli("work-pool", "create", "seedance", "--type", "process", "--overwrite")
    prefect_server.cli(*DEPLOY, cwd=ROOT)
    return prefect_server


@contextmanager
def worker(server: RunningPrefect, folder: Path) -> Iterator[None]:
    """A worker of the pool, in a folder that knows nothing of the repository."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "seedance"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | server.environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def until(seen: Callable[[], Any], seconds: float = 300) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := seen()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.3)
    return found


def test_the_key_is_nowhere_in_what_a_deployment_stores(deployed: RunningPrefect) -> None:
    stored = deployed.post("deployments/filter")
    ours = [deployment for deployment in stored if "seedance" in deployment["tags"]]
    assert {deployment["name"] for deployment in ours} == set(deployments())
    assert KEY not in json.dumps(ours)
    for deployment in ours:
        assert deployment["parameters"]["credentials"] == {
            "$ref": {"block_document_slug": "runpod-credentials/seedance"}
        }
        assert deployment["pull_steps"] in (None, [])
        assert str(ROOT) not in json.dumps(deployment)
        assert deployment["concurrency_options"]["collision_strategy"]
    switched_on = {d["name"]: [s["active"] for s in d["schedules"]] for d in ours}
    assert switched_on == {"collect": [True], "inbox": [True], "storyboard": [False], "animation": [False]}


def test_a_scheduled_run_of_a_deployment_ends_with_a_clip_that_is_paid_once(
    deployed: RunningPrefect, serving: RunningEmulator, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    (store / "inbox").mkdir()
    (store / "inbox" / "board.yaml").write_text(BOARD)
    long_ago = time.time() - 3600
    os.utime(store / "inbox" / "board.yaml", (long_ago, long_ago))
    # The same schedule, but nobody wants to wait ten minutes for it.
    deployed.cli("deployment", "schedule", "create", "process-inbox/inbox", "--interval", "30", "--replace", "-y")

    def ended() -> list[dict[str, Any]]:
        over = {"type": {"any_": ["COMPLETED", "FAILED", "CRASHED"]}}
        runs = deployed.post(
            "flow_runs/filter",
            deployments={"name": {"any_": ["inbox"]}},
            flow_runs={"state": over},
            sort="START_TIME_ASC",
        )
        return [run for run in runs if run["auto_scheduled"]]

    with worker(deployed, tmp_path / "elsewhere"):
        [run, *_] = until(ended)
    assert run["state"]["type"] == "COMPLETED", deployed.logs(run["id"])
    assert "auto-scheduled" in run["tags"]
    report = json.loads((store / "inbox-done" / "board.yaml" / "report.json").read_text())
    assert report["boards"][0]["status"] == "complete"
    assert (store / report["boards"][0]["production"] / "film.mp4").exists()
    assert KEY not in json.dumps(run) + deployed.logs(run["id"])
    assert report["spent_usd"] == pytest.approx(serving.bill()["total_usd"])
    assert len(serving.charges) == 1
