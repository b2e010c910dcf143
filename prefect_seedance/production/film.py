"""The film of a production: its score, played once and kept by all that shapes it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect_seedance.errors import BadInput, BadStore, Missing, StoreUnavailable
from prefect_seedance.models import Footage
from prefect_seedance.production.at_hand import AtHand
from prefect_seedance.production.pictures import Clip, local_files, optional
from prefect_seedance.production.score import Playing, Score
from prefect_seedance.storage.store import Store
from prefect_seedance.video.film import join
from prefect_seedance.video.sound import Layer, Sound, mix
from prefect_seedance.video.tracks import SILENT, Beside

OWN = frozenset(
    [
        "campaigns",
        "catalog.yaml",
        "clips",
        "ledger",
        "ledger-open",
        "ledger-seen",
        "posters",
        "sources",
        "spending",
        "stills",
        "store.json",
    ]
)
"""What a path of the store begins with where a film in its place would cost money or its records."""


async def make_film(
    store: Store, folder: str, clips: Sequence[Clip], score: Score, at_hand: AtHand, notes: list[str]
) -> str | None:
    """The film of *clips* as `film.mp4` of the production; returns its path, or None where it could not be made.

    Made once and kept by its score: whoever plays the same takes the film that is there.
    """
    if not clips:
        return None
    film = f"{folder}/film.mp4"
    with optional(notes, "The film could not be joined"):
        try:
            await store.copy(score.path, film)
        except Missing:
            await _make(store, clips, score, film, at_hand)
            # In this order the production loses nothing if `tidy` comes in between, or the copy fails.
            with suppress(StoreUnavailable, BadStore):
                await store.copy(film, score.path)
        return film
    return None


async def _make(store: Store, clips: Sequence[Clip], score: Score, target: str, at_hand: AtHand) -> Footage:
    sounds = {Clip(one.path, one.sha256) for one in (*score.noises, *score.speech, *score.narrations)}
    if score.music:
        sounds.add(Clip(score.music.path, score.music.sha256))
    wanted = list(dict.fromkeys([*clips, *sorted(sounds)]))
    with TemporaryDirectory(dir=store.scratch()) as scratch:
        film = Path(scratch) / "film.mp4"
        async with local_files(store, wanted, at_hand) as local:
            files = {one.path: file for one, file in zip(wanted, local, strict=True)}
            footage = await asyncio.to_thread(_play, [files[clip.path] for clip in clips], score, files, film)
        await store.put(film, target, "video/mp4")
    return footage


def _play(clips: Sequence[Path], score: Score, files: Mapping[str, Path], film: Path) -> Footage:
    beside = SILENT._replace(captions=score.cues)
    if score.can_be_heard:
        beside = Beside(film.with_name("sound.m4a"), score.cues, score.seconds)
        layers = [
            Layer([_sound(one, files) for one in some], voices)
            for some, voices in ((score.noises, False), (score.speech, True), (score.narrations, True))
            if some
        ]
        mix(layers, _music(score, files), score.seconds, film.with_name("sound.m4a"))
    return join(clips, film, beside)


def _music(score: Score, files: Mapping[str, Path]) -> Sound | None:
    if score.music is None:
        return None
    return Sound(files[score.music.path], Fraction(0), score.seconds, score.music.loudness)


def _sound(one: Playing, files: Mapping[str, Path]) -> Sound:
    return Sound(files[one.path], one.begins, one.lasts, one.loudness)


async def assemble_film(store: Store, clips: Sequence[str], target: str) -> Footage:
    """Join the *clips* of the store, in this order, into one silent film at *target*, all or nothing.

    Raises `BadInput` for a *target* that is one of the clips or what the store has for itself.
    """
    if target in clips or target.split("/")[0].casefold() in OWN:
        raise BadInput(
            f"A film at {target} would replace one of its clips or what the store has for itself; nothing was spent or "
            "changed; choose another path, such as cuts/film.mp4."
        )
    shown = [Clip(clip, "") for clip in clips]
    return await _make(store, shown, Score((), Fraction(0)), target, AtHand())
