"""What the image promises by itself."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

from tests.containers.image import Container, container, health_check, json_of
from tests.containers.machine import CERTIFICATES
from tests.support.deployment_files import compose, several
from tests.support.places import ROOT
from tests.support.processes import free_port

BOARD = """
title: In a container
defaults: {size: 640x640, duration: 2}
shots:
  - {id: arrival, prompt: A keeper rows.}
"""
PACKAGES = """
import json, importlib.metadata as m
print(json.dumps({d.name: d.version for d in m.distributions()}))
"""
SETTINGS = """
import json
from prefect.settings import get_current_settings
from prefect_kubernetes.settings import KubernetesSettings
from prefect_redis.client import RedisMessagingSettings
server, redis, kubernetes = get_current_settings().server, RedisMessagingSettings(), KubernetesSettings()
print(json.dumps([
    server.database.driver, server.database.host, server.database.migrate_on_start, server.ui.api_url,
    server.events.messaging_broker, server.events.messaging_cache, server.events.causal_ordering,
    server.concurrency.lease_storage, server.docket.url, redis.host, redis.port,
    kubernetes.worker.api_key_secret_name, kubernetes.worker.api_auth_string_secret_key,
    *kubernetes.observer.namespaces,
]))
"""
REHEARSAL = """
set -e
export RUNPOD_API_KEY=pretend RUNPOD_BASE_URL=http://127.0.0.1:$1/v2
prefect-seedance emulator --port $1 --latency 1 > emulator.log 2>&1 &
emulator=$!
trap 'kill $emulator' EXIT
bill="from urllib.request import urlopen; print(urlopen('http://127.0.0.1:$1/bill').read().decode())"
until python3 -c "$bill" > /dev/null 2>&1; do sleep 0.3; done
prefect-seedance plan /given/board.yaml --store films
for time in once again; do prefect-seedance render /given/board.yaml --store films; done
test -s films/productions/*/*/film.mp4
python3 -c "$bill"
"""


def it_says_its_version_and_its_health_check_passes(image: Container) -> None:
    assert image.run("prefect-seedance", "--version").strip() == version("prefect-seedance")
    assert image.works(*health_check())


def it_is_not_root_and_owns_only_its_home(image: Container) -> None:
    assert image.run("id", "--user", "--name").strip() == "seedance"
    assert image.works("test", "-w", "/home/seedance")
    assert not image.works("test", "-w", "/opt/seedance")
    assert not image.works("test", "-w", "/opt/seedance/bin/prefect-seedance")


def every_package_has_the_version_of_constraints_txt(image: Container) -> None:
    def plain(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    allowed = {plain(name): version for name, version in pinned.items()}
    installed = json_of(image.run("python3", "-c", PACKAGES))
    loose = {name for name, version in installed.items() if allowed.get(plain(name)) != version}
    assert loose == {"prefect-seedance"}, loose
    assert {"prefect-aws", "prefect-docker", "prefect-kubernetes", "prefect-redis", "pyarrow"} <= set(installed)


def what_compose_and_kubernetes_set_is_what_prefect_gets(image: Container) -> None:
    [worker] = [one for one in several("kubernetes-worker.yaml") if one["kind"] == "Deployment"]
    [described] = worker["spec"]["template"]["spec"]["containers"]
    given = {one["name"]: one["value"] for one in described["env"] if "value" in one}
    given |= compose()["x-server-settings"]
    assert json_of(image.run("python3", "-c", SETTINGS, environment=given)) == [
        "postgresql+asyncpg", "postgres", False, "/api",
        "prefect_redis.messaging", "prefect_redis.messaging", "prefect_redis.ordering",
        "prefect_redis.lease_storage", "redis://redis:6379/1", "redis", 6379,
        "prefect-api", "auth-string", "seedance",
    ]  # fmt: skip


def nothing_of_how_it_was_built_is_left_in_it(image: Container) -> None:
    assert not image.works("test", "-e", "/etc/pip.conf")
    assert not image.works("test", "-e", "/build")
    assert image.run("sh", "-c", f"ls -A {CERTIFICATES} 2> /dev/null || true").strip() == ""


def a_film_is_planned_and_rendered_and_paid_once(image: Container) -> None:
    said = image.run("sh", "-c", REHEARSAL, "sh", str(free_port()))
    assert "Traceback" not in said
    assert len(json_of(said)["charges"]) == 1


PROMISES = (
    it_says_its_version_and_its_health_check_passes,
    it_is_not_root_and_owns_only_its_home,
    every_package_has_the_version_of_constraints_txt,
    what_compose_and_kubernetes_set_is_what_prefect_gets,
    nothing_of_how_it_was_built_is_left_in_it,
    a_film_is_planned_and_rendered_and_paid_once,
)


def check(folder: Path) -> list[str]:
    """Each promise is kept, or raises `AssertionError`; their names, in words."""
    (folder / "board.yaml").write_text(BOARD)
    folder.chmod(0o755)
    with container([f"{folder}:/given:ro"]) as image:
        for promise in PROMISES:
            promise(image)
    return [promise.__name__.replace("_", " ") for promise in PROMISES]
