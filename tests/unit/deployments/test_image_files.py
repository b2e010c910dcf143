"""The Dockerfile and its neighbours: exact versions, short names, no address of anybody's registry, no secret."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.support.deployment_files import compose
from tests.support.places import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
FILES = ["Dockerfile", ".dockerignore", *(f"deployments/{name}" for name in (
    "compose.yaml", "docker.yaml", "kubernetes.yaml", "kubernetes-worker.yaml", "env.example", "setup.py",
))]  # fmt: skip
KUBERNETES_OWN = {"rbac.authorization.k8s.io", "app.kubernetes.io"}
HOST = re.compile(r"\b[\w-]+(?:\.[\w-]+)*\.(?:io|com|org|net|dev|cloud|internal|local)\b")


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_a_host(name: str) -> None:
    assert set(HOST.findall((ROOT / name).read_text(encoding="utf-8"))) <= KUBERNETES_OWN


@pytest.mark.parametrize("name", FILES)
def test_no_file_holds_what_looks_like_a_secret(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert not re.search(r"rpa_|pnu_|AKIA|BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:]+:[^/\s@$]+@", text)
    assert not re.search(
        r"(?i)(?:password|secret|api_key|token)\s*[:=]\s*[\"']?[A-Za-z0-9/+]{8,}[\"']?\s*$", text, re.MULTILINE
    )


def test_images_have_short_names_and_can_be_exchanged() -> None:
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${BASE_IMAGE}", "python", "python"]
    images = {service["image"] for service in compose()["services"].values()}
    assert images == {"prefect-seedance", "postgres:16", "redis:7", compose()["services"]["s3"]["image"]}
    for image in images:
        assert re.fullmatch(r"[a-z-]+(?:/[a-z-]+)?(?::[\w.-]+)?", image)


def test_every_package_of_the_image_comes_in_the_version_of_constraints_txt() -> None:
    installs = re.findall(r"pip install (.+)", DOCKERFILE)
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in install for install in installs)
    assert "--no-build-isolation" in DOCKERFILE  # or pip would fetch the newest hatchling


def test_the_extras_that_it_installs_are_ours() -> None:
    [extras] = re.findall(r"^ARG EXTRAS=(\S+)", DOCKERFILE, re.MULTILINE)
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras.split(",")) == set(ours) - {"test", "docs"}


def test_what_the_image_copies_is_all_that_the_package_is_made_of() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {"prefect_seedance", "flows", "examples", "pyproject.toml", "constraints.txt", "README.md"} <= kept
    assert all((ROOT / name).exists() for name in kept)
    assert kept.isdisjoint({".git", "deployments", "tests"})
