"""What there is to see in a production: its shots in order, a poster of each, and the film of them all.

Each of these may fail: that becomes a note on the page, and the rest of the production is still made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from prefect_seedance.models import Footage
from prefect_seedance.production.manifest import ShotResult
from prefect_seedance.storage.store import Store
from prefect_seedance.video import clips

AT_ONCE = 8
"""Copies, downloads and posters in flight."""

logger = logging.getLogger(__name__)


class Clip(NamedTuple):
    """A clip of the store that this production shows."""

    path: str
    sha256: str


async def copy_shots(store: Store, folder: str, shots: Mapping[str, ShotResult], notes: list[str]) -> dict[str, Clip]:
    """Copy the stored clips to `shots/`; returns those that are there now, by name and in board order."""
    copied = {}

    async def copy(name: str) -> None:
        shot = shots[name]
        if shot.status == "stored" and shot.clip and shot.sha256:
            with _optional(notes, f"The clip of {shot.id} could not be copied into this production"):
                await store.copy(shot.clip, f"{folder}/shots/{name}.mp4")
                copied[name] = Clip(shot.clip, shot.sha256)

    await _each(copy, shots)
    return {name: copied[name] for name in shots if name in copied}


async def make_pictures(
    store: Store, folder: str, clips: Mapping[str, Clip], notes: list[str]
) -> tuple[list[str], str | None]:
    """A poster for each clip, and the film of them all; returns the names that have a poster, and the film's path."""
    posters: list[str] = []
    film = None
    if not clips:
        return posters, film
    with _optional(notes, "Film and posters could not be made"):
        async with _at_hand(store, [clip.path for clip in clips.values()]) as files:

            async def make(name: str) -> None:
                with _optional(notes, f"The poster of {name} could not be made"):
                    await _poster(store, clips[name], files[clips[name].path], f"{folder}/posters/{name}.jpg")
                    posters.append(name)

            await _each(make, clips)
            with _optional(notes, "The film could not be joined"):
                await _join(store, [files[clip.path] for clip in clips.values()], f"{folder}/film.mp4")
                film = f"{folder}/film.mp4"
    return posters, film


async def _poster(store: Store, clip: Clip, file: Path, target: str) -> None:
    """Put the poster of *clip* at *target*, decoding it only if no production has shown this clip before."""
    kept = f"posters/{clip.sha256[:16]}.jpg"
    if not await store.exists(kept):
        with TemporaryDirectory(dir=store.scratch()) as scratch:
            picture = Path(scratch) / "poster.jpg"
            await asyncio.to_thread(clips.poster, file, picture)
            await store.put(picture, kept, "image/jpeg")
    await store.copy(kept, target)


async def _join(store: Store, files: Sequence[Path], target: str) -> Footage:
    with TemporaryDirectory(dir=store.scratch()) as scratch:
        film = Path(scratch) / "film.mp4"
        footage = await asyncio.to_thread(clips.join, files, film)
        await store.put(film, target, "video/mp4")
    return footage


@asynccontextmanager
async def _at_hand(store: Store, clips: Iterable[str]) -> AsyncIterator[dict[str, Path]]:
    """The *clips* as local files: where they are on disk, fetched once from a bucket and gone afterwards."""
    wanted = list(dict.fromkeys(clips))
    if not in_a_bucket(store):
        yield {clip: Path(store.url) / clip for clip in wanted}
        return
    with TemporaryDirectory(dir=store.scratch()) as scratch:
        files = {clip: Path(scratch) / f"{number}.mp4" for number, clip in enumerate(wanted)}
        await _each(lambda clip: store.fetch(clip, files[clip]), wanted)
        yield files


async def assemble_film(store: Store, clips: Sequence[str], target: str) -> Footage:
    """Join the *clips* of the store, in this order, into one film at *target*, all or nothing."""
    async with _at_hand(store, clips) as files:
        return await _join(store, [files[clip] for clip in clips], target)


def in_a_bucket(store: Store) -> bool:
    return store.url.startswith("s3://")


async def _each(work: Callable[[str], Awaitable[None]], names: Iterable[str]) -> None:
    """Do *work* for all *names*, a few at once; the first error comes when all have ended."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> None:
        async with gate:
            await work(name)

    for outcome in await asyncio.gather(*map(one, names), return_exceptions=True):
        if outcome is not None:
            raise outcome


@contextmanager
def _optional(notes: list[str], sentence: str) -> Iterator[None]:
    """Turn any failure inside into a note on the page: what is paid for and recorded outweighs what is nice to have."""
    try:
        yield
    except Exception as error:
        logger.warning("%s: %s", sentence, error)
        notes.append(f"{sentence}: {error}")
