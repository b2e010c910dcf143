"""What one run of a storyboard leaves for people: shots in order, film, timeline, review page, manifest.

A production stands in a folder of its own and is never changed. `latest.json` beside it names the newest and is written
last, so nobody is ever led to a production that is not whole. What is only nice to have (the film, a poster) may fail:
the page then says why, and the manifest still comes out.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

from prefect_seedance.errors import Missing
from prefect_seedance.models import Footage
from prefect_seedance.production import review, timeline
from prefect_seedance.production.manifest import Manifest, ShotResult
from prefect_seedance.storage.store import Store
from prefect_seedance.video import clips

LATEST_SCHEMA = "prefect-seedance/latest/1"

AT_ONCE = 8
"""Copies, downloads and posters in flight."""

LINK_SECONDS = 7 * 24 * 3600
"""The longest that a presigned link may live."""

LONGEST_SLUG = 48

logger = logging.getLogger(__name__)


class Clip(NamedTuple):
    """A clip of the store that this production shows."""

    path: str
    sha256: str


@dataclass(frozen=True)
class Content:
    """What a production shows: the shots of a run, and what is said of them. Money in dollars, by the id of a shot."""

    title: str
    shots: Sequence[ShotResult]
    plan_hash: str
    estimated_usd: Decimal
    spent_usd: Decimal
    reused_usd: Decimal
    made: datetime
    prompts: Mapping[str, str]
    wanted_seconds: Mapping[str, float] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    @property
    def shows(self) -> str:
        """A hash of what people see of it: all but what this very run paid."""
        of_the_run = {"estimated_usd", "paid_this_run"}
        seen = {
            "title": self.title,
            "shots": [shot.model_dump(mode="json", exclude=of_the_run) for shot in self.shots],
            "said": [dict(self.prompts), dict(self.wanted_seconds), dict(self.models), list(self.notes)],
        }
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


async def write_production(store: Store, content: Content) -> tuple[Manifest, str]:
    """Leave a whole production of *content* in *store*; returns its manifest and its folder.

    Where nothing that it would show has changed, the newest one stays and is named. This fails only where the store
    can't be written, and `latest.json` then still names the production before.
    """
    title, shots = content.title, content.shots
    home = f"productions/{slug(title)}"
    if (there := await _newest_if_same(store, home, content)) is not None:
        return there
    folder = f"{home}/{content.made.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    names = shot_names(shots)
    notes = list(content.notes)

    clips = await _copy_shots(store, folder, dict(zip(names, shots, strict=True)), notes)
    posters, film = await _make_pictures(store, folder, clips, notes)
    urls = [f"shots/{name}.mp4" if name in clips else None for name in names]
    rate = _common_rate(shots)
    wanted, models = content.wanted_seconds, content.models
    otio = timeline.otio(title, shots, content.prompts, urls, rate, wanted_seconds=wanted, models=models)
    edl = timeline.edl(title, shots, urls, rate, wanted_seconds=wanted)
    places = {"film": film, "timeline": f"{folder}/timeline.otio", "review": f"{folder}/index.html"}
    manifest = manifest_of(content).model_copy(update=places)
    page = review.page(
        manifest,
        names=names,
        prompts=content.prompts,
        videos={name: await _address(store, folder, f"shots/{name}.mp4") for name in clips},
        posters={name: await _address(store, folder, f"posters/{name}.jpg") for name in posters},
        film=await _address(store, folder, "film.mp4") if film else None,
        downloads={name: await _address(store, folder, name) for name in review.DOWNLOADS},
        made=content.made,
        store_url=store.url,
        notes=notes,
    )
    await store.write(f"{folder}/timeline.otio", otio.encode(), "application/json")
    await store.write(f"{folder}/timeline.edl", edl.encode(), "text/plain; charset=utf-8")
    await store.write(f"{folder}/index.html", page.encode(), "text/html; charset=utf-8")
    await store.write(f"{folder}/manifest.json", _json(manifest.model_dump(mode="json")), "application/json")
    latest = {
        "schema": LATEST_SCHEMA,
        "production": folder,
        "manifest": f"{folder}/manifest.json",
        "status": manifest.status,
        "shows": content.shows,
        "made": content.made.isoformat(),
    }
    await store.write(f"{home}/latest.json", _json(latest), "application/json")
    return manifest, folder


async def _newest_if_same(store: Store, home: str, content: Content) -> tuple[Manifest, str] | None:
    """The newest production with the money of this run, if it shows the same, is whole and its links live on."""
    try:
        latest = json.loads(await store.read(f"{home}/latest.json"))
        age = content.made - datetime.fromisoformat(latest["made"])
        if latest["shows"] != content.shows or (_in_a_bucket(store) and age.total_seconds() > LINK_SECONDS / 2):
            return None
        there = Manifest.model_validate_json(await store.read(latest["manifest"]))
    except (Missing, KeyError, TypeError, ValueError):
        return None
    if there.film is None and there.status != "nothing":
        return None
    money = {name: getattr(content, name) for name in ("plan_hash", "estimated_usd", "spent_usd", "reused_usd")}
    return there.model_copy(update=money | {"shots": tuple(content.shots)}), str(latest["production"])


def manifest_of(content: Content) -> Manifest:
    """What became of every shot of *content*, of which no production was made yet."""
    return Manifest(
        title=content.title,
        status=status_of(content.shots),
        plan_hash=content.plan_hash,
        estimated_usd=content.estimated_usd,
        spent_usd=content.spent_usd,
        reused_usd=content.reused_usd,
        shots=tuple(content.shots),
    )


async def assemble_film(store: Store, clips: Sequence[str], target: str) -> Footage:
    """Join the *clips* of the store, in this order, into one film at *target*, all or nothing."""
    async with _at_hand(store, clips) as files:
        return await _join(store, [files[clip] for clip in clips], target)


def slug(text: str) -> str:
    """A safe, short, never empty name for a file or folder: "Über den Wolken!" becomes uber-den-wolken.

    Where letters were lost, a piece of a hash keeps names apart that would otherwise become one.
    """
    folded = unicodedata.normalize("NFKD", text.casefold())
    kept = "-".join(re.findall("[a-z0-9]+", folded.encode("ascii", "ignore").decode()))
    lost = any(mark.isalnum() and not mark.isascii() for mark in folded)
    if kept and not lost and len(kept) <= LONGEST_SLUG:
        return kept
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{kept[: LONGEST_SLUG - 7].strip('-') or 'untitled'}-{digest}"


def shot_names(shots: Sequence[ShotResult]) -> list[str]:
    """The file names of *shots*, without an ending: place in the board and id, such as 01-arrival."""
    digits = max(2, len(str(len(shots))))
    return [f"{number:0{digits}d}-{slug(shot.id)}" for number, shot in enumerate(shots, start=1)]


def status_of(shots: Sequence[ShotResult]) -> Literal["complete", "partial", "nothing"]:
    """What a production of *shots* amounts to."""
    stored = sum(shot.status == "stored" for shot in shots)
    if stored == 0:
        return "nothing"
    return "complete" if stored == len(shots) else "partial"


async def _copy_shots(store: Store, folder: str, shots: Mapping[str, ShotResult], notes: list[str]) -> dict[str, Clip]:
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


async def _make_pictures(
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
    if not _in_a_bucket(store):
        yield {clip: Path(store.url) / clip for clip in wanted}
        return
    with TemporaryDirectory(dir=store.scratch()) as scratch:
        files = {clip: Path(scratch) / f"{number}.mp4" for number, clip in enumerate(wanted)}
        await _each(lambda clip: store.fetch(clip, files[clip]), wanted)
        yield files


async def _address(store: Store, folder: str, name: str) -> str:
    """Where the page finds *name*: a link for a bucket; relative on disk, so that the folder can be moved or sent."""
    link = await store.link(f"{folder}/{name}", LINK_SECONDS) if _in_a_bucket(store) else None
    return link or name


def _in_a_bucket(store: Store) -> bool:
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


def _common_rate(shots: Iterable[ShotResult]) -> float:
    rates = Counter(shot.fps for shot in shots if shot.fps)
    return rates.most_common(1)[0][0] if rates else 24.0


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
