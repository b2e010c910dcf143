"""A command ends at once where its Prefect server is gone, and after what it has claimed all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.emulating import RunningEmulator
from tests.support.places import ROOT
from tests.support.processes import free_port

ENDING = """
import asyncio, sys, threading, time
from pathlib import Path
from prefect_seedance.cli.ending import end_at_once_if_prefect_is_gone
from prefect_seedance.generation.sender import settled

begun = threading.Event()

async def claim():
    begun.set()
    await asyncio.sleep(1)
    Path("outcome").touch()

threading.Thread(target=lambda: asyncio.run(settled(claim)), daemon=True).start()
begun.wait()
end_at_once_if_prefect_is_gone(5)
Path("returned").touch()
"""


def ended(folder: Path, api: str) -> int:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": api}
    return subprocess.run(
        [sys.executable, "-c", ENDING], cwd=folder, env=environment, timeout=90, check=False
    ).returncode


@pytest.mark.slow
def test_where_nothing_listens_any_more_a_command_ends_with_its_code_after_what_it_has_claimed(tmp_path: Path) -> None:
    assert ended(tmp_path, f"http://127.0.0.1:{free_port()}/api") == 5
    assert (tmp_path / "outcome").exists()
    assert not (tmp_path / "returned").exists()


@pytest.mark.slow
def test_a_server_that_only_refuses_may_yet_take_what_is_left(tmp_path: Path, emulator: RunningEmulator) -> None:
    assert ended(tmp_path, emulator.base_url) == 0  # which knows no health
    assert (tmp_path / "returned").exists()
