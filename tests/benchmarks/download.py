"""Clips of 8 MB from a media host on this machine: ours against a bare client that hashes and writes."""

from __future__ import annotations

import asyncio
import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx

from prefect_seedance.runpod.download import MediaHost
from tests.benchmarks.memory import HOST

PAIRS, CLIPS, LENGTH = 3, 5, 8 * 2**20


async def bare(client: httpx.AsyncClient, link: str, file: Path) -> None:
    digest = hashlib.sha256()
    async with client.stream("GET", link) as response:
        with file.open("wb") as opened:
            async for piece in response.aiter_bytes(256 * 1024):
                opened.write(piece)
                digest.update(piece)


async def seconds(fetch: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    for _ in range(CLIPS):
        await fetch()
    return time.perf_counter() - begun


async def rates(link: str, file: Path) -> list[float]:
    """Our rate over the bare one, pair by pair."""
    media = MediaHost(public_only=False)
    try:
        async with httpx.AsyncClient() as client:
            return [
                await seconds(lambda: bare(client, link, file)) / await seconds(lambda: media.fetch(link, file))
                for _ in range(PAIRS)
            ]
    finally:
        await media.aclose()


def run() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "clip.mp4").write_bytes(bytes(LENGTH))
        host = subprocess.Popen(
            [sys.executable, "-c", HOST, folder], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert host.stdout is not None
            link = f"http://127.0.0.1:{host.stdout.readline().strip()}/clip.mp4"
            found = asyncio.run(rates(link, Path(folder) / "here.mp4"))
            yield f"rate over a bare client: {statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"
        finally:
            host.terminate()
