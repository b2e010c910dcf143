"""The deployments for Docker and Kubernetes are those for processes, but for where they run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.deployment_files import compose, one

ROADS = ["docker", "kubernetes"]
IMAGE = "prefect-seedance"


def _without_its_place(deployment: dict[str, Any]) -> dict[str, Any]:
    place = {name: deployment["work_pool"][name] for name in ("work_queue_name",) if name in deployment["work_pool"]}
    return deployment | {"work_pool": place}


@pytest.mark.parametrize("road", ROADS)
def test_flows_parameters_and_money_rules_are_the_same_on_every_road(road: str) -> None:
    written, processes = one(f"{road}.yaml"), one("prefect.yaml")
    assert written["pull"] == []
    ours, theirs = (
        {deployment["name"]: _without_its_place(deployment) for deployment in each["deployments"]}
        for each in (written, processes)
    )
    assert ours == theirs
    assert {deployment["work_pool"]["name"] for deployment in written["deployments"]} == {f"seedance-{road}"}


@pytest.mark.parametrize("road", ROADS)
def test_every_run_gets_the_image_and_none_is_fetched_that_is_there(road: str) -> None:
    for deployment in one(f"{road}.yaml")["deployments"]:
        variables = deployment["work_pool"]["job_variables"]
        assert variables["image"] == IMAGE
        assert variables["image_pull_policy"] == "IfNotPresent"


def test_containers_of_a_docker_pool_keep_what_workers_of_compose_keep() -> None:
    [volume] = one("docker.yaml")["definitions"]["container"]["volumes"]
    name, _, place = volume.partition(":")
    written = compose()
    [kept] = written["services"]["worker"]["volumes"]
    assert (written["volumes"][kept.split(":")[0]]["name"], kept.split(":")[1]) == (name, place)
