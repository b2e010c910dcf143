"""Files on their way to or from a bucket that says nothing any more: told of in time, and tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from prefect_seedance.errors import StoreUnavailable
from prefect_seedance.storage.s3 import S3Store
from prefect_seedance.storage.store import Store
from prefect_seedance.storage.uploads import PART
from tests.support.s3_server import Line

SILENT_AT: dict[str, tuple[int, Callable[[str, str], bool]]] = {
    "a file in one piece": (3, lambda method, path: method == "PUT"),
    "the begin of its parts": (PART, lambda method, path: method == "POST" and path.endswith("?uploads")),
    "a part": (PART, lambda method, path: "partNumber=" in path),
    "a part and what ends it": (PART, lambda method, path: "uploadId=" in path),
    "the joining of its parts": (PART, lambda method, path: method == "POST" and "uploadId=" in path),
}
"""What the bucket is silent at, and a size of a file to which that happens."""


@pytest.fixture
async def impatient(line: Line, far_store: Store) -> AsyncIterator[Store]:
    """`far_store`, with a fiftieth of the time for a file."""
    store = S3Store(far_store.url, key="k", secret="s", endpoint_url=line.endpoint_url, patience=0.02)
    yield store
    await store.aclose()


@pytest.mark.parametrize("silence", SILENT_AT)
async def test_an_upload_that_a_bucket_takes_no_more_of_ends_and_can_be_tried_again(
    line: Line, far_store: Store, impatient: Store, tmp_path: Path, silence: str
) -> None:
    size, line.silent_at = SILENT_AT[silence]
    (tmp_path / "clip").write_bytes(b"c" * size)
    async with asyncio.timeout(60):
        with pytest.raises(StoreUnavailable, match="no answer within"):
            await impatient.put(tmp_path / "clip", "clips/a")
    assert await far_store.names("clips") == []
    line.silent_at = lambda method, path: False
    await far_store.put(tmp_path / "clip", "clips/a")
    assert len(await far_store.read("clips/a")) == size


@pytest.mark.parametrize("trickles", [False, True], ids=["says nothing", "sends a byte now and then"])
async def test_a_download_that_stops_coming_ends_and_leaves_no_file(
    line: Line, far_store: Store, impatient: Store, tmp_path: Path, trickles: bool
) -> None:
    await far_store.write("clips/a", b"c" * 2**20)
    line.trickles, line.silent_at = trickles, lambda method, path: not trickles
    async with asyncio.timeout(60):
        with pytest.raises(StoreUnavailable, match="no answer within"):
            await impatient.fetch("clips/a", tmp_path / "clip")
    assert not (tmp_path / "clip").exists()


async def test_a_copy_that_a_bucket_never_ends_is_given_up(line: Line, far_store: Store, impatient: Store) -> None:
    await far_store.write("clips/a", b"c")
    line.silent_at = lambda method, path: method == "PUT"
    async with asyncio.timeout(60):
        with pytest.raises(StoreUnavailable, match="no answer within"):
            await impatient.copy("clips/a", "productions/a")
    assert not await far_store.exists("productions/a")
