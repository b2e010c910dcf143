"""A board for flows, an account and a store to run it with; the fixtures are imported where they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from prefect_seedance import Defaults, RunpodCredentials, ShotSpec, Storyboard, VideoStore
from tests.support.emulating import RunningEmulator

SMALL = Defaults(size="640x640", duration=2)


@pytest.fixture
def credentials(emulator: RunningEmulator) -> RunpodCredentials:
    return RunpodCredentials(api_key=SecretStr("test-key"), base_url=emulator.base_url)


@pytest.fixture
def store(tmp_path: Path) -> VideoStore:
    return VideoStore(url=str(tmp_path / "store"))


def make_board(*prompts: str, title: str = "The lighthouse", **more: Any) -> Storyboard:
    shots = tuple(ShotSpec(id=f"shot-{n}", prompt=prompt) for n, prompt in enumerate(prompts, 1))
    return Storyboard(title=title, defaults=SMALL, shots=shots, **more)
