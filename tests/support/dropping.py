"""An inbox and what is dropped into it, for tests of flows; the fixtures are imported where they are used."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from prefect_seedance import RunpodCredentials, VideoStore
from prefect_seedance.storage.store import Store
from tests.support.emulating import RunningEmulator
from tests.support.shown import serving

__all__ = ["serving"]

ONE = """
    title: {title}
    defaults: {{size: 640x640, duration: 2}}
    shots:
      - {{id: arrival, prompt: {title} at dawn.}}
"""
WITH_PICTURE = """
    title: Harbour
    defaults: {size: 640x640, duration: 2}
    shots:
      - {id: boats, prompt: The boats rock., image: references/boats.png}
      - {id: gulls, prompt: Gulls rise., continue_from: boats}
"""
WITH_ROWS = """
    title: Spring sale
    defaults: {size: 640x640, duration: 2}
    rows: products.csv
    shots:
      - {id: turn, prompt: "A {product} turns slowly."}
"""
BROKEN = """
    title: Broken
    shots:
      - {id: one, prompt: A boat., duration: 99}
      - {id: one, prompt: A gull., continue_from: nobody}
"""


def one(title: str) -> str:
    return ONE.format(title=title)


async def drop(store: Store, name: str, content: str | bytes) -> None:
    """Put a file into the inbox, as any program that can write to the store would."""
    await store.write(f"inbox/{name}", textwrap.dedent(content).encode() if isinstance(content, str) else content)


def told(report: dict[str, Any]) -> dict[str, str]:
    return {board["file"]: board["status"] for board in report["boards"]}


@pytest.fixture
def credentials(serving: RunningEmulator) -> RunpodCredentials:
    return RunpodCredentials(api_key=SecretStr("k-SECRET"), base_url=serving.base_url)


@pytest.fixture
def video_store(store_url: str, serving: RunningEmulator) -> VideoStore:
    return VideoStore(url=store_url, public_base_url=None if "://" in store_url else serving.public_base_url)


@pytest.fixture
def on_disk(tmp_path: Path, serving: RunningEmulator) -> VideoStore:
    return VideoStore(url=str(tmp_path / "store"), public_base_url=serving.public_base_url)
