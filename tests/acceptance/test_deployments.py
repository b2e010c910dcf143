"""The deployments, done for real: server, blocks, work pool, deploy, worker, a scheduled run that ends with a clip."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import load_flow_from_entrypoint
from pydantic import SecretStr

from prefect_seedance import (
    Defaults,
    RunpodCredentials,
    ShotSpec,
    Storyboard,
    VideoStore,
    storyboard_to_shots,
)
from prefect_seedance.errors import OverBudget
from tests.support.deployments_page import follow
from tests.support.emulating import RunningEmulator
from tests.support.forked import prefect_python
from tests.support.places import ROOT
from tests.support.prefect_server import RunningPrefect, stop
from tests.support.processes import until

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


@pytest.mark.parametrize("name", ["collect", "inbox", "storyboard", "animation", "campaign", "shards"])
def test_every_entry_point_really_imports_and_takes_its_parameters(name: str) -> None:
    deployment = deployments()[name]
    flow: Any = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    wanted = flow.parameters.model_dump()
    assert set(deployment["parameters"]) <= set(wanted["properties"])
    by_whoever_starts_it = {"campaign", "shard"} if name == "shards" else set()
    assert set(wanted["required"]) <= set(deployment["parameters"]) | by_whoever_starts_it
    file, function = deployment["entrypoint"].removeprefix("prefect_seedance.").rsplit(".", 1)
    by_path = f"{file.replace('.', '/')}.py:{function}"
    assert load_flow_from_entrypoint(by_path, use_placeholder_flow=False).name == flow.name


def test_whoever_spends_has_a_budget_and_limits_and_all_but_campaigns_no_second_run_at_once() -> None:
    of_a_campaign = deployments()["shards"]  # many at once on purpose; the campaign says what each may spend
    assert (of_a_campaign["schedules"], of_a_campaign["tags"]) == ([], ["seedance", "spends"])
    for name, deployment in deployments().items():
        if name == "shards":
            continue
        if name == "campaign":  # it outlives a server that is away for longer than the lease of a place
            assert "concurrency_limit" not in deployment
        else:
            assert deployment["concurrency_limit"]["limit"] == 1
            assert deployment["concurrency_limit"]["collision_strategy"] in ("ENQUEUE", "CANCEL_NEW")
        assert deployment["tags"]
        assert deployment["description"]
        active = [schedule["interval"] for schedule in deployment["schedules"] if schedule["active"]]
        assert active == {"collect": [300], "inbox": [600]}.get(name, [])
        if name != "collect":
            assert deployment["parameters"]["budget"] > 0
            assert deployment["parameters"]["limits"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of all deployments here."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def serving(folder: Path) -> Iterator[RunningEmulator]:
    with RunningEmulator.start(latency=0.3, serve=folder) as running:
        yield running


@pytest.fixture(scope="module")
def environment(prefect_server: RunningPrefect, serving: RunningEmulator, folder: Path, hook: Hook) -> dict[str, str]:
    return prefect_server.environment | {
        "RUNPOD_API_KEY": KEY,
        "RUNPOD_BASE_URL": serving.base_url,
        "SEEDANCE_STORE": str(folder),
        "SEEDANCE_PUBLIC_URL": serving.public_base_url,
        "SEEDANCE_WEBHOOK": hook.url,
    }


@pytest.fixture(scope="module")
def deployed(prefect_server: RunningPrefect, environment: dict[str, str]) -> RunningPrefect:
    """A server on which deployments/README.md was followed up to the worker."""
    for heading in ("Three blocks", "Limits for all runs", "A work pool"):
        follow(heading, environment)
    return prefect_server


class Hook:
    """Where messages arrive."""

    def __init__(self) -> None:
        messages = self.messages = list[str]()

        class Taking(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
        self.url = f"http://127.0.0.1:{self._listener.server_port}/hook"
        threading.Thread(target=self._listener.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.stop()


@contextmanager
def worker(server: RunningPrefect, folder: Path) -> Iterator[None]:
    """A worker of the pool, in a folder that knows nothing of the repository."""
    folder.mkdir(exist_ok=True)
    command = [prefect_python(), "-m", "prefect", "worker", "start", "--pool", "seedance"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, env=os.environ | server.environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            stop(process)


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
        many_at_once = deployment["name"] in ("campaign", "shards")
        assert many_at_once or deployment["concurrency_options"]["collision_strategy"]
    switched_on = {d["name"]: [s["active"] for s in d["schedules"]] for d in ours}
    off = {"storyboard": [False], "animation": [False], "campaign": [False], "shards": []}
    assert switched_on == {"collect": [True], "inbox": [True], **off}


def test_runs_that_wait_for_a_place_keep_no_collector_waiting(deployed: RunningPrefect) -> None:
    """Workers are handed so many runs at a time, and those that wait for a place stay among them."""
    by_name = {one["name"]: one for one in deployed.post("deployments/filter") if "seedance" in one["tags"]}
    assert {name: one["work_queue_name"] for name, one in by_name.items()} == {
        "collect": "default", "inbox": "default", "storyboard": "renders", "animation": "renders",
        "campaign": "renders", "shards": "shards",
    }  # fmt: skip
    runs = [deployed.post(f"deployments/{by_name[name]['id']}/create_flow_run") for name in ("storyboard", "collect")]
    try:
        handed_out = deployed.post(
            "work_pools/seedance/get_scheduled_flow_runs", limit=1, scheduled_before=runs[1]["created"]
        )
        assert [one["flow_run"]["deployment_id"] for one in handed_out] == [by_name["collect"]["id"]]
    finally:
        for run in runs:
            deployed.delete(f"flow_runs/{run['id']}")


def test_a_schedule_is_switched_on_as_the_page_says(deployed: RunningPrefect, environment: dict[str, str]) -> None:
    follow("A schedule of your own", environment)
    deployment = deployed.get("deployments/name/storyboard-to-shots/storyboard")
    [schedule] = deployment["schedules"]
    assert (schedule["active"], schedule["schedule"]["cron"]) == (True, "0 6 * * *")
    assert schedule["schedule"]["timezone"] == "Europe/Berlin"
    assert deployment["parameters"]["storyboard"] == "s3://your-bucket/storyboards/lighthouse.yaml"
    deployed.cli("deployment", "schedule", "delete", "storyboard-to-shots/storyboard", schedule["id"], "-y")


PASSED_ON = {"allOf", "anyOf", "block_type_slug", "description", "properties", "required", "title", "type"}
"""Words of a block's schema that the form of Prefect's UI sends back to be checked."""


@pytest.mark.parametrize(
    "limits", [{"$ref": {"block_document_slug": "spending-limits/seedance"}}, {"per_day": 5}, None]
)
def test_the_form_of_the_ui_takes_the_blocks_that_a_deployment_names(
    deployed: RunningPrefect, limits: dict[str, Any] | None
) -> None:
    deployment = deployed.get("deployments/name/process-inbox/inbox")
    schema = deployment["parameter_openapi_schema"]
    for name, block in schema["definitions"].items():
        schema["definitions"][name] = {word: value for word, value in block.items() if word in PASSED_ON}
    values = deployment["parameters"] | {"limits": limits}
    assert deployed.post("ui/schemas/validate", schema=schema, values=values)["valid"]


def test_a_scheduled_run_of_a_deployment_ends_with_a_clip_that_is_paid_once(
    deployed: RunningPrefect, serving: RunningEmulator, folder: Path, tmp_path: Path
) -> None:
    (folder / "inbox").mkdir()
    (folder / "inbox" / "board.yaml").write_text(BOARD)
    long_ago = time.time() - 3600
    os.utime(folder / "inbox" / "board.yaml", (long_ago, long_ago))
    paid_before = len(serving.charges)
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
    report = json.loads((folder / "inbox-done" / "board.yaml" / "report.json").read_text())
    assert report["boards"][0]["status"] == "complete"
    assert (folder / report["boards"][0]["production"] / "film.mp4").exists()
    assert KEY not in json.dumps(run) + deployed.logs(run["id"])
    assert len(serving.charges) == paid_before + 1


async def test_messages_come_when_money_is_in_doubt_and_once_an_hour_when_a_budget_says_no(
    deployed: RunningPrefect, serving: RunningEmulator, folder: Path, hook: Hook, environment: dict[str, str]
) -> None:
    follow("Messages", environment)
    credentials = RunpodCredentials(api_key=SecretStr(KEY), base_url=serving.base_url)
    store = VideoStore(url=str(folder))
    for prompt in ("Too dear.", "Too dear as well."):
        with pytest.raises(OverBudget):
            await storyboard_to_shots(board_of(prompt), credentials, store, budget=0.01)
    serving.fault("run", "drop_after")
    unclear: Any = await storyboard_to_shots(board_of("The answer is lost."), credentials, store, return_state=True)
    assert [shot.status for shot in unclear.data.result.shots] == ["unclear"]

    def arrived() -> bool:
        return any("is unclear" in message for message in hook.messages)

    until(arrived)
    [message] = [message for message in hook.messages if "is unclear" in message]
    assert "The answer is lost." in message
    assert "prefect-seedance settle" in message
    [refused] = [message for message in hook.messages if "not allowed to spend" in message]
    assert "more than the budget of $0.01" in refused

    def kept(name: str) -> list[dict[str, Any]]:
        """The events of that name; they are kept in batches."""
        found: list[dict[str, Any]] = deployed.post("events/filter", filter={"event": {"name": [name]}})["events"]
        return found

    for name in ("prefect-seedance.shot.unclear", "prefect-seedance.budget.refused"):
        assert KEY not in json.dumps(until(partial(kept, name)))


def board_of(prompt: str) -> Storyboard:
    return Storyboard(
        title=prompt, defaults=Defaults(size="640x640", duration=2), shots=(ShotSpec(id="a", prompt=prompt),)
    )
