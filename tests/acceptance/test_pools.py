"""Docker and Kubernetes pools, and the setup of compose.yaml, against a real Prefect server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.deployment_files import one
from tests.support.deployments_page import readme_section
from tests.support.forked import path_to_commands
from tests.support.places import ROOT
from tests.support.prefect_server import RunningPrefect
from tests.support.s3_server import RunningS3

NAMES = {deployment["name"] for deployment in one("prefect.yaml")["deployments"]}
SECRET = "rpa_THE-KEY-OF-THE-TESTS"
BLOCKS = ("runpod-credentials", "video-store", "spending-limits")


@pytest.fixture(scope="module")
def empty(prefect_server: RunningPrefect) -> Iterator[RunningPrefect]:
    """A server that knows nothing of ours, before and after."""
    _forget(prefect_server)
    yield prefect_server
    _forget(prefect_server)


def _forget(server: RunningPrefect) -> None:
    for deployment in server.post("deployments/filter"):
        if "seedance" in deployment["tags"]:
            server.delete(f"deployments/{deployment['id']}")
    for pool in server.post("work_pools/filter"):
        if pool["name"].startswith("seedance"):
            server.delete(f"work_pools/{pool['name']}")
    for block in server.post("block_documents/filter"):
        if block["name"] == "seedance":
            server.delete(f"block_documents/{block['id']}")


def _set_up(server: RunningPrefect, s3: RunningS3) -> None:
    environment = os.environ | server.environment | s3.environment
    environment |= {
        "PATH": path_to_commands(),
        "RUNPOD_API_KEY": SECRET,
        "RUNPOD_BASE_URL": "",
        "SEEDANCE_STORE": "s3://made-by-the-setup/films",
        "SEEDANCE_S3_ENDPOINT": s3.endpoint_url,
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "deployments" / "setup.py")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert SECRET not in done.stdout


def _deployments(server: RunningPrefect) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in server.post("deployments/filter") if "seedance" in one["tags"]}


def test_the_setup_of_compose_makes_what_is_missing_and_leaves_what_a_person_has_changed(
    empty: RunningPrefect, s3_server: RunningS3
) -> None:
    _set_up(empty, s3_server)
    made = _deployments(empty)
    assert set(made) == NAMES
    assert {one["work_pool_name"] for one in made.values()} == {"seedance"}
    assert SECRET not in json.dumps(made)
    inbox = made["inbox"]
    [schedule] = inbox["schedules"]
    empty.cli("deployment", "schedule", "pause", "process-inbox/inbox", schedule["id"])
    limits = "block_types/slug/spending-limits/block_documents/name/seedance"
    block = empty.get(limits)
    empty.patch(f"block_documents/{block['id']}", data={"per_day": 7}, merge_existing_data=True)
    collector = made["collect"]["id"]
    empty.delete(f"deployments/{collector}")

    _set_up(empty, s3_server)
    again = _deployments(empty)
    assert set(again) == NAMES
    assert again["collect"]["id"] != collector
    assert again["inbox"] == inbox | {
        key: again["inbox"][key] for key in ("updated", "schedules", "status", "last_polled")
    }
    assert [one["active"] for one in again["inbox"]["schedules"]] == [False]
    assert empty.get(limits)["data"]["per_day"] == 7


@pytest.mark.parametrize("road", ["docker", "kubernetes"])
def test_the_commands_of_the_page_deploy_to_such_a_pool_as_they_do_to_processes(
    empty: RunningPrefect, road: str
) -> None:
    processes = one("prefect.yaml")["deployments"]
    commands = re.findall(r"^prefect (.+)$", readme_section(f"A {road.title()} pool"), re.MULTILINE)
    assert len(commands) >= 2
    for command in commands:
        if "worker start" not in command:
            empty.cli(*command.split(), cwd=ROOT)
    stored = _deployments(empty)
    assert set(stored) == NAMES
    takes = empty.get(f"work_pools/seedance-{road}")["base_job_template"]["variables"]["properties"]
    for wanted in processes:
        deployment = stored[wanted["name"]]
        assert deployment["work_pool_name"] == f"seedance-{road}"
        assert deployment["work_queue_name"] == wanted["work_pool"].get("work_queue_name", "default")
        assert set(deployment["job_variables"]) <= set(takes)
        assert deployment["job_variables"]["image"] == "prefect-seedance"
        assert deployment["parameters"] == wanted["parameters"]
        assert deployment["entrypoint"] == wanted["entrypoint"]
        if "concurrency_limit" in wanted:  # of campaigns and shards there are many at once
            assert deployment["concurrency_limit"] is None or deployment["concurrency_limit"] == 1
            assert deployment["global_concurrency_limit"]["limit"] == 1
            strategy = wanted["concurrency_limit"]["collision_strategy"]
            assert deployment["concurrency_options"]["collision_strategy"] == strategy
        assert [each["active"] for each in deployment["schedules"]] == [each["active"] for each in wanted["schedules"]]
        assert deployment["pull_steps"] in (None, [])
        assert str(ROOT) not in json.dumps(deployment)
