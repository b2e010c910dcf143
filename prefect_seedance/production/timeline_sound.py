"""The audio tracks of a timeline: the sound of the clips, the narrations, the music. A slate takes its time too."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from prefect_seedance.production.manifest import ShotResult, SoundFile
from prefect_seedance.production.otio_items import clip_item, gap, media, time_range, track
from prefect_seedance.production.score import narrated, voice_of

RATE = 48_000
"""Of what is heard beside the clips, in samples per second."""

Item = dict[str, Any]


class Heard(NamedTuple):
    """What is heard beside the clips, as far as it lies in the production: addresses relative to the timeline."""

    voices: Sequence[str | None]
    """Those of the narrations, beside the shots."""
    music: SoundFile | None = None
    music_url: str | None = None


def audio_tracks(
    shots: Sequence[ShotResult], urls: Sequence[str | None], lengths: Sequence[Item], heard: Heard
) -> Iterator[Item]:
    """Those tracks on which something is heard, each from the start of the timeline."""
    if any(shot.audio and url for shot, url in zip(shots, urls, strict=True)):
        yield track("Sound", "Audio", list(_of_clips(shots, urls, lengths)))
    *begins, ends = itertools.accumulate(map(_seconds, lengths), initial=Fraction(0))
    voices = ((number, voice_of(shot)) for number, shot in enumerate(shots) if heard.voices[number])
    spoken = {number: voice for number, voice in voices if voice}
    said = narrated(begins, spoken)
    if said:
        yield track("Narration", "Audio", list(_of_voices(shots, said, heard.voices)))
        ends = max([ends, *(until for _, until in said.values())])
    if heard.music is not None and heard.music_url:
        yield track("Music", "Audio", list(_of_music(heard.music, heard.music_url, ends)))


def _of_clips(shots: Sequence[ShotResult], urls: Sequence[str | None], lengths: Sequence[Item]) -> Iterator[Item]:
    for shot, url, length in zip(shots, urls, lengths, strict=True):
        yield clip_item(shot.id, length, {}, [], media(url, length)) if shot.audio and url else gap(length)


def _of_voices(
    shots: Sequence[ShotResult], said: Mapping[int, tuple[Fraction, Fraction]], urls: Sequence[str | None]
) -> Iterator[Item]:
    at = 0
    for number, (begins, ends) in said.items():
        first, last = round(begins * RATE), round(ends * RATE)
        if first > at:
            yield gap(time_range(first - at, RATE))
        length = time_range(last - first, RATE)
        yield clip_item(shots[number].id, length, {}, [], media(urls[number] or "", length))
        at = last


def _of_music(music: SoundFile, url: str, ends: Fraction) -> Iterator[Item]:
    """It is played again until the film *ends*."""
    whole, left = round(music.seconds * RATE), round(ends * RATE)
    while left > 0 and whole > 0:
        length = time_range(min(whole, left), RATE)
        yield clip_item("music", length, {}, [], media(url, time_range(whole, RATE)))
        left -= whole


def _seconds(length: Item) -> Fraction:
    duration = length["duration"]
    return Fraction(duration["value"]) / Fraction(str(duration["rate"]))
