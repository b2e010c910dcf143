"""The emulator's clips: pictures fetched as the vendor would, MP4s rendered when first needed and kept on disk."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from PIL import Image

from prefect_seedance.catalog.endpoints import KNOWN, Catalog
from prefect_seedance.emulator import sound, speech, testcard
from prefect_seedance.emulator.asked import asked_of, pictures_of, spoken_of
from prefect_seedance.emulator.jobs import Job

LARGEST_PICTURE = 30_000_000


class PictureMissing(Exception):
    """A picture of a job can't be fetched or read; the job fails."""


class Clips:
    """The pictures and clips of all jobs in one folder. Threads draw them, so that no answer waits for a drawing."""

    def __init__(self, folder: Path, catalog: Catalog = KNOWN) -> None:
        self._catalog = catalog
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._pens = ThreadPoolExecutor(2, thread_name_prefix="render")
        self._rendering: dict[str, asyncio.Future[None]] = {}

    async def fetch(self, job: Job) -> None:
        """Keep the pictures of *job*, or raise `PictureMissing`."""
        for name, link in self._links(job).items():
            place = self._picture(job, name)
            if not place.exists():
                content = await _content(link)
                await asyncio.to_thread(_keep, content, place)

    async def clip(self, job: Job) -> Path:
        """The MP4 of *job*, or its speech, made when it is first asked for."""
        place = self._folder / f"{job.id}.{self.ending(job)}"
        if not place.exists():
            if job.id not in self._rendering:
                loop = asyncio.get_running_loop()
                self._rendering[job.id] = loop.run_in_executor(self._pens, self._make, job, place)
            await asyncio.shield(self._rendering[job.id])  # somebody else may wait for it too
        return place

    def ending(self, job: Job) -> str:
        """Of the file that *job* makes."""
        model = self._catalog[job.slug]
        return "mp4" if model.kind == "video" or job.fate == "FAILED" else spoken_of(model, job.input).ending

    def _make(self, job: Job, place: Path) -> None:
        model = self._catalog[job.slug]
        if model.kind == "speech":
            speech.speak(job.prompt, spoken_of(model, job.input).seconds, place)
        else:
            testcard.render(self._card(job), place)

    def _card(self, job: Job) -> testcard.Card:
        model = self._catalog[job.slug]
        asked = asked_of(model, job.input)
        pictures = [self._picture(job, name) for name in self._links(job)]
        by_itself = {name: declared.default for name, declared in model.inputs.items()}
        size, heard = (asked.width, asked.height), sound.is_asked_for(by_itself | job.input)
        return testcard.Card(job.prompt, job.number, job.slug, *size, asked.seconds, asked.fps, tuple(pictures), heard)

    def _links(self, job: Job) -> dict[str, str]:
        return pictures_of(self._catalog[job.slug], job.input)

    def _picture(self, job: Job, name: str) -> Path:
        return self._folder / f"{job.id}-{name}"


async def _content(link: str) -> bytes:
    shown = link[:60].partition("?")[0]
    if link.startswith("data:"):
        try:
            return base64.b64decode(link.partition(";base64,")[2], validate=True)
        except binascii.Error:
            raise PictureMissing(f"{shown} is not base64") from None
    if not _on_this_machine(link):
        raise PictureMissing(f"{shown} is not on this machine, and the emulator fetches from nowhere else")
    content = bytearray()
    try:
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client, client.stream("GET", link) as answer:
            if answer.status_code != 200:
                raise PictureMissing(f"{shown} answered {answer.status_code}")
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > LARGEST_PICTURE:
                    raise PictureMissing(f"{shown} is larger than {LARGEST_PICTURE} bytes")
    except httpx.HTTPError as error:
        raise PictureMissing(f"{shown} did not answer: {error!r}") from error
    return bytes(content)


def _on_this_machine(link: str) -> bool:
    try:
        address = urlsplit(link)
        host = address.hostname or ""
        return address.scheme in ("http", "https") and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def _keep(content: bytes, place: Path) -> None:
    unfinished = place.with_name(f"{place.name}.unfinished")
    unfinished.write_bytes(content)
    try:
        with Image.open(unfinished) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureMissing(f"the image can't be decoded: {error}") from error
    unfinished.replace(place)
