"""compose.yaml is a compose file, hangs together, and holds no secret."""

from __future__ import annotations

import re
from typing import Any

import compose_spec
import pytest

from tests.support.deployment_files import VARIABLE, compose, compose_text, example_variables, one, text
from tests.support.places import ROOT

SERVICES: dict[str, Any] = compose()["services"]
ENDS = {"migrate", "setup"}
SECRETS = {"POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RUNPOD_API_KEY"}


def test_it_is_what_the_compose_specification_says() -> None:
    parsed = compose_spec.PyOptions(apply_merge=True).from_yaml(compose_text())
    parsed.validate()
    assert set(parsed.to_spec().services or ()) == set(SERVICES)


def test_it_has_the_parts_of_a_server_that_scales() -> None:
    assert set(SERVICES) == {"postgres", "redis", "s3", "migrate", "api", "services", "setup", "worker"}
    assert "--no-services" in SERVICES["api"]["command"]
    assert SERVICES["services"]["command"] == ["prefect", "server", "services", "start"]
    assert {name: SERVICES[name]["deploy"]["replicas"] for name in ("api", "worker")} == {"api": 2, "worker": 2}
    for part in ("migrate", "api", "services"):
        assert SERVICES[part]["environment"] == compose()["x-server-settings"]


def test_whoever_waits_waits_for_what_tells_that_it_is_ready() -> None:
    for service in SERVICES.values():
        for name, needed in service.get("depends_on", {}).items():
            if name in ENDS:
                assert needed == {"condition": "service_completed_successfully"}
                assert SERVICES[name]["restart"] == "no"
            else:
                assert needed == {"condition": "service_healthy"}
                assert SERVICES[name]["healthcheck"]["test"]
    assert {name for name, service in SERVICES.items() if service.get("healthcheck", {}).get("disable")} == ENDS


def test_every_volume_and_file_that_it_names_is_there() -> None:
    volumes = compose()["volumes"]
    mounted = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", ())]
    files = {mount for mount in mounted if mount.startswith("./")}
    assert set(mounted) - files == set(volumes)
    assert files == {"./setup.py", "./prefect.yaml"}  # and not the folder, in which .env lies with every password
    assert all((ROOT / "deployments" / file).exists() for file in files)
    assert SERVICES["setup"]["command"] == ["python3", "/deployments/setup.py"]
    [build] = [service["build"] for service in SERVICES.values() if "build" in service]  # two at once fail
    assert (ROOT / "deployments" / build["context"] / "Dockerfile").exists()


def test_the_workers_poll_the_pool_of_prefect_yaml() -> None:
    command = SERVICES["worker"]["command"]
    pool = command[command.index("--pool") + 1]
    assert {deployment["work_pool"]["name"] for deployment in one("prefect.yaml")["deployments"]} == {pool}


def test_the_example_of_the_secrets_names_every_variable_and_fills_no_secret() -> None:
    example = example_variables()
    asked = {found["name"]: found for found in VARIABLE.finditer(text("compose.yaml"))}
    assert set(asked) == set(example)
    assert {name for name, found in asked.items() if found["how"] == "?"} == SECRETS
    assert {example[name] for name in SECRETS} == {""}
    for name in SECRETS:
        assert re.search(rf"^{name}=$", text("env.example"), re.MULTILINE)


def test_the_filled_example_is_left_out_by_git_and_by_the_image() -> None:
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    assert not [line for line in ignored if line.startswith("!deployments")]


def test_a_worker_holds_no_secret_and_nobody_more_than_it_needs() -> None:
    assert set(SERVICES["worker"]["environment"]) == {"PREFECT_API_URL"}
    with_key = [name for name, service in SERVICES.items() if "RUNPOD_API_KEY" in service.get("environment", {})]
    assert with_key == ["setup"]
    for service in SERVICES.values():
        for port in service.get("ports", ()):
            assert port["host_ip"] == "127.0.0.1"


@pytest.mark.parametrize("name", ["migrate", "api", "services", "setup", "worker"])
def test_what_is_ours_runs_without_rights(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in SERVICES[name]  # that of the image, which is not root
    assert SERVICES[name]["image"] == "prefect-seedance"
