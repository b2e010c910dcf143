"""Sound as it is decoded: every file becomes 48 kHz stereo, and its loudness is measured piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.filter import Graph
from av.filter.context import FilterContext

from prefect_seedance.errors import ClipDamaged
from prefect_seedance.video.formats import SOUND_FORMATS
from prefect_seedance.video.whole import refuse_what_is_cut

RATE = 48_000
"""Samples per second of a film's sound."""


class SoundTrack(NamedTuple):
    """A sound track, after all of it was decoded: `models.Audio`, where no pydantic is loaded."""

    codec: str
    rate: int
    channels: int
    loudness: float | None


class Listened(NamedTuple):
    """All of a sound: `models.Heard`, where no pydantic is loaded."""

    seconds: float
    audio: SoundTrack

    def as_fields(self) -> dict[str, Any]:
        return {**self._asdict(), "audio": self.audio._asdict()}


class Ear:
    """Hears a sound track frame by frame and says in the end what was there. Remembers nothing but the loudness."""

    def __init__(self, stream: av.AudioStream) -> None:
        self._coded = stream.codec_context
        self._resampler = av.AudioResampler(format="flt", layout="stereo", rate=RATE)
        self._meter = chain(("ebur128", "metadata=1"))
        self._samples = 0
        self._loudness: float | None = None
        self.frames = 0

    @property
    def seconds(self) -> Fraction:
        """What was heard so far, in seconds."""
        return Fraction(self._samples, RATE)

    def hear(self, frame: av.AudioFrame | None) -> None:
        """The next frame; None after the last."""
        self.frames += frame is not None
        if frame is not None:
            frame.pts = None
        for piece in self._resampler.resample(frame):
            self._samples += piece.samples
            self._meter.push(piece)
            for measured in pulled(self._meter):
                self._loudness = loudness_so_far(measured, self._loudness)

    def heard(self) -> Listened:
        """All of it, once it has ended."""
        self.hear(None)
        coded = self._coded
        audio = SoundTrack(coded.name, coded.sample_rate, coded.layout.nb_channels, self._loudness)
        return Listened(round(float(self.seconds), 3), audio)


def listen(path: Path, most_seconds: float) -> Listened:
    """Decode all sound in *path* and say how loud it is.

    Raises `ClipDamaged` for one that is not there, can't be decoded, is longer than *most_seconds*, has no end, or
    breaks off.
    """
    with opened_sound(path) as file:
        stream = file.streams.audio[0]
        ear, told = Ear(stream), float((stream.duration or 0) * (stream.time_base or 0))
        for frame in file.decode(stream):
            if frame.is_corrupt:
                raise ClipDamaged(f"it is damaged, {float(ear.seconds):.1f} s from its start")
            ear.hear(frame)
            if ear.seconds > most_seconds:
                raise ClipDamaged(f"it sounds for more than {most_seconds / 60:.0f} minutes")
        if not ear.seconds:
            raise ClipDamaged("it has no sound in it")
        heard = ear.heard()
    refuse_what_is_cut(path, heard.seconds, told)
    return heard


def resampled(file: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    """The sound of *file* at `RATE`, in stereo."""
    resampler = av.AudioResampler(format="flt", layout="stereo", rate=RATE)
    for frame in file.decode(file.streams.audio[0]):
        frame.pts = None
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def loudness_so_far(frame: av.AudioFrame, before: float | None) -> float | None:
    """Integrated LUFS; the meter says -70 until it has heard something."""
    said = frame.metadata.get("lavfi.r128.I")
    return before if said is None or float(said) <= -70 else float(said)


def chain(*filters: tuple[str, str]) -> Graph:
    """Filters one behind another, for sound at `RATE` in stereo."""
    graph = Graph()
    graph.threads = 1  # no filter for sound uses more
    source = graph.add_abuffer(sample_rate=RATE, format="flt", layout="stereo")
    nodes = [graph.add(name, words) for name, words in filters]
    graph.link_nodes(source, *nodes, graph.add("abuffersink")).configure()
    return graph


def pulled(from_: Graph | FilterContext) -> Iterator[av.AudioFrame]:
    """What comes out at the end by now."""
    with suppress(BlockingIOError, EOFError):
        while True:
            frame = from_.pull()
            assert isinstance(frame, av.AudioFrame)
            yield frame


@contextmanager
def opened_sound(path: Path) -> Iterator[av.container.InputContainer]:
    """The sound file at *path*. Errors of the decoder become `ClipDamaged`, those of the disk stay what they are.

    Its format is named by its ending: left to guess, FFmpeg takes lists that name other files of this machine.
    """
    try:
        with av.open(str(path), format=SOUND_FORMATS[path.suffix.lower()]) as file:
            if not file.streams.audio or file.streams.audio[0].codec_context is None:
                raise ClipDamaged("it has no sound in it")
            yield file
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise ClipDamaged(f"it can't be played: {error.strerror}") from error
