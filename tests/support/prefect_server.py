"""A real Prefect server in a process of its own, as a test sees it."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import certifi
import httpx

from prefect_seedance.cli.temporary_server import with_database
from tests.support.forked import prefect_python
from tests.support.processes import free_port

PATIENCE = 180.0
"""Seconds for an answer: whoever waits for SQLite's lock waits for a minute, and then it goes on."""
START_SECONDS = 300
"""A first start makes a database; two cores that run other tests take their time."""


NOT_NEEDED = {
    "PREFECT_API_BLOCKS_REGISTER_ON_START": "false",
    "PREFECT_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
    "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}
"""Of a server: half of what it costs while nobody asks, and a transaction for each state of a task."""


class RunningPrefect:
    """The server, as a test sees it."""

    def __init__(self, url: str, home: Path) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.url = url
        self.home = home
        self.api = httpx.Client(base_url=f"{url}/", timeout=PATIENCE, trust_env=False, verify=False)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find this server and no other."""
        return {
            "PREFECT_API_URL": self.url,
            "PREFECT_HOME": str(self.home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_CLI_PROMPT": "false",
            "PREFECT_CLI_COLORS": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_RUNNER_POLL_FREQUENCY": "1",
            "PREFECT_API_REQUEST_TIMEOUT": str(PATIENCE),
            "PREFECT_API_SSL_CERT_FILE": one_certificate(),
            "DO_NOT_TRACK": "1",
        }

    def cli(self, *words: str, **more: Any) -> str:
        """What `prefect WORDS` says; it has to succeed."""
        ran = subprocess.run(
            [prefect_python(), "-m", "prefect", *words],
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **more,
        )
        assert ran.returncode == 0, ran.stdout
        return str(ran.stdout)

    def get(self, path: str) -> Any:
        return self._ask("GET", path)

    def post(self, path: str, **body: Any) -> Any:
        return self._ask("POST", path, json=body)

    def patch(self, path: str, **body: Any) -> None:
        self._ask("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        self._ask("DELETE", path)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        """Its answer. 503 means that SQLite was busy and nothing was done; Prefect's own client repeats that too."""
        deadline = time.monotonic() + START_SECONDS
        while (response := self.api.request(method, path, **more)).status_code == 503:
            assert time.monotonic() < deadline, response.text
            time.sleep(0.5)
        assert response.is_success, f"{response.status_code}: {response.text}"
        return response.json() if response.content else None

    def flow_run(self, run_id: str) -> dict[str, Any]:
        run: dict[str, Any] = self.get(f"flow_runs/{run_id}")
        return run

    def wait_for_state(
        self, run_id: str, *names: str, asked: Callable[[], bool] = lambda: True, seconds: float = 300
    ) -> dict[str, Any]:
        """The flow run once its state has one of *names*; whatever else ends it fails the test with its message."""
        deadline = time.monotonic() + seconds
        while True:
            run = self.flow_run(run_id)
            state = run["state"]
            if state["name"] in names and asked():
                return run
            ended = state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
            assert not ended, f"{state['name']}: {state['message']}\n{self.logs(run_id)}"
            assert time.monotonic() < deadline, f"still {state['name']}\n{self.logs(run_id)}"
            time.sleep(0.3)

    def logs(self, run_id: str) -> str:
        found = self.post("logs/filter", logs={"flow_run_id": {"any_": [run_id]}}, sort="TIMESTAMP_ASC")
        return "\n".join(line["message"] for line in found)


@contextmanager
def serving_on(folder: Path, more: dict[str, str], python: str = "") -> Iterator[RunningPrefect]:
    """A server of one's own, with *more* in its environment; forked, unless an interpreter is named."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    running = RunningPrefect(f"http://127.0.0.1:{port}/api", folder / "home")
    environment = _of_a_server(running.home, more)
    words = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([python or prefect_python(), *words], env=environment, stdout=log, stderr=log)
    running.process = server
    try:
        _wait_until_it_answers(running, server, folder / "log")
        yield running
    finally:
        running.api.close()
        stop(server)


def one_certificate() -> str:
    """A file of one certificate, for clients of plain http: all that are known cost each of them 60 ms."""
    return _file_of_one_certificate().name


@functools.cache
def _file_of_one_certificate() -> IO[str]:
    end = "-----END CERTIFICATE-----\n"
    file = tempfile.NamedTemporaryFile("w", suffix=".pem")  # noqa: SIM115  it is there as long as this process
    file.write(certifi.contents().partition(end)[0] + end)
    file.flush()
    return file


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server or a worker of Prefect, whatever it thinks of that."""
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_it_answers(running: RunningPrefect, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if running.api.get("health", timeout=10).is_success:
                break
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the Prefect server for tests did not start:\n{log.read_text()[-4000:]}")
        time.sleep(0.1)


def _of_a_server(home: Path, more: dict[str, str]) -> dict[str, str]:
    """The environment of a server that keeps its database in *home*, which begins with one, unless *more* names one."""
    environment = os.environ | RunningPrefect("", home).environment | NOT_NEEDED | more
    del environment["PREFECT_API_URL"]
    return environment | with_database(environment)
