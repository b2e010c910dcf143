"""Fetching clips from the media host: streamed, bounded, resumed where the host allows it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from prefect_seedance.errors import DownloadFailed, LinkDead
from prefect_seedance.runpod.bodies import packings
from prefect_seedance.runpod.connections import Connections
from prefect_seedance.runpod.responses import continues, retry_after, strong_tag

LARGEST_CLIP = 4 * 2**30
"""Bytes; twelve seconds of 1080p take some thirty million."""
DOWNLOAD_SECONDS = 1800.0
AT_A_TIME = 2**20
"""Bytes that go to the disk at once: a thread for each piece that comes takes longer than the disk."""


class MediaHost:
    """Wherever the links of final answers lead. With clients of its own, so that neither key nor cookie gets there."""

    def __init__(self, *, public_only: bool) -> None:
        self._connections = Connections(
            10,
            public_only=public_only,
            timeout=30.0,
            follow_redirects=True,
            headers={"Accept-Encoding": "identity"},  # the length and the rest of a file are counted in its own bytes
        )

    async def aclose(self) -> None:
        await self._connections.aclose()

    async def fetch(
        self,
        link: str,
        path: Path,
        *,
        at_most: int = LARGEST_CLIP,
        within: float = DOWNLOAD_SECONDS,
        on_begin: Callable[[], None] = lambda: None,
    ) -> str:
        """Stream the clip at *link* to *path* and return its sha256, resuming where the host allows it.

        Raises `LinkDead` when the host has it no longer and `DownloadFailed` when it could not be had this time: not
        whole, larger than *at_most* bytes, not *within* so many seconds, or for want of room on this disk. Memory does
        not grow with the file. The API key is never sent there. *on_begin* is told when the link's turn has come.
        """
        _refuse_unusable(link)
        try:
            async with asyncio.timeout(within), self._connections.one() as media:
                on_begin()
                return await self._fetch(media, link, path, at_most)
        except TimeoutError as error:
            raise DownloadFailed(f"the clip was not here within {within:.0f} s; it is fetched again later") from error
        except OSError as error:
            raise DownloadFailed(
                f"the clip can't be written to {path.parent} ({error.strerror}); nothing is lost: make room there, "
                "then render again or collect"
            ) from error

    async def _fetch(self, media: httpx.AsyncClient, link: str, path: Path, at_most: int) -> str:
        digest, tag, have, unwritten = hashlib.sha256(), None, 0, 0
        with path.open("wb", buffering=2 * AT_A_TIME) as file:
            for _ in range(5):
                # If-Range: the rest only of the very same file, otherwise all of it again.
                resume: dict[str, str] = {"Range": f"bytes={have}-", "If-Range": tag} if have and tag else {}
                try:
                    async with media.stream("GET", link, headers=resume) as response:
                        if response.status_code in (403, 404, 410):
                            raise LinkDead(f"The media host answers {response.status_code}.")
                        whole = response.status_code == 200
                        if not whole and not continues(response, have):
                            tag = None
                            await asyncio.sleep(min(retry_after(response) or 1.0, 10.0))
                            continue
                        _refuse_packed(response)
                        if whole and have:
                            file.seek(0)
                            file.truncate()
                            digest, have = hashlib.sha256(), 0
                        tag = strong_tag(response)
                        async for piece in response.aiter_raw(256 * 1024):
                            file.write(piece)  # into memory; a full disk or a slow one is met in a thread
                            unwritten += len(piece)
                            if unwritten >= AT_A_TIME:
                                await asyncio.to_thread(file.flush)
                                unwritten = 0
                            digest.update(piece)
                            have += len(piece)
                            if have > at_most:
                                raise DownloadFailed(f"what comes instead of the clip has no end ({have:,} bytes)")
                except httpx.InvalidURL as error:
                    raise LinkDead(f"The answer holds no usable link ({error}).") from error
                except httpx.HTTPError:
                    await asyncio.sleep(0.5)
                    continue
                if have:
                    await asyncio.to_thread(file.flush)
                    return digest.hexdigest()
        raise DownloadFailed(
            f"the clip could not be fetched whole from {urlsplit(link).hostname}; it is fetched again later"
        )


def _refuse_unusable(link: str) -> None:
    try:
        link.encode()
        urlsplit(link).port  # noqa: B018 - raises for one that there can't be
    except ValueError as error:
        raise LinkDead(f"The answer holds no usable link ({error}).") from error


def _refuse_packed(response: httpx.Response) -> None:
    """Unpacked it could fill the memory, and as it comes it is no clip."""
    if layers := packings(response):
        raise DownloadFailed(
            f"the media host sends the clip packed ({', '.join(layers)}), though it was asked not to; nothing was "
            "kept, and it is fetched again later"
        )
