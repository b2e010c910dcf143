"""Reading, checking and joining clips with PyAV: files in, files out, one frame in memory at a time.

Every clip is read to its end, frame by frame: damaged MP4s open fine and break only while decoding.
"""

from __future__ import annotations

import os
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.filter import Graph
from PIL import Image

from prefect_seedance.errors import ClipDamaged
from prefect_seedance.models import Footage


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


def examine(path: Path) -> Footage:
    """Decode every frame and say what is there, or raise `ClipDamaged`."""
    with _opened(path) as clip:
        last = _last(clip)
        return Footage(
            width=last.frame.width,
            height=last.frame.height,
            fps=round(float(_rate(clip)), 3),
            frames=last.number,
            seconds=round(float(last.ends), 3),
        )


def last_frame(clip: Path, picture: Path) -> None:
    """Save the last frame of *clip* as a PNG. All are decoded to find it: seeking is neither exact nor quicker."""
    with _opened(clip) as opened:
        image = _image(_last(opened).frame)
    with _whole_or_nothing(picture) as unfinished:
        image.save(unfinished, "PNG")


def poster(clip: Path, picture: Path, width: int = 640) -> None:
    """Save a frame from one third into *clip* as a JPEG, at most *width* pixels wide."""
    third = Fraction(examine(clip).seconds) / 3
    with _opened(clip) as opened:
        image = next(_image(moment.frame) for moment in _moments(opened) if moment.ends > third)
    image.thumbnail((width, image.height))
    with _whole_or_nothing(picture) as unfinished:
        image.save(unfinished, "JPEG", quality=85)


def join(clips: Sequence[Path], film: Path) -> Footage:
    """Play *clips* one after another in one silent MP4, as long as all of them together.

    Copied without loss where they agree in codec, size, pixels, rate and time base. Otherwise encoded anew, to the
    size and rate of the first clip, with bars where a clip has another shape.
    """
    with _whole_or_nothing(film) as unfinished:
        with av.open(str(unfinished), "w", format="mp4", options={"movflags": "+faststart"}) as target:
            copied = len({_form(clip) for clip in clips}) == 1
            (_copy if copied else _encode)(clips, target)
        # What was copied has been decoded when it was stored; doing it again would take most of the time.
        return _said_of(unfinished) if copied else examine(unfinished)


def _said_of(path: Path) -> Footage:
    """What the header of a file says of it; nothing is decoded."""
    with _opened(path) as clip:
        stream = clip.streams.video[0]
        return Footage(
            width=stream.codec_context.width,
            height=stream.codec_context.height,
            fps=round(float(_rate(clip)), 3),
            frames=stream.frames,
            seconds=round(float((stream.duration or 0) * (stream.time_base or 1)), 3),
        )


def _copy(clips: Sequence[Path], target: av.container.OutputContainer) -> None:
    stream: av.VideoStream | None = None
    begins = 0
    for path in clips:
        with _opened(path) as clip:
            source = clip.streams.video[0]
            if stream is None:
                stream = target.add_stream_from_template(source)
            shift, copied = begins - (source.start_time or 0), 0
            for packet in clip.demux(source):
                if packet.dts is None or packet.pts is None:
                    continue  # the empty packet that ends a stream
                packet.pts += shift
                packet.dts += shift
                begins = max(begins, packet.pts + (packet.duration or 0))
                packet.stream = stream
                target.mux(packet)
                copied += 1
            if copied < source.frames:
                raise ClipDamaged(f"{path.name} ends after {copied} of {source.frames} frames")


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


def _form(path: Path) -> tuple[object, ...]:
    """What clips must have in common to be played by one decoder without a break."""
    with _opened(path) as clip:
        stream = clip.streams.video[0]
        coded = stream.codec_context
        shape = (coded.width, coded.height, coded.sample_aspect_ratio)
        return coded.name, *shape, coded.pix_fmt, _rate(clip), stream.time_base, coded.extradata


def _rate(clip: av.container.InputContainer) -> Fraction:
    stream = clip.streams.video[0]
    return stream.average_rate or stream.guessed_rate or Fraction(24)


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
    if last.number < stream.frames and last.ends + 1 / (2 * rate) < (stream.duration or 0) * tick:
        raise ClipDamaged(f"{name} ends after {last.number} of {stream.frames} frames")


def _last(clip: av.container.InputContainer) -> _Moment:
    return deque(_moments(clip), maxlen=1).pop()


def _image(frame: av.VideoFrame) -> Image.Image:
    image: Image.Image = frame.to_image()  # type: ignore[no-untyped-call]
    return image


@contextmanager
def _whole_or_nothing(path: Path) -> Iterator[Path]:
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
