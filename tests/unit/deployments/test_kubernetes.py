"""kubernetes-worker.yaml is what Kubernetes takes, fits kubernetes.yaml, and asks for no right too many."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import pytest

from tests.support.deployment_files import one, several
from tests.support.places import ROOT

MANIFESTS: list[dict[str, Any]] = several("kubernetes-worker.yaml")
JOB: dict[str, Any] = one("kubernetes.yaml")["definitions"]["job"]


def _of_kind(kind: str) -> list[dict[str, Any]]:
    return [manifest for manifest in MANIFESTS if manifest["kind"] == kind]


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_each_manifest_is_what_kubernetes_takes(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_what_one_manifest_names_another_one_makes() -> None:
    [namespace] = [one["metadata"]["name"] for one in _of_kind("Namespace")]
    accounts = {one["metadata"]["name"] for one in _of_kind("ServiceAccount")}
    [role], [binding], [deployment] = _of_kind("Role"), _of_kind("RoleBinding"), _of_kind("Deployment")
    pod = deployment["spec"]["template"]
    assert {one["metadata"].get("namespace", namespace) for one in MANIFESTS} == {namespace} == {JOB["namespace"]}
    assert accounts == {pod["spec"]["serviceAccountName"], JOB["service_account_name"]}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert [one["name"] for one in binding["subjects"]] == [pod["spec"]["serviceAccountName"]]
    assert deployment["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]


def test_the_workers_poll_the_pool_of_kubernetes_yaml_with_its_image() -> None:
    [deployment] = _of_kind("Deployment")
    [worker] = deployment["spec"]["template"]["spec"]["containers"]
    pool = worker["args"][worker["args"].index("--pool") + 1]
    assert {one["work_pool"]["name"] for one in one("kubernetes.yaml")["deployments"]} == {pool}
    assert worker["image"] == JOB["image"]
    assert deployment["spec"]["replicas"] == 2


def test_secrets_come_by_reference_and_are_not_in_the_file() -> None:
    assert _of_kind("Secret") == []
    [deployment] = _of_kind("Deployment")
    [worker] = deployment["spec"]["template"]["spec"]["containers"]
    by_reference = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in worker["env"] if "valueFrom" in one}
    assert set(by_reference) == {"PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"}
    values = {one["name"]: one["value"] for one in worker["env"] if "value" in one}
    handed_on = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_"
    for what, key in (("AUTH_STRING", "auth-string"), ("KEY", "key")):
        assert by_reference[f"PREFECT_API_{what}"]["key"] == key
        assert values[f"{handed_on}{what}_SECRET_NAME"] == by_reference[f"PREFECT_API_{what}"]["name"]
        assert values[f"{handed_on}{what}_SECRET_KEY"] == key


def test_the_worker_may_make_jobs_and_see_them_and_nothing_else() -> None:
    [role] = _of_kind("Role")
    rights = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert {resource for resource, verb in rights if verb not in ("get", "list", "watch")} == {"jobs"}
    assert "*" not in {word for right in rights for word in right}
    assert not [right for right in rights if right[0] == "secrets"]
    [runs] = [one for one in _of_kind("ServiceAccount") if one["metadata"]["name"] == JOB["service_account_name"]]
    assert runs["automountServiceAccountToken"] is False


def test_it_runs_as_the_user_of_the_image_who_is_not_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    [made] = re.findall(r"useradd --uid (\d+)", dockerfile)
    [used] = re.findall(r"^USER (\d+)$", dockerfile, re.MULTILINE)
    [deployment] = _of_kind("Deployment")
    spec = deployment["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert made == used == str(spec["securityContext"]["runAsUser"])
    [worker] = spec["containers"]
    assert worker["securityContext"]["capabilities"] == {"drop": ["ALL"]}
