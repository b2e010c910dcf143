"""Where commands are run, and the Prefect server that the tests of flows share, which ends with this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commanding import Desk
from tests.support.emulating import RunningEmulator
from tests.support.prefect_server import PATIENCE, RunningPrefect, serving_on


@pytest.fixture
def desk(tmp_path: Path, emulator: RunningEmulator) -> Desk:
    """Without a Prefect API; a file whose commands need one has a desk of its own."""
    return Desk(tmp_path, {"RUNPOD_API_KEY": "k", "RUNPOD_BASE_URL": emulator.base_url})


@pytest.fixture(scope="package")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPrefect]:
    """A Prefect server for flows of this process and of any with its `environment`. Its tests share its database.

    One for each worker of a test run: with one for all SQLite stands still, since whoever waits for its lock waits for
    a minute.
    """
    from prefect import settings as known
    from prefect.logging.handlers import APILogWorker
    from prefect.settings import PREFECT_API_REQUEST_TIMEOUT, PREFECT_API_URL, PREFECT_HOME, temporary_settings

    folder = tmp_path_factory.mktemp("prefect-server")
    without_ui = {"PREFECT_SERVER_UI_ENABLED": "false"}
    with serving_on(folder, without_ui) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        settings = {PREFECT_API_URL: server.url, PREFECT_HOME: server.home, PREFECT_API_REQUEST_TIMEOUT: PATIENCE}
        if heartbeat := getattr(known, "PREFECT_FLOWS_HEARTBEAT_FREQUENCY", None):  # Prefect 3.6 knows none
            settings[heartbeat] = None
        with temporary_settings(settings):
            yield server
            APILogWorker.drain_all(timeout=10)  # while there still is somebody to take the logs
