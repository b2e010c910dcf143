"""The Prefect server only shows: when it dies in the middle of a run, nothing that was paid for is missing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.storage import open_store
from tests.support.commanding import LIGHTHOUSE, Desk
from tests.support.emulating import RunningEmulator
from tests.support.forked import prefect_python
from tests.support.prefect_server import RunningPrefect, serving_on
from tests.support.renderer import small

pytestmark = pytest.mark.slow

OF_TEN = "title: Stars\ndefaults: {size: 640x640, duration: 2}\nshots:\n" + "\n".join(
    f"  - {{id: star-{number}, prompt: Star number {number} lights up.}}" for number in range(10)
)
ENDS_SECONDS = 150
"""What a command may take once its server has died. To wait for the events of ten shots took longer."""


@pytest.fixture
def emulator() -> Iterator[RunningEmulator]:
    with RunningEmulator.start(latency=5) as running:
        yield running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningPrefect]:
    with serving_on(tmp_path / "prefect", {}) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, emulator: RunningEmulator, server: RunningPrefect) -> Desk:
    return Desk(tmp_path, {"RUNPOD_API_KEY": "k", "RUNPOD_BASE_URL": emulator.base_url, **server.environment})


def ended_without(server: RunningPrefect, process: subprocess.Popen[str], begun: Callable[[], bool]) -> Any:
    """The JSON document of a command whose server is killed as soon as it has *begun*; its exit code has to be 0."""
    deadline = time.monotonic() + 240
    while not begun():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert server.process is not None
    server.process.kill()
    out, err = process.communicate(timeout=ENDS_SECONDS)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "Error logging" not in err
    assert len(err.splitlines()) < 40, err
    return json.loads(out)


def submitted(desk: Desk, count: int) -> Callable[[], bool]:
    return lambda: len(list(Path(desk.store).rglob("ledger/*/0002.json"))) >= count


def test_a_prefect_server_that_dies_mid_run_takes_neither_film_nor_manifest_nor_exit_code(
    desk: Desk, server: RunningPrefect, emulator: RunningEmulator
) -> None:
    process = desk.start("render", desk.board(OF_TEN), "--json", python=prefect_python())
    manifest = ended_without(server, process, submitted(desk, 10))
    assert manifest["status"] == "complete"
    assert (Path(desk.store) / manifest["film"]).exists()
    assert len(emulator.charges) == 10


def test_a_prefect_server_that_dies_takes_neither_cost_nor_exit_code_of_an_inbox(
    desk: Desk, server: RunningPrefect, emulator: RunningEmulator
) -> None:
    inbox = Path(desk.store, "inbox")
    inbox.mkdir(parents=True)
    (inbox / "board.yaml").write_text(textwrap.dedent(LIGHTHOUSE))
    report = ended_without(server, desk.start("inbox", "--json", python=prefect_python()), submitted(desk, 2))
    assert [board["status"] for board in report["boards"]] == ["complete"]
    assert report["spent_usd"] == emulator.bill()["total_usd"]
    assert list(inbox.iterdir()) == []
    assert len(emulator.charges) == 2


def test_a_prefect_server_that_dies_takes_no_exit_code_of_the_collector(
    desk: Desk, server: RunningPrefect, emulator: RunningEmulator
) -> None:
    async def left_open() -> None:
        async with RunpodClient(Account("k", emulator.base_url)) as client:
            await submit(RenderSession(client, Ledger(open_store(desk.store))), small("Dawn."))

    asyncio.run(left_open())
    emulator.advance(60)
    emulator.fault("status", "slow", seconds=8)
    asked = emulator.calls()["status"]
    collected = ended_without(
        server, desk.start("collect", "--json", python=prefect_python()), lambda: emulator.calls()["status"] > asked
    )
    assert (collected["stored"], collected["running"]) == (1, 0)
    assert len(emulator.charges) == 1
