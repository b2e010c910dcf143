"""What there is to see in a production: its shots in order, a poster of each; and what is heard beside them.

Each of these may fail: that becomes a note on the page, and the rest of the production is still made.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from prefect_seedance.errors import DownloadFailed, Missing
from prefect_seedance.production.at_hand import AtHand, in_a_bucket
from prefect_seedance.production.manifest import ShotResult, SoundFile
from prefect_seedance.storage.store import Store
from prefect_seedance.video import decoder

COPIES_AT_ONCE = 32
FETCHES_AT_ONCE = 8

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Clip(NamedTuple):
    """A clip or a sound of the store that this production plays."""

    path: str
    sha256: str


def poster_path(sha256: str) -> str:
    """Where the poster of the clip with *sha256* is kept, for every production that shows it."""
    return f"posters/{sha256[:16]}.jpg"


async def copy_shots(store: Store, folder: str, shots: Mapping[str, ShotResult], notes: list[str]) -> dict[str, Clip]:
    """Copy the stored clips to `shots/`; returns those that are there now, by name and in board order."""
    copied = {}

    async def copy(name: str) -> None:
        shot = shots[name]
        if shot.status == "stored" and shot.clip and shot.sha256:
            with optional(notes, f"The clip of {shot.id} could not be copied into this production"):
                await store.copy(shot.clip, f"{folder}/shots/{name}.mp4")
                copied[name] = Clip(shot.clip, shot.sha256)

    await _each(copy, shots, COPIES_AT_ONCE)
    return {name: copied[name] for name in shots if name in copied}


async def copy_sounds(store: Store, folder: str, sounds: Mapping[str, SoundFile], notes: list[str]) -> dict[str, str]:
    """Copy *sounds* to `sound/` of the production; returns the addresses there of those that are, by name."""
    copied = {}

    async def copy(name: str) -> None:
        path = f"sound/{name}{PurePosixPath(sounds[name].path).suffix}"
        with optional(notes, f"The sound {name} could not be copied into this production"):
            await store.copy(sounds[name].path, f"{folder}/{path}")
            copied[name] = path

    await _each(copy, sounds, COPIES_AT_ONCE)
    return copied


async def make_posters(
    store: Store, folder: str, clips: Mapping[str, Clip], at_hand: AtHand, notes: list[str]
) -> dict[str, str]:
    """See that each clip has a poster; returns their paths by name.

    On disk those of the production, which is a whole folder there; in a bucket those that are kept by content, since
    the page names both by a link. No clip is decoded that any run has verified, if it could store the poster.
    """
    posters = {}
    making = asyncio.Semaphore(FETCHES_AT_ONCE)

    async def show(name: str) -> None:
        clip = clips[name]
        with optional(notes, f"The poster of {name} could not be made"):
            posters[name] = await _shown(store, clip, f"{folder}/posters/{name}.jpg", at_hand, making)
            at_hand.posters.add(clip.sha256)

    await _each(show, clips, COPIES_AT_ONCE)
    return {name: posters[name] for name in clips if name in posters}


async def _shown(store: Store, clip: Clip, target: str, at_hand: AtHand, making: asyncio.Semaphore) -> str:
    kept = poster_path(clip.sha256)
    if in_a_bucket(store):
        if clip.sha256 not in at_hand.posters and not await store.exists(kept):
            async with making:
                await _make_poster(store, clip, at_hand)
        return kept
    try:
        await store.copy(kept, target)
    except Missing:
        async with making:
            await _make_poster(store, clip, at_hand)
        await store.copy(kept, target)
    return target


async def _make_poster(store: Store, clip: Clip, at_hand: AtHand) -> None:
    with TemporaryDirectory(dir=store.scratch()) as scratch:
        picture = Path(scratch) / "poster.jpg"
        async with local_files(store, [clip], at_hand) as (file,):
            await decoder.examine(file, poster=picture)
        if not picture.exists():
            raise DownloadFailed("no frame of it could be drawn")
        await store.put(picture, poster_path(clip.sha256), "image/jpeg")


@asynccontextmanager
async def local_files(store: Store, wanted: Sequence[Clip], at_hand: AtHand) -> AsyncIterator[list[Path]]:
    """The *wanted* files where they are, or else fetched once from a bucket and gone afterwards."""
    if not in_a_bucket(store):
        yield [Path(store.url) / clip.path for clip in wanted]
        return
    files = {clip: file for clip in wanted if (file := at_hand.file(clip.sha256)) is not None}
    with TemporaryDirectory(dir=store.scratch()) as scratch:
        missing = {
            clip: Path(scratch) / f"{n}{PurePosixPath(clip.path).suffix}"
            for n, clip in enumerate(dict.fromkeys(wanted))
            if clip not in files
        }
        await _each(lambda clip: store.fetch(clip.path, missing[clip]), missing, FETCHES_AT_ONCE)
        files |= missing
        yield [files[clip] for clip in wanted]


async def _each(work: Callable[[T], Awaitable[None]], wanted: Iterable[T], at_once: int) -> None:
    """Do *work* for all that is *wanted*, so many at once; the first error comes when all have ended."""
    gate = asyncio.Semaphore(at_once)

    async def one(item: T) -> None:
        async with gate:
            await work(item)

    for outcome in await asyncio.gather(*map(one, wanted), return_exceptions=True):
        if outcome is not None:
            raise outcome


@contextmanager
def optional(notes: list[str], sentence: str) -> Iterator[None]:
    """Turn any failure inside into a note on the page: what is paid for and recorded outweighs what is nice to have."""
    try:
        yield
    except Exception as error:
        logger.warning("%s: %s", sentence, error)
        notes.append(f"{sentence}: {error}")
