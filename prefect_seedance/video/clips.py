"""Reading and checking clips with PyAV: a file in, what is there out, one frame in memory at a time.

Every clip is read to its end, frame by frame: damaged MP4s open fine and break only while decoding.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import av
from PIL import Image

from prefect_seedance.errors import ClipDamaged
from prefect_seedance.video.hearing import Ear, SoundTrack

POSTER_WIDTH = 640
"""Pixels, at most."""

MOST_PIXELS = 8192 * 4320
"""Of one frame: 8K. No row of the catalog makes a quarter of it; FFmpeg's own bound is 2 GB for each frame it keeps."""

SOUND_SLACK = Fraction(1, 10)
"""Seconds of sound that an encoder may have added or left out."""


class Moment(NamedTuple):
    """A decoded frame, with its number (from 1) and what its time stamp needs to become seconds.

    *first* is the time stamp of the first frame, *tick* the seconds of one unit, *rate* the frames per second.
    """

    frame: av.VideoFrame
    number: int
    first: int
    tick: Fraction
    rate: Fraction

    @property
    def ends(self) -> Fraction:
        """When this frame ends, in seconds from the start of the first."""
        return ((self.frame.pts or 0) - self.first) * self.tick + (self.frame.duration * self.tick or 1 / self.rate)


class Examined(NamedTuple):
    """What is there after every frame was decoded: `models.Footage`, where no pydantic is loaded."""

    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    audio: SoundTrack | None

    def as_fields(self) -> dict[str, Any]:
        return {**self._asdict(), "audio": self.audio._asdict() if self.audio else None}


def examine(path: Path, *, poster: Path | None = None, last_frame: Path | None = None) -> Examined:
    """Decode every frame once and say what is there, or raise `ClipDamaged`.

    The same pass makes *poster*, a small JPEG of the frame at one third, and *last_frame*, a PNG, where they are asked
    for: whole, or not at all where they can't be made, which says nothing of the clip.
    """
    with opened(path) as clip:
        third = _seconds(clip.streams.video[0]) / 3
        shown: av.VideoFrame | None = None
        ear = _ear(clip)
        for moment in moments(clip, ear, exact=last_frame is not None):
            if shown is None and moment.ends > third:
                shown = moment.frame
        seen = Examined(
            width=moment.frame.width,
            height=moment.frame.height,
            fps=round(float(rate_of(clip)), 3),
            frames=moment.number,
            seconds=round(float(moment.ends), 3),
            audio=_audio(clip, ear, moment.ends) if ear else None,
        )
    if poster is not None:
        _draw(shown or moment.frame, poster, "JPEG", POSTER_WIDTH)
    if last_frame is not None:
        _draw(moment.frame, last_frame, "PNG", seen.width)
    return seen


def _ear(clip: av.container.InputContainer) -> Ear | None:
    """Who hears the sound of *clip*; None where it has none."""
    if not clip.streams.audio:
        return None
    if clip.streams.audio[0].codec_context is None:
        raise ClipDamaged(f"{Path(clip.name).name} has sound of a kind that can't be decoded")
    return Ear(clip.streams.audio[0])


def _audio(clip: av.container.InputContainer, ear: Ear, picture: Fraction) -> SoundTrack:
    """What was heard of *clip*, which must be all that lies beside its *picture*, of so many seconds."""
    stream, heard = clip.streams.audio[0], ear.heard()
    if ear.frames < stream.frames and ear.seconds + SOUND_SLACK < min(picture, _seconds(stream)):
        raise ClipDamaged(f"{Path(clip.name).name} falls silent after {heard.seconds} s of {_seconds(stream):.3f} s")
    return heard.audio


def _draw(frame: av.VideoFrame, picture: Path, kind: str, width: int) -> None:
    """Save *frame*, at most *width* pixels wide; leave nothing where that fails."""
    with suppress(OSError, ValueError, MemoryError, av.FFmpegError), whole_or_nothing(picture) as unfinished:
        width = min(width, frame.width)
        size = {"width": width, "height": max(1, round(frame.height * width / frame.width))}
        image: Image.Image = frame.to_image(**size, interpolation="AREA")  # type: ignore[no-untyped-call]
        image.save(unfinished, kind, quality=85)


def rate_of(clip: av.container.InputContainer) -> Fraction:
    """Frames per second."""
    stream = clip.streams.video[0]
    return stream.average_rate or stream.guessed_rate or Fraction(24)


def _seconds(stream: av.VideoStream | av.AudioStream) -> Fraction:
    """How long the header says that *stream* is."""
    return (stream.duration or 0) * (stream.time_base or Fraction(1))


@contextmanager
def opened(path: Path, kind: Literal["video", "audio"] = "video") -> Iterator[av.container.InputContainer]:
    """The clip at *path*. Errors of the decoder inside become `ClipDamaged`, those of disk and memory stay."""
    if path.stat().st_size == 0:
        raise ClipDamaged(f"{path.name} is empty")
    try:
        # Named, since left to guess FFmpeg takes pictures for clips, and lists that name other files of this machine.
        with av.open(str(path), format="mp4") as clip:
            if kind == "video" and not clip.streams.video:
                raise ClipDamaged(f"{path.name} has no picture in it")
            yield clip
    except av.FFmpegError as error:
        if isinstance(error, OSError | MemoryError):  # the machine's fault, not the clip's
            raise
        raise ClipDamaged(f"{path.name} is damaged: {error.strerror}") from error


def moments(clip: av.container.InputContainer, ear: Ear | None = None, *, exact: bool = True) -> Iterator[Moment]:
    """Every frame in order; `ClipDamaged` where the decoder had to guess one, or where the end is missing.

    The sound, which lies between the frames, is decoded in the same pass for *ear*. Frames that need not be *exact* are
    read as completely, so that the same damage is found, but the edges of their blocks are not smoothed: a fifth less
    work. Of 240 damaged files both ways said the same, and posters can't be told apart (40 dB at 100 kbit/s).
    """
    name, stream = Path(clip.name).name, clip.streams.video[0]
    stream.thread_type = "NONE"  # with threads of its own the codec takes half as much processor time again
    if stream.codec_context is None:
        raise ClipDamaged(f"{name} has pictures of a kind that can't be decoded")
    stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)} | ({} if exact else {"skip_loop_filter": "all"})
    tick, rate = stream.time_base or Fraction(1), rate_of(clip)
    number, first, last = 0, 0, None
    for frame in clip.decode(stream, *([clip.streams.audio[0]] if ear else [])):
        if isinstance(frame, av.AudioFrame):
            assert ear is not None
            if frame.is_corrupt:
                raise ClipDamaged(f"{name} is damaged in its sound, {float(ear.seconds):.1f} s from its start")
            ear.hear(frame)
            continue
        assert isinstance(frame, av.VideoFrame)
        number += 1
        if frame.is_corrupt or frame.pts is None:
            raise ClipDamaged(f"{name} is damaged in frame {number}")
        first = frame.pts if number == 1 else first
        last = Moment(frame, number, first, tick, rate)
        yield last
    if last is None:
        raise ClipDamaged(f"{name} has no picture in it")
    # Too few frames alone prove nothing: an edit list may leave some out on purpose. The time has to be short as well.
    if last.number < stream.frames and last.ends + 1 / (2 * rate) < _seconds(stream):
        raise ClipDamaged(f"{name} ends after {last.number} of {stream.frames} frames")


@contextmanager
def whole_or_nothing(path: Path) -> Iterator[Path]:
    """A name beside *path* to write to, which becomes *path* where nothing goes wrong inside."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
