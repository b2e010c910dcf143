"""What one run of a storyboard leaves for people: shots in order, film, timeline, review page, manifest.

A production stands in a folder of its own and is never changed. `latest.json` beside it names the newest and is written
last, so nobody is ever led to a production that is not whole. What is only nice to have (the film, a poster) may fail:
the page then says why, and the manifest still comes out.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

from prefect_seedance.models import NO_WORDS, Words
from prefect_seedance.production import review, timeline
from prefect_seedance.production.at_hand import AtHand, in_a_bucket
from prefect_seedance.production.captions import as_srt, as_vtt
from prefect_seedance.production.film import make_film
from prefect_seedance.production.manifest import Manifest, NarrationResult, ShotResult, SoundFile
from prefect_seedance.production.names import shot_names
from prefect_seedance.production.narration import Narration
from prefect_seedance.production.newest import LINK_SECONDS, Newest, has_newer, newest_of
from prefect_seedance.production.pictures import copy_shots, copy_sounds, make_posters
from prefect_seedance.production.score import score_of, voice_of
from prefect_seedance.production.timeline_sound import Heard
from prefect_seedance.storage.store import Store

LATEST_SCHEMA = "prefect-seedance/latest/1"

CAPTION_TYPES = {"captions.srt": "application/x-subrip", "captions.vtt": "text/vtt; charset=utf-8"}


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
    words: Words = NO_WORDS
    narrations: Mapping[str, Narration] = field(default_factory=dict)
    sound: Literal["off", "clips"] = "clips"
    music: SoundFile | None = None
    catalog: str | None = None
    at_hand: AtHand = field(default_factory=AtHand, compare=False)

    @property
    def told(self) -> list[ShotResult]:
        """The shots with what is said over them."""
        return [_with_narration(shot, self.narrations.get(shot.id)) for shot in self.shots]

    @property
    def shows(self) -> str:
        """A hash of what people see of it: all but what this very run paid, and from what list of prices."""
        money = {"estimated_usd": True, "paid_this_run": True}
        of_the_run: Any = money | {"narration": money}
        seen = {
            "title": self.title,
            "shots": [shot.model_dump(mode="json", exclude=of_the_run) for shot in self.told],
            "heard": [self.sound, self.music and self.music.model_dump()],
            "said": [dict(self.prompts), dict(self.wanted_seconds), dict(self.models), list(self.notes)],
            "words": self.words.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def _with_narration(shot: ShotResult, heard: Narration | None) -> ShotResult:
    if heard is None:
        return shot
    narration = shot.narration or NarrationResult(status="stored")
    return shot.model_copy(update={"narration": narration.model_copy(update=heard._asdict())})


async def write_production(store: Store, content: Content) -> tuple[Manifest, str]:
    """Leave a whole production of *content* in *store*; returns its manifest and its folder.

    Where nothing that it would show has changed, the newest one stays and is named. This fails only where the store
    can't be written, and `latest.json` then still names the production before.
    """
    title, shots = content.title, content.told
    newest = await newest_of(store, title)
    if (there := _if_same(store, newest, content)) is not None:
        return there
    folder = f"{newest.home}/{content.made.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    names = shot_names(shots)
    notes = list(content.notes)

    by_name = dict(zip(names, shots, strict=True))
    clips = await copy_shots(store, folder, by_name, notes)
    content.at_hand.posters.update(newest.latest.get("posters", ()))
    posters = await make_posters(store, folder, clips, content.at_hand, notes)
    score = score_of([shot for name, shot in by_name.items() if name in clips], content.sound, content.music)
    film = await make_film(store, folder, list(clips.values()), score, content.at_hand, notes)
    captions = {"captions.srt": as_srt(score.cues), "captions.vtt": as_vtt(score.cues)} if score.cues else {}
    urls = [f"shots/{name}.mp4" if name in clips else None for name in names]
    rate = _common_rate(shots)
    wanted, models = content.wanted_seconds, content.models
    words = content.words
    heard = await _heard(store, folder, by_name, content, notes)
    otio = timeline.otio(
        *(title, shots, content.prompts, urls, rate),
        wanted_seconds=wanted,
        models=models,
        words=words,
        heard=heard,
    )
    edl = timeline.edl(title, shots, urls, rate, wanted_seconds=wanted, words=words)
    places = {"film": film, "timeline": f"{folder}/timeline.otio", "review": f"{folder}/index.html"}
    manifest = manifest_of(content).model_copy(update=places)
    downloads = {name: await _address(store, folder, f"{folder}/{name}") for name in (*captions, *review.DOWNLOADS)}
    page = review.page(
        manifest,
        names=names,
        prompts=content.prompts,
        videos={name: await _address(store, folder, f"{folder}/shots/{name}.mp4") for name in clips},
        posters={name: await _address(store, folder, poster) for name, poster in posters.items()},
        film=await _address(store, folder, film) if film else None,
        downloads=downloads,
        captions=captions.get("captions.vtt"),
        film_seconds=float(score.seconds),
        made=content.made,
        store_url=store.url,
        notes=notes,
    )
    for name, text in captions.items():
        await store.write(f"{folder}/{name}", text.encode(), CAPTION_TYPES[name])
    await store.write(f"{folder}/timeline.otio", otio.encode(), "application/json")
    await store.write(f"{folder}/timeline.edl", edl.encode(), "text/plain; charset=utf-8")
    await store.write(f"{folder}/index.html", page.encode(), "text/html; charset=utf-8")
    await store.write(f"{folder}/manifest.json", _json(manifest.model_dump(mode="json")), "application/json")
    latest = {
        "schema": LATEST_SCHEMA,
        "production": folder,
        "manifest": f"{folder}/manifest.json",
        "status": manifest.status,
        "shows": content.shows if notes == list(content.notes) else None,  # what lacks something is made anew
        "made": content.made.isoformat(),
        "brief_links": review.signed_briefly(downloads.values()),
        "posters": sorted(clips[name].sha256 for name in posters),
    }
    if not await has_newer(store, newest.home, content.made):
        await store.write(f"{newest.home}/latest.json", _json(latest), "application/json")
    return manifest, folder


async def _heard(
    store: Store, folder: str, shots: Mapping[str, ShotResult], content: Content, notes: list[str]
) -> Heard | None:
    """Put what is heard beside the clips into the production, and say where; None for a silent one."""
    if content.sound == "off":
        return None
    sounds: dict[str, SoundFile] = {name: voice for name, shot in shots.items() if (voice := voice_of(shot))}
    if content.music is not None:
        sounds["music"] = content.music
    copied = await copy_sounds(store, folder, sounds, notes)
    return Heard([copied.get(name) for name in shots], content.music, copied.get("music"))


def _if_same(store: Store, newest: Newest, content: Content) -> tuple[Manifest, str] | None:
    """The newest production with the money of this run, if it shows the same, lacks nothing and its links live on."""
    if newest.manifest is None or newest.latest.get("shows") != content.shows or not newest.lasts(store, content.made):
        return None
    of_the_run = ("plan_hash", "estimated_usd", "spent_usd", "reused_usd", "catalog")
    told = {name: getattr(content, name) for name in of_the_run}
    return newest.manifest.model_copy(update=told | {"shots": tuple(content.told)}), str(newest.latest["production"])


def manifest_of(content: Content) -> Manifest:
    """What became of every shot of *content*, of which no production was made yet."""
    return Manifest(
        title=content.title,
        status=status_of(content.shots),
        plan_hash=content.plan_hash,
        estimated_usd=content.estimated_usd,
        spent_usd=content.spent_usd,
        reused_usd=content.reused_usd,
        shots=tuple(content.told),
        sound=content.sound,
        music=content.music,
        catalog=content.catalog,
        **dict(content.words),
    )


def status_of(shots: Sequence[ShotResult]) -> Literal["complete", "partial", "nothing"]:
    """What a production of *shots* amounts to: one that lacks a narration is not complete."""
    stored = sum(shot.status == "stored" for shot in shots)
    if stored == 0:
        return "nothing"
    silent = any(shot.narration is not None and shot.narration.status != "stored" for shot in shots)
    return "complete" if stored == len(shots) and not silent else "partial"


async def _address(store: Store, folder: str, path: str) -> str:
    """Where the page finds *path*: a link for a bucket; relative on disk, so that the folder can be moved or sent."""
    link = await store.link(path, LINK_SECONDS) if in_a_bucket(store) else None
    return link or path.removeprefix(f"{folder}/")


def _common_rate(shots: Iterable[ShotResult]) -> float:
    rates = Counter(shot.fps for shot in shots if shot.fps)
    return rates.most_common(1)[0][0] if rates else 24.0


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
