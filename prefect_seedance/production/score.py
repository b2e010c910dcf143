"""What a film plays and when: its clips, the voices and the music, its captions. All of it follows from a manifest."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple

from prefect_seedance.production.captions import Cue, cues_of
from prefect_seedance.production.manifest import Manifest, ShotResult, SoundFile

FILM_SCHEMA = "prefect-seedance/film/1"
SCORED_FILM_SCHEMA = "prefect-seedance/film/2"
"""A film that is more than its pictures. Raise it where the same score is to sound or look different."""


class Playing(NamedTuple):
    """A sound of the store that is heard from *begins* on for at most *lasts* seconds, *loudness* LUFS by itself."""

    path: str
    sha256: str
    begins: Fraction
    lasts: Fraction
    loudness: float | None


@dataclass(frozen=True)
class Score:
    """A film on paper. `seconds` is its length, in which the last frame is held where a voice goes on."""

    clips: tuple[str, ...]
    """Their sha256, in order."""
    seconds: Fraction
    noises: tuple[Playing, ...] = ()
    """The sound of clips in which nobody speaks."""
    speech: tuple[Playing, ...] = ()
    """That of the others."""
    narrations: tuple[Playing, ...] = ()
    music: SoundFile | None = None
    cues: tuple[Cue, ...] = ()

    @property
    def can_be_heard(self) -> bool:
        return bool(self.noises or self.speech or self.narrations or self.music)

    @property
    def path(self) -> str:
        """Where the film is kept in a store, by all that shapes it, for every production that shows it."""
        if not self.can_be_heard and not self.cues:
            return film_path(self.clips)
        heard = [[_heard(one) for one in layer] for layer in (self.noises, self.speech, self.narrations)]
        music = self.music and [self.music.sha256, self.music.loudness]
        cues = [[str(cue.begins), str(cue.ends), cue.text] for cue in self.cues]
        return _kept_at([SCORED_FILM_SCHEMA, self.clips, str(self.seconds), heard, music, cues])


def film_path(sha256s: Sequence[str]) -> str:
    """Where the silent film of the clips with *sha256s*, in this order, is kept."""
    return _kept_at([FILM_SCHEMA, *sha256s])


def _kept_at(shaped_by: Sequence[Any]) -> str:
    return f"films/{hashlib.sha256(json.dumps(shaped_by).encode()).hexdigest()}.mp4"


def _heard(one: Playing) -> list[Any]:
    return [one.sha256, str(one.begins), str(one.lasts), one.loudness]


def film_of(manifest: Manifest) -> Score:
    """The score of the film of a production in which every stored clip is shown."""
    shown = [shot for shot in manifest.shots if shot.status == "stored" and shot.clip and shot.sha256]
    return score_of(shown, manifest.sound, manifest.music)


def score_of(shown: Sequence[ShotResult], sound: Literal["off", "clips"], music: SoundFile | None) -> Score:
    """The film of the stored shots *shown*, in this order."""
    begins, ends = _times(shown)
    spoken = {number: voice for number, shot in enumerate(shown) if (voice := voice_of(shot))}
    said = narrated(begins, spoken)
    cues = tuple(_cues(shown, begins, [*begins[1:], ends], said))
    clips = tuple(shot.sha256 or "" for shot in shown)
    if sound == "off":
        return Score(clips, ends, cues=tuple(_until(ends, cues)))
    voices = [number for number, shot in enumerate(shown) if shot.dialogue]
    clip_sounds = {
        number: Playing(shot.clip or "", shot.sha256 or "", at, length_of(shot), shot.audio.loudness)
        for number, (shot, at) in enumerate(zip(shown, begins, strict=True))
        if shot.audio is not None
    }
    return Score(
        clips,
        seconds=max([ends, *(until for _, until in said.values())]),
        noises=tuple(one for number, one in clip_sounds.items() if number not in voices),
        speech=tuple(one for number, one in clip_sounds.items() if number in voices),
        narrations=tuple(
            Playing(spoken[number].path, spoken[number].sha256, at, until - at, spoken[number].loudness)
            for number, (at, until) in said.items()
        ),
        music=music,
        cues=cues,
    )


def voice_of(shot: ShotResult) -> SoundFile | None:
    """What is said over *shot*, if it lies in the store."""
    said = shot.narration
    if said is None or said.status != "stored" or not said.path or not said.sha256 or not said.seconds:
        return None
    return SoundFile(path=said.path, sha256=said.sha256, seconds=said.seconds, loudness=said.loudness)


def length_of(shot: ShotResult) -> Fraction:
    """The seconds of a clip, by its frames where they are all equally long."""
    seconds = Fraction(str(shot.seconds or 0))
    if not shot.frames or not shot.fps:
        return seconds
    exact = shot.frames / _exact(shot.fps)
    return exact if abs(exact - seconds) <= Fraction(1, 500) else seconds


def _exact(fps: float) -> Fraction:
    """The rate that is told with three digits: 23.976 is 24000/1001."""
    nearest = Fraction(round(fps) * 1000, 1001)
    return nearest if abs(nearest - Fraction(str(fps))) < Fraction(1, 1000) else Fraction(str(fps))


def _times(shown: Iterable[ShotResult]) -> tuple[list[Fraction], Fraction]:
    """When each of them begins, and when the last one ends."""
    *begins, ends = itertools.accumulate(map(length_of, shown), initial=Fraction(0))
    return begins, ends


def narrated(begins: Sequence[Fraction], spoken: Mapping[int, SoundFile]) -> dict[int, tuple[Fraction, Fraction]]:
    """When each narration is heard, by the number of its shot, all of which begin at *begins*.

    It begins with its shot; if the one before still goes on, when that has ended.
    """
    heard: dict[int, tuple[Fraction, Fraction]] = {}
    free = Fraction(0)
    for number in sorted(spoken):
        at = max(begins[number], free)
        free = at + Fraction(str(spoken[number].seconds))
        heard[number] = (at, free)
    return heard


def _cues(
    shown: Sequence[ShotResult],
    begins: Sequence[Fraction],
    ends: Sequence[Fraction],
    said: Mapping[int, tuple[Fraction, Fraction]],
) -> Iterator[Cue]:
    """The captions of a film, one after another; what is said at the same time is shown together."""
    cues = []
    for number, shot in enumerate(shown):
        if shot.dialogue:
            cues += cues_of(shot.dialogue, begins[number], ends[number])
        if number in said and shot.narration and shot.narration.text:
            cues += cues_of(shot.narration.text, *said[number])
    waiting = sorted(cues, reverse=True)
    shown_now: list[Cue] = []
    edges = sorted({edge for cue in cues for edge in (cue.begins, cue.ends)})
    for at, until in itertools.pairwise(edges):
        shown_now = [cue for cue in shown_now if cue.ends > at]
        while waiting and waiting[-1].begins <= at:
            shown_now.append(waiting.pop())
        if shown_now:
            yield Cue(at, until, "\n".join(cue.text for cue in shown_now))


def _until(end: Fraction, cues: Iterable[Cue]) -> Iterator[Cue]:
    for cue in cues:
        if cue.begins < end:
            yield cue._replace(ends=min(end, cue.ends))
