"""The Prefect server that the page of the deployments starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.deployments_page import readme_section
from tests.support.forked import path_to_commands
from tests.support.prefect_server import RunningPrefect
from tests.support.processes import free_port, until


@contextmanager
def server_of_the_page(folder: Path) -> Iterator[RunningPrefect]:
    """The server that section 1 starts, killed at the end."""
    port = free_port()
    [first, *_] = re.findall(r"```bash\n(.*?)```", readme_section("A server"), re.DOTALL)
    assert "nohup prefect server start" in first
    environment = os.environ | {"PREFECT_HOME": str(folder / "home"), "PREFECT_SERVER_API_PORT": str(port)}
    environment |= {"PATH": path_to_commands()}
    shell = subprocess.Popen(["bash", "-c", first], env=environment, cwd=folder, start_new_session=True)
    started = RunningPrefect(f"http://127.0.0.1:{port}/api", folder / "home")

    def answers() -> bool:
        try:
            return started.api.get("health").is_success
        except httpx.TransportError:
            return False

    try:
        assert shell.wait() == 0
        until(answers)
        yield started
    finally:
        started.api.close()
        os.killpg(shell.pid, signal.SIGKILL)


def test_the_server_of_the_page_starts_and_knows_after_its_death_who_holds_places(tmp_path: Path) -> None:
    limits = "v2/concurrency_limits"
    with server_of_the_page(tmp_path) as server:
        assert (tmp_path / "prefect-server.log").exists()
        server.post(f"{limits}/", name="seedance-jobs", limit=20)
        wanted = {"names": ["seedance-jobs"], "slots": 20, "mode": "concurrency"}
        lease = server.post(f"{limits}/increment-with-lease", **wanted)["lease_id"]
    with server_of_the_page(tmp_path) as server:
        server.post(f"{limits}/leases/{lease}/renew", lease_duration=60)
        server.post(f"{limits}/decrement-with-lease", lease_id=lease)
        assert server.get(f"{limits}/seedance-jobs")["active_slots"] == 0
