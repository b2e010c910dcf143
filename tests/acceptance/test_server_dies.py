"""The Prefect server only shows: when it dies in the middle of a run, nothing that was paid for is missing."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support.commanding import Desk
from tests.support.emulating import RunningEmulator
from tests.support.prefect_server import serving_on

pytestmark = pytest.mark.slow

BOARD = """
    title: The lighthouse
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: arrival, prompt: A keeper rows.}
      - {id: lamp, prompt: The lamp burns.}
"""


def test_a_prefect_server_that_dies_mid_run_takes_neither_film_nor_manifest_nor_exit_code(tmp_path: Path) -> None:
    with RunningEmulator.start(latency=5) as emulator, serving_on(tmp_path / "prefect", {}) as server:
        account = {"RUNPOD_API_KEY": "k", "RUNPOD_BASE_URL": emulator.base_url}
        desk = Desk(tmp_path, account | server.environment)
        process = desk.start("render", desk.board(BOARD), "--json")
        deadline = time.monotonic() + 120
        while len(list(Path(desk.store).rglob("ledger/*/0002.json"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert server.process is not None
        server.process.kill()
        out, err = process.communicate(timeout=150)
        manifest = json.loads(out)
        assert (process.returncode, manifest["status"]) == (0, "complete"), err
        assert (Path(desk.store) / manifest["film"]).exists()
        assert "Traceback" not in err
        assert len(err.splitlines()) < 40, err
        assert len(emulator.charges) == 2
