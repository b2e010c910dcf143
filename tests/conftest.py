"""What every test shares: an emulator process, a fresh store, requests made by a factory, and a clean environment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.models import Request
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage import open_store
from prefect_seedance.storage.store import Store
from tests.support import forked
from tests.support.emulating import RunningEmulator

pytest_plugins = [
    "tests.support.calling",
    "tests.support.scheduling",
    "tests.support.store_fixtures",
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell has whatever it starts in the background ignore Ctrl-C, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)

A_DAY = 24 * 60 * 60
MEANT_FOR_USERS = ("RUNPOD_", "AWS_", "PREFECT_SEEDANCE_")
OF_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--live", action="store_true", help="also the tests that pay the real API (at most $0.15)")


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        forked.RUN = os.getppid()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--live") and os.environ.get("RUNPOD_API_KEY"):
        return
    for item in items:
        if item.get_closest_marker("live"):
            item.add_marker(pytest.mark.skip(reason="pays the real API; needs --live and RUNPOD_API_KEY"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    """Tests read what their day has cost (UTC): no body of one begins in the last two minutes of a day."""
    left = A_DAY - time.time() % A_DAY
    if left < 120:
        time.sleep(left)


@pytest.fixture(scope="session")
def proxies() -> dict[str, str]:
    """How the environment reaches other machines: for what does so. Nearly all tests talk to this one only."""
    return {name: value for name, value in os.environ.items() if name.lower() in OF_PROXIES}


@pytest.fixture(scope="session", autouse=True)
def _clean_environment(tmp_path_factory: pytest.TempPathFactory, proxies: dict[str, str]) -> None:
    """Nothing of the machine's own accounts reaches a test, and nothing of a test reaches the machine's home."""
    for name in proxies:
        del os.environ[name]
    for name in [name for name in os.environ if name.startswith(MEANT_FOR_USERS)]:
        if name != "PREFECT_SEEDANCE_TRACEBACK":
            del os.environ[name]
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"


@pytest.fixture
def own_emulator() -> Iterator[RunningEmulator]:
    """A pretend Runpod of this test alone: its bill begins at zero and its clock is its own."""
    with RunningEmulator.start(latency=0.3) as running:
        yield running


@pytest.fixture
def emulator(own_emulator: RunningEmulator) -> RunningEmulator:
    """What a test calls; a folder may have one that its tests share."""
    return own_emulator


@pytest.fixture
def account(emulator: RunningEmulator) -> Account:
    return Account("test-key", emulator.base_url)


@pytest.fixture
def folder_store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def make_request() -> Callable[..., Request]:
    """A small, cheap request; say what differs."""

    def make(**changed: Any) -> Request:
        usual = {"model": "seedance-1-0-pro", "prompt": "A lighthouse.", "size": "640x640", "duration": 2, "fps": 24}
        return Request(**usual | changed)

    return make
