"""What an editing program opens: an OpenTimelineIO timeline and a CMX 3600 EDL, written as text, no library needed.

Frame counts are those of the files, never seconds times rate. A shot without a clip keeps its place as a slate, so that
the timeline has its full length and the clip can be dropped in later.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from prefect_seedance.models import NO_WORDS, Words
from prefect_seedance.production.manifest import ShotResult, words_of
from prefect_seedance.production.otio_items import clip_item, media, plain, reference, time_range, track
from prefect_seedance.production.timeline_sound import Heard, audio_tracks

USUAL_SECONDS = 5.0
"""The length of a slate where it is not known how many seconds were asked for."""

LONGEST_COMMENT = 66
"""With what stands before it a line of an EDL has 80 characters at most, where old readers stop."""


def otio(
    title: str,
    shots: Sequence[ShotResult],
    prompts: Mapping[str, str],
    media_urls: Sequence[str | None],
    rate: float,
    *,
    wanted_seconds: Mapping[str, float] = {},
    models: Mapping[str, str] = {},
    words: Words = NO_WORDS,
    heard: Heard | None = None,
) -> str:
    """The timeline as OpenTimelineIO JSON: one video track, shot after shot, each with its provenance in its metadata.

    Beside it the tracks of what is *heard*.

    *media_urls* stand beside *shots*, relative to the timeline; None makes a slate. Prompts, models and the seconds
    that were asked for are looked up by the id of the shot. *rate* is that of the slates.
    """
    children, lengths = [], []
    for shot, url in zip(shots, media_urls, strict=True):
        provenance = _provenance(shot, prompts.get(shot.id), models.get(shot.id))
        if url is None:
            length = time_range(_slate_frames(shot, wanted_seconds, rate), rate)
            children.append(_slate(shot, length, provenance))
        else:
            length = time_range(_frames(shot, rate), shot.fps or rate)
            children.append(clip_item(shot.id, length, provenance, [], media(url, length)))
        lengths.append(length)
    tracks = [track("Shots", "Video", children)]
    if heard is not None:
        tracks += audio_tracks(shots, media_urls, lengths, heard)
    stack = {"OTIO_SCHEMA": "Stack.1", "name": "tracks", "children": tracks, **plain()}
    written = {"prefect_seedance": words.written} if words.written else {}
    timeline = {"OTIO_SCHEMA": "Timeline.1", "name": title, "metadata": written, "global_start_time": None}
    timeline |= {"tracks": stack}
    return json.dumps(timeline, indent=2, ensure_ascii=False) + "\n"


def edl(
    title: str,
    shots: Sequence[ShotResult],
    media_urls: Sequence[str | None],
    rate: float,
    *,
    wanted_seconds: Mapping[str, float] = {},
    words: Words = NO_WORDS,
) -> str:
    """The timeline as a CMX 3600 EDL: one video track, cuts only, non-drop timecode at the nominal rate (24, 25, …)."""
    nominal = round(rate)
    lines = [f"TITLE: {_one_line(title)[:70]}", "FCM: NON-DROP FRAME", ""]
    of_the_board = _comments(words)  # with the first event: readers stop at comments that belong to none
    position = 0
    for number, (shot, url) in enumerate(zip(shots, media_urls, strict=True), start=1):
        if url is None:
            frames, reel = _slate_frames(shot, wanted_seconds, rate), "BL"
            comments = [f"* COMMENT: MISSING {_one_line(shot.id)}: {why_missing(shot)}"]
        else:
            # A clip of another rate takes as many frames of the timeline as fit into its time.
            frames, reel = _timeline_frames(shot, rate), _reel(number, shot.id)
            comments = [f"* FROM CLIP NAME: {url.rpartition('/')[2]}", f"* SOURCE FILE: {url}"]
        times = (0, frames, position, position + frames)
        timecodes = " ".join(_timecode(frame, nominal) for frame in times)
        told = [*(of_the_board if number == 1 else []), *_comments(words_of(shot))]
        lines += [f"{number:03d}  {reel:<8} V     C        {timecodes}", *comments, *told]
        position += frames
    return "\n".join(lines) + "\n"


def why_missing(shot: ShotResult) -> str:
    """The state of a shot and what the record says about it, on one line."""
    return f"{shot.status} ({_one_line(shot.error)})" if shot.error else shot.status


def _provenance(shot: ShotResult, prompt: str | None, model: str | None) -> dict[str, Any]:
    fields = {"job_id", "key", "cost_usd", "sha256", "status", "error", "take", "clip"}
    known = {"shot_id": shot.id, "prompt": prompt, "model": model, **shot.model_dump(mode="json", include=fields)}
    return {"prefect_seedance": known | words_of(shot).written}


def _comments(words: Words) -> list[str]:
    """What people wrote, in lines that no reader of an EDL takes for one of its own."""
    written = words.written
    named = {**{name.upper(): value for name, value in written.items() if name != "metadata"}, **words.metadata}
    lines = []
    for name, value in named.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines += textwrap.wrap(_one_line(f"{name}: {text}"), LONGEST_COMMENT)
    return [f"* COMMENT: {line}" for line in lines]


def _slate(shot: ShotResult, length: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    marker = {
        "OTIO_SCHEMA": "Marker.2",
        "name": f"{shot.id} is missing",
        "color": "RED",
        "comment": why_missing(shot),
        "marked_range": length,
        "metadata": {},
    }
    absent = reference("MissingReference.1", shot.id, None)
    return clip_item(f"MISSING {shot.id}", length, metadata, [marker], absent)


def _frames(shot: ShotResult, rate: float) -> int:
    if shot.frames is not None:
        return shot.frames
    return round((shot.seconds or USUAL_SECONDS) * (shot.fps or rate))


def _timeline_frames(shot: ShotResult, rate: float) -> int:
    return max(1, round(_frames(shot, rate) / (shot.fps or rate) * rate))


def _slate_frames(shot: ShotResult, wanted_seconds: Mapping[str, float], rate: float) -> int:
    return max(1, round((shot.seconds or wanted_seconds.get(shot.id, USUAL_SECONDS)) * rate))


def _reel(number: int, shot_id: str) -> str:
    """Eight characters at most, as CMX 3600 wants; the number in front makes them unique."""
    letters = re.sub(r"[^A-Z0-9]", "", shot_id.upper().encode("ascii", "ignore").decode())
    return f"{number:03d}{letters}"[:8]


def _timecode(frame: int, nominal: int) -> str:
    seconds, frames = divmod(frame, nominal)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}:{frames:02d}"


def _one_line(text: str) -> str:
    """*text* without line ends and marks that steer; the joiners inside Persian and Indic words are letters there."""
    return " ".join("".join(mark if mark.isprintable() or mark in "\u200c\u200d" else " " for mark in text).split())
