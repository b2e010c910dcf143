"""compose.yaml without Docker: its services with their own commands, settings and health checks, in containers of the
image, against a real PostgreSQL, a real Redis and a real S3 server of this machine."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.containers.image import Container, container
from tests.support.deployment_files import compose_text
from tests.support.emulating import RunningEmulator
from tests.support.places import ROOT
from tests.support.postgres_server import RunningPostgres
from tests.support.prefect_server import RunningPrefect
from tests.support.processes import free_port, until
from tests.support.s3_server import RunningS3

BOARD = {
    "title": "By a worker",
    "defaults": {"size": "640x640", "duration": 2},
    "shots": [{"id": "a", "prompt": "Gulls."}],
}


class Stack:
    """What stands where the names of compose.yaml lead to."""

    def __init__(self, folder: Path, exits: ExitStack) -> None:
        self.folder, self.exits = folder, exits
        postgres = RunningPostgres(folder / "postgres")
        exits.callback(postgres.stop)
        redis = exits.enter_context(_redis(folder))
        s3 = RunningS3().start()
        exits.callback(s3.stop)
        self.emulator = exits.enter_context(RunningEmulator.start(latency=1))
        self.api = free_port()
        text = compose_text(
            POSTGRES_PASSWORD="p@ss/word:1",
            RUNPOD_BASE_URL=self.emulator.base_url,
            SEEDANCE_S3_ENDPOINT=s3.endpoint_url,
            SEEDANCE_STORE="s3://films-of-the-stack/films",
        )
        for written, here in (
            ("DATABASE_HOST: postgres", "DATABASE_HOST: 127.0.0.1"),
            ('DATABASE_PORT: "5432"', f'DATABASE_PORT: "{postgres.port}"'),
            ("DATABASE_NAME: prefect", "DATABASE_NAME: postgres"),
            ("MESSAGING_HOST: redis", "MESSAGING_HOST: 127.0.0.1"),
            ('MESSAGING_PORT: "6379"', f'MESSAGING_PORT: "{redis}"'),
            ("redis://redis:6379", f"redis://127.0.0.1:{redis}"),
            ("http://api:4200", f"http://127.0.0.1:{self.api}"),
            ("http://127.0.0.1:4200", f"http://127.0.0.1:{self.api}"),
            ("--host, 0.0.0.0", "--host, 127.0.0.1"),
            ('"4200"', f'"{self.api}"'),
        ):
            assert written in text, written
            text = text.replace(written, here)
        self.services: dict[str, Any] = yaml.safe_load(text)["services"]

    def container(self, service: str) -> Container:
        mounts = [mount for mount in self.services[service].get("volumes", ()) if mount.startswith("./")]
        mounts = [f"{ROOT / 'deployments'}/{mount.removeprefix('./')}" for mount in mounts]
        return self.exits.enter_context(container(mounts))

    def ends(self, service: str) -> str:
        """Run a service that comes to an end, as it does."""
        described = self.services[service]
        return self.container(service).run(*described["command"], environment=described["environment"])

    def starts(self, service: str) -> None:
        """Run a service until its own health check passes."""
        described, where, health = self.services[service], self.container(service), str(free_port())
        log = self.folder / f"{where.name}.log"
        environment = described["environment"] | {"PREFECT_WORKER_WEBSERVER_PORT": health}
        process = self.exits.enter_context(where.running(*described["command"], log=log, environment=environment))
        _, *check = [word.replace(":8080", f":{health}") for word in described["healthcheck"]["test"]]

        def healthy() -> bool:
            assert process.poll() is None, log.read_text()[-6000:]
            return where.works(*check, environment=environment)

        until(healthy, pause=3)


@contextmanager
def _redis(folder: Path) -> Iterator[int]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def check(folder: Path) -> list[str]:
    """The promises of compose.yaml are kept, or `AssertionError`; their names, in words."""
    with ExitStack() as exits:
        stack = Stack(folder, exits)
        stack.ends("migrate")
        stack.starts("api")
        stack.starts("services")
        for _ in range(2):
            stack.ends("setup")
        for _ in range(2):
            stack.starts("worker")
        shown = httpx.get(f"http://127.0.0.1:{stack.api}/ui-settings", trust_env=False).json()
        assert (shown["api_url"], shown["available_uis"]) == ("/api", ["v1", "v2"])
        server = RunningPrefect(f"http://127.0.0.1:{stack.api}/api", folder)
        deployment = server.get("deployments/name/storyboard-to-shots/storyboard")["id"]
        for _ in range(2):
            run = server.post(f"deployments/{deployment}/create_flow_run", parameters={"storyboard": BOARD})["id"]
            server.wait_for_state(run, "Completed")
        assert len(stack.emulator.charges) == 1
        until(partial(_events, server, "prefect-seedance.clip.stored"))
        until(partial(_recorded, server, run))
    return [
        "database, API, background services, setup (twice) and two workers of compose.yaml start and are healthy",
        "two runs of a deployment make one clip, paid once; its event and its task runs came through Redis",
    ]


def _recorded(server: RunningPrefect, run: str) -> bool:
    """All task runs of a flow run are known, and known to have ended."""
    found = server.post("task_runs/filter", flow_runs={"id": {"any_": [run]}})
    return bool(found) and all(one["state_type"] == "COMPLETED" for one in found)


def _events(server: RunningPrefect, name: str) -> list[Any]:
    found: list[Any] = server.post("events/filter", filter={"event": {"name": [name]}})["events"]
    return found
