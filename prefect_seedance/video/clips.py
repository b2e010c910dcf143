"""Reading, checking and joining clips with PyAV: files in, files out, one frame in memory at a time.

Every clip is read to its end, frame by frame: damaged MP4s open fine and break only while decoding.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.filter import Graph
from PIL import Image

from prefect_seedance.errors import ClipDamaged
from prefect_seedance.models import Footage

POSTER_WIDTH = 640
"""Pixels, at most."""


class _Moment(NamedTuple):
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


def examine(path: Path, *, poster: Path | None = None, last_frame: Path | None = None) -> Footage:
    """Decode every frame once and say what is there, or raise `ClipDamaged`.

    The same pass makes *poster*, a small JPEG of the frame at one third, and *last_frame*, a PNG, where they are asked
    for: whole, or not at all where they can't be made, which says nothing of the clip.
    """
    with _opened(path) as clip:
        third = _seconds(clip.streams.video[0]) / 3
        shown: av.VideoFrame | None = None
        for moment in _moments(clip):
            if shown is None and moment.ends > third:
                shown = moment.frame
        footage = Footage(
            width=moment.frame.width,
            height=moment.frame.height,
            fps=round(float(_rate(clip)), 3),
            frames=moment.number,
            seconds=round(float(moment.ends), 3),
        )
    if poster is not None:
        _draw(shown or moment.frame, poster, "JPEG", POSTER_WIDTH)
    if last_frame is not None:
        _draw(moment.frame, last_frame, "PNG", footage.width)
    return footage


def _draw(frame: av.VideoFrame, picture: Path, kind: str, width: int) -> None:
    """Save *frame*, at most *width* pixels wide; leave nothing where that fails."""
    with suppress(OSError, ValueError, av.FFmpegError), _whole_or_nothing(picture) as unfinished:
        width = min(width, frame.width)
        size = {"width": width, "height": max(1, round(frame.height * width / frame.width))}
        image: Image.Image = frame.to_image(**size, interpolation="AREA")  # type: ignore[no-untyped-call]
        image.save(unfinished, kind, quality=85)


def join(clips: Sequence[Path], film: Path) -> Footage:
    """Play *clips* one after another in one silent MP4, as long as all of them together.

    Copied without loss where they agree in codec, size, pixels, rate and time base. Otherwise encoded anew, to the
    size and rate of the first clip, with bars where a clip has another shape.
    """
    with _whole_or_nothing(film) as unfinished:
        return _copied(clips, unfinished) or _encoded(clips, unfinished)


def _film(path: Path) -> av.container.OutputContainer:
    """A film to be filled, that can be played while it loads."""
    return av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})


def _copied(clips: Sequence[Path], film: Path) -> Footage | None:
    """A film of the packets as they are, each clip opened once and none decoded; None where a clip differs in form."""
    form: tuple[object, ...] | None = None
    frames = ends = 0
    with _film(film) as target:
        for path in clips:
            with _opened(path) as clip:
                source = clip.streams.video[0]
                if form is None:
                    form, stream = _form(clip), target.add_stream_from_template(source)
                    tick, rate = source.time_base or Fraction(1), _rate(clip)
                    size = source.codec_context.width, source.codec_context.height
                elif form != _form(clip):
                    return None
                copied, ends = _copy(clip, stream, target, ends)
                frames += copied
    return Footage(
        width=size[0],
        height=size[1],
        fps=round(float(rate), 3),
        frames=frames,
        seconds=round(float(ends * tick), 3),
    )


def _copy(
    clip: av.container.InputContainer, stream: av.VideoStream, target: av.container.OutputContainer, begins: int
) -> tuple[int, int]:
    """Copy the packets of *clip*, the first shown at *begins*; returns how many, and when the last one ends."""
    source, copied, ends = clip.streams.video[0], 0, begins
    shift = begins - (source.start_time or 0)
    for packet in clip.demux(source):
        if packet.dts is None or packet.pts is None:
            continue  # the empty packet that ends a stream
        packet.pts += shift
        packet.dts += shift
        ends = max(ends, packet.pts + (packet.duration or 0))
        packet.stream = stream
        target.mux(packet)
        copied += 1
    if copied < source.frames:
        raise ClipDamaged(f"{Path(clip.name).name} ends after {copied} of {source.frames} frames")
    return copied, ends


def _encoded(clips: Sequence[Path], film: Path) -> Footage:
    with _film(film) as target:
        _encode(clips, target)
    return examine(film)


def _encode(clips: Sequence[Path], target: av.container.OutputContainer) -> None:
    with _opened(clips[0]) as first:
        rate, like = _rate(first), first.streams.video[0].codec_context
        width, height = like.width // 2 * 2, like.height // 2 * 2
        stream = target.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        coded = stream.codec_context
        coded.time_base, coded.colorspace, coded.color_range = 1 / rate, like.colorspace, like.color_range
    index, begins = 0, Fraction(0)
    for path in clips:
        ends = begins
        with _opened(path) as clip:
            fitted = _fitting(clip.streams.video[0], width, height)
            for moment in _moments(clip):
                fitted.push(moment.frame)
                frame, ends = fitted.vpull(), begins + moment.ends
                while index / rate < ends:  # a frame is repeated or left out where the film's rate differs
                    frame.pts, frame.time_base, frame.pict_type = index, 1 / rate, 0
                    target.mux(stream.encode(frame))
                    index += 1
        begins = ends
    target.mux(stream.encode(None))


def _fitting(source: av.VideoStream, width: int, height: int) -> Graph:
    """A filter that scales to fit, adds bars and makes pixels square."""
    graph = Graph()
    graph.link_nodes(
        graph.add_buffer(template=source),
        graph.add("scale", "iw*if(sar,sar,1):ih"),
        graph.add("scale", f"{width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2"),
        graph.add("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2"),
        graph.add("setsar", "1"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _form(clip: av.container.InputContainer) -> tuple[object, ...]:
    """What clips must have in common to be played by one decoder without a break."""
    stream = clip.streams.video[0]
    coded = stream.codec_context
    shape = (coded.width, coded.height, coded.sample_aspect_ratio)
    return coded.name, *shape, coded.pix_fmt, _rate(clip), stream.time_base, coded.extradata


def _rate(clip: av.container.InputContainer) -> Fraction:
    stream = clip.streams.video[0]
    return stream.average_rate or stream.guessed_rate or Fraction(24)


def _seconds(stream: av.VideoStream) -> Fraction:
    """How long the header says that *stream* is."""
    return (stream.duration or 0) * (stream.time_base or Fraction(1))


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    """The clip at *path*. Errors of the decoder inside become `ClipDamaged`, those of the disk stay what they are."""
    if path.stat().st_size == 0:
        raise ClipDamaged(f"{path.name} is empty")
    try:
        # Named, since left to guess FFmpeg takes pictures for clips, and lists that name other files of this machine.
        with av.open(str(path), format="mp4") as clip:
            if not clip.streams.video:
                raise ClipDamaged(f"{path.name} has no picture in it")
            yield clip
    except av.FFmpegError as error:
        if isinstance(error, OSError):  # the disk's fault, not the clip's
            raise
        raise ClipDamaged(f"{path.name} is damaged: {error.strerror}") from error


def _moments(clip: av.container.InputContainer) -> Iterator[_Moment]:
    """Every frame in order; `ClipDamaged` where the decoder had to guess one, or where the end is missing."""
    name, stream = Path(clip.name).name, clip.streams.video[0]
    stream.thread_type = "NONE"  # with threads of its own the codec takes half as much processor time again
    tick, rate = stream.time_base or Fraction(1), _rate(clip)
    first, last = 0, None
    for number, frame in enumerate(clip.decode(stream), 1):
        if frame.is_corrupt or frame.pts is None:
            raise ClipDamaged(f"{name} is damaged in frame {number}")
        first = frame.pts if number == 1 else first
        last = _Moment(frame, number, first, tick, rate)
        yield last
    if last is None:
        raise ClipDamaged(f"{name} has no picture in it")
    # Too few frames alone prove nothing: an edit list may leave some out on purpose. The time has to be short as well.
    if last.number < stream.frames and last.ends + 1 / (2 * rate) < _seconds(stream):
        raise ClipDamaged(f"{name} ends after {last.number} of {stream.frames} frames")


@contextmanager
def _whole_or_nothing(path: Path) -> Iterator[Path]:
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
