"""Clips that come home at once are sent a few at a time: a queue is no silent store, and a silent store hides none."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path

import pytest

from prefect_seedance.ledger import durable
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Step, next_step
from prefect_seedance.ledger.rescue import rescue_file
from prefect_seedance.ledger.rules import History
from prefect_seedance.rendering.steps import last_of
from prefect_seedance.storage.store import Store
from prefect_seedance.storage.uploads import UPLOADS_AT_ONCE
from tests.support.ledgers import completed
from tests.support.s3_server import Line

pytestmark = pytest.mark.slow

CLIPS = 3 * UPLOADS_AT_ONCE
CLIP_BYTES = 6 * 2**20
"""So long that the store may be silent at one for nine seconds."""


def is_clip(method: str, path: str) -> bool:
    return method == "PUT" and "/clips/" in path


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


async def publish(store: Store, history: History, content: bytes) -> History:
    file = store.scratch() / f"{history.key}.mp4"
    file.write_bytes(content)
    path = f"clips/{history.key}-0123456789ab.mp4"
    stored = next_step(last_of(history), Step.STORED, clip=path, sha256="a" * 64, bytes=len(content))
    try:
        return await durable.publish_and_append(Ledger(store), file, path, stored, history)
    finally:
        file.unlink(missing_ok=True)


async def test_clips_that_wait_for_each_others_upload_are_no_sign_of_a_silent_store(
    far_store: Store, line: Line, state_home: Path
) -> None:
    histories = [await completed(far_store, f"clip {number}") for number in range(CLIPS)]
    asked: list[str] = []

    def slow(method: str, path: str) -> None:
        asked.append(method)
        if is_clip(method, path):
            time.sleep(4)  # of nine; the last begins after eight, and a queue of nine would be an alarm

    line.on_request = slow
    ends = await asyncio.gather(*(publish(far_store, history, b"0" * CLIP_BYTES) for history in histories))
    assert {history.state for history in ends} == {Step.STORED}
    assert not rescue_file().exists()
    assert asked.count("GET") == 0  # where a history stood a moment ago is not read again


async def test_a_store_that_hangs_at_uploads_is_told_for_those_that_wait_too(
    far_store: Store, line: Line, state_home: Path
) -> None:
    histories = [await completed(far_store, f"clip {number}") for number in range(CLIPS)]
    begun: list[str] = []
    turning = threading.Lock()

    def hanging(method: str, path: str) -> bool:
        if is_clip(method, path):
            with turning:
                begun.append(path)
        return is_clip(method, path)

    asked: list[str] = []
    line.silent_at, line.on_request = hanging, lambda method, path: asked.append(method)
    publishing = asyncio.gather(*(publish(far_store, history, b"0") for history in histories))
    while not rescue_file().exists() or len(rescue_file().read_text().splitlines()) < CLIPS:
        await asyncio.sleep(0.05)
    assert len(begun) == UPLOADS_AT_ONCE  # nobody had to wait for the end of another to be told
    told = [json.loads(text) for text in rescue_file().read_text().splitlines()]
    assert {one["record"]["key"] for one in told} == {history.key for history in histories}
    line.silent_at = lambda method, path: False
    assert {history.state for history in await publishing} == {Step.STORED}
    assert asked.count("GET") == 0  # nor after a while
