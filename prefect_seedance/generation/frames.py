"""The pictures that are handed to the API: published pictures and last frames, under `stills/` in the store."""

from __future__ import annotations

import asyncio
import secrets

from prefect_seedance.errors import BadInput
from prefect_seedance.ledger.record import Record
from prefect_seedance.sources.images import PictureSource, crop_to
from prefect_seedance.storage.store import Store
from prefect_seedance.video import decoder

SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp", "BMP": "bmp", "TIFF": "tiff", "GIF": "gif"}


async def publish_picture(store: Store, source: PictureSource, size: str) -> str:
    """Put a picture where the provider can fetch it, and return its path in the store, or its own https link."""
    picture = source.picture
    if source.public_url and not picture.crop and await store.link("stills/probe.png", 60) is None:
        return source.public_url
    kept = picture.format if picture.format == "JPEG" or not picture.crop else "PNG"  # what a crop is written as
    path = f"stills/{picture.sha256[:32]}{f'-{size}' if picture.crop else ''}.{SUFFIXES[kept]}"
    if not await store.exists(path):
        content = await source.read()
        if picture.crop:
            content = await asyncio.to_thread(crop_to, content, size)
        await store.write(path, content, f"image/{kept.lower()}")
    return path


def last_frame_path(record: Record) -> str:
    """Where the last frame of the stored clip of *record* is kept."""
    return f"stills/{record.key}-{(record.sha256 or '')[:12]}-last.png"


async def take_last_frame(store: Store, record: Record) -> str:
    """Keep the last frame of a stored clip as PNG beside the other stills, and return its path.

    It is there already where the run that verified the clip knew of a shot that continues it.
    """
    if record.clip is None or record.sha256 is None:
        raise BadInput(f"{record.key} has no stored clip, so there is no last frame to continue from.")
    path = last_frame_path(record)
    if await store.exists(path):
        return path
    clip = store.scratch() / f"{secrets.token_hex(8)}.mp4"
    picture = clip.with_suffix(".png")
    try:
        await store.fetch(record.clip, clip)
        await decoder.examine(clip, last_frame=picture)
        await store.put(picture, path, "image/png")
    finally:
        await asyncio.to_thread(clip.unlink, missing_ok=True)
        await asyncio.to_thread(picture.unlink, missing_ok=True)
    return path
