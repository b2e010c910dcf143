"""Joining clips into a film with PyAV: files in, one file out, one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph

from prefect_seedance.errors import ClipDamaged
from prefect_seedance.models import Footage
from prefect_seedance.video.clips import examine, moments, opened, rate_of, whole_or_nothing
from prefect_seedance.video.tracks import SILENT, Beside, Tracks


def join(clips: Sequence[Path], film: Path, beside: Beside = SILENT) -> Footage:
    """Play *clips* one after another in one MP4, as long as all of them together, with what lies *beside* the picture.

    The picture is copied without loss where they agree in codec, size, pixels, rate and time base. Otherwise it is
    encoded anew, to the size and rate of the first clip, with bars where a clip has another shape.
    """
    with whole_or_nothing(film) as unfinished:
        return _copied(clips, unfinished, beside) or _encoded(clips, unfinished, beside)


@contextmanager
def _film(path: Path, beside: Beside) -> Iterator[Tracks]:
    """A film to be filled, that can be played while it loads."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as target:
        if beside.sound is None:
            yield Tracks(target, beside, None)
            return
        with opened(beside.sound, "audio") as sound:
            yield Tracks(target, beside, sound)


def _copied(clips: Sequence[Path], film: Path, beside: Beside) -> Footage | None:
    """A film of the packets as they are, each clip opened once and none decoded; None where a clip differs in form."""
    form: tuple[object, ...] | None = None
    frames = ends = 0
    with _film(film, beside) as tracks:
        for path in clips:
            with opened(path) as clip:
                source = clip.streams.video[0]
                if form is None:
                    form = _form(clip)
                    tracks.begin(tracks.target.add_stream_from_template(source))
                    tick, rate = source.time_base or Fraction(1), rate_of(clip)
                    size = source.codec_context.width, source.codec_context.height
                elif form != _form(clip):
                    return None
                copied, ends = _copy(clip, tracks, ends)
                frames += copied
        tracks.end(ends * tick)
    return Footage(
        width=size[0],
        height=size[1],
        fps=round(float(rate), 3),
        frames=frames,
        seconds=round(float(max(ends * tick, beside.seconds)), 3),
    )


def _copy(clip: av.container.InputContainer, tracks: Tracks, begins: int) -> tuple[int, int]:
    """Copy the packets of *clip*, the first shown at *begins*; returns how many, and when the last one ends."""
    source, copied, ends = clip.streams.video[0], 0, begins
    shift = begins - (source.start_time or 0)
    for packet in clip.demux(source):
        if packet.dts is None or packet.pts is None:
            continue  # the empty packet that ends a stream
        packet.pts += shift
        packet.dts += shift
        ends = max(ends, packet.pts + (packet.duration or 0))
        tracks.show([packet])
        copied += 1
    if copied < source.frames:
        raise ClipDamaged(f"{Path(clip.name).name} ends after {copied} of {source.frames} frames")
    return copied, ends


def _encoded(clips: Sequence[Path], film: Path, beside: Beside) -> Footage:
    with _film(film, beside) as tracks:
        _encode(clips, tracks, beside.seconds)
    return Footage(**examine(film).as_fields())


def _encode(clips: Sequence[Path], tracks: Tracks, least: Fraction) -> None:
    with opened(clips[0]) as first:
        rate, like = rate_of(first), first.streams.video[0].codec_context
        width, height = like.width // 2 * 2, like.height // 2 * 2
        stream = tracks.target.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        coded = stream.codec_context
        coded.time_base, coded.colorspace, coded.color_range = 1 / rate, like.colorspace, like.color_range
    tracks.begin(stream)
    index = 0
    for frame, ends in _fitted_frames(clips, width, height, least):
        while index / rate < ends:  # a frame is repeated or left out where the film's rate differs
            frame.pts, frame.time_base, frame.pict_type = index, 1 / rate, 0
            tracks.show(stream.encode(frame))
            index += 1
    tracks.show(stream.encode(None))
    tracks.end(index / rate)


def _fitted_frames(
    clips: Sequence[Path], width: int, height: int, least: Fraction
) -> Iterable[tuple[av.VideoFrame, Fraction]]:
    """Each frame of the film and when it ends; the last one again where the film is longer than its clips."""
    begins = Fraction(0)
    for path in clips:
        ends = begins
        with opened(path) as clip:
            fitted = _fitting(clip.streams.video[0], width, height)
            for moment in moments(clip):
                fitted.push(moment.frame)
                frame, ends = fitted.vpull(), begins + moment.ends
                yield frame, ends
        begins = ends
    if least > begins:
        yield frame, least


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
    return coded.name, *shape, coded.pix_fmt, rate_of(clip), stream.time_base, coded.extradata
