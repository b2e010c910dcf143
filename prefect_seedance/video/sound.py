"""The sound of a film: what clips, voices and music give, laid out in time, mixed and brought to one loudness.

Everything becomes 48 kHz stereo and is read, mixed and written in pieces of a second: a film of hours takes no more
memory than one of seconds.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.filter import Graph
from av.filter.context import FilterContext

from prefect_seedance.errors import ClipDamaged
from prefect_seedance.models import Audio, Heard
from prefect_seedance.video.formats import SOUND_FORMATS

RATE = 48_000
"""Samples per second of a film's sound."""

BYTES = 8
"""Of one sample: two channels of 32-bit floating point."""

LOUDNESS = -16.0
"""LUFS of every clip, every voice and the whole film, measured as EBU R 128 says; its supplement 2 is for streaming."""

PEAK = 0.84
"""The highest sample of a film, -1.5 dBTP, so that no player's decoder distorts it."""

MUSIC = -28.0
"""LUFS of music before it is ducked under voices."""

FADE = 2.0
"""Seconds in which music ends with the film."""

MOST_GAIN = 20.0
"""dB that a quiet sound is raised by: what is nearly silent is meant to be."""

HEADROOM = 12.0
"""dB that the mix is lowered by until its loudness is known, so that voices above music do not distort."""


class Sound(NamedTuple):
    """A file that is heard from *begins* on for at most *lasts* seconds, *loudness* LUFS loud by itself."""

    path: Path
    begins: Fraction
    lasts: Fraction
    loudness: float | None


class Layer(NamedTuple):
    """Sounds one after another; music is ducked under those that are *voices*."""

    sounds: Sequence[Sound]
    voices: bool = False


class Ear:
    """Hears a sound track frame by frame and says in the end what was there. Remembers nothing but the loudness."""

    def __init__(self, stream: av.AudioStream) -> None:
        self._coded = stream.codec_context
        self._resampler = av.AudioResampler(format="flt", layout="stereo", rate=RATE)
        self._meter = _chain(("ebur128", "metadata=1"))
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
            for measured in _pulled(self._meter):
                self._loudness = _loudness_so_far(measured, self._loudness)

    def heard(self) -> Heard:
        """All of it, once it has ended."""
        self.hear(None)
        coded = self._coded
        audio = Audio(
            codec=coded.name, rate=coded.sample_rate, channels=coded.layout.nb_channels, loudness=self._loudness
        )
        return Heard(seconds=round(float(self.seconds), 3), audio=audio)


def listen(path: Path, most_seconds: float) -> Heard:
    """Decode all sound in *path* and say how loud it is.

    Raises `ClipDamaged` for one that is not there, can't be decoded, is longer than *most_seconds*, or has no end.
    """
    with _opened(path) as file:
        ear = Ear(file.streams.audio[0])
        for frame in file.decode(file.streams.audio[0]):
            ear.hear(frame)
            if ear.seconds > most_seconds:
                raise ClipDamaged(f"it sounds for more than {most_seconds / 60:.0f} minutes")
        if not ear.seconds:
            raise ClipDamaged("it has no sound in it")
        return ear.heard()


def mix(layers: Sequence[Layer], music: Sound | None, seconds: Fraction, target: Path) -> None:
    """Write *layers* and *music* as one AAC track of *seconds* to *target*, an MP4, at `LOUDNESS`.

    Music shorter than the film is played again, and fades out with it.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        mixed = Path(folder) / "mixed.flac"
        loudness = _write_mix(layers, music, seconds, mixed)
        gain = 0.0 if loudness is None else LOUDNESS - loudness
        with _opened(mixed) as file, av.open(str(target), "w", format="mp4") as out:
            stream = out.add_stream("aac", rate=RATE, layout="stereo")
            stream.bit_rate = 192_000
            level = _chain(("volume", f"{gain}dB"), ("alimiter", f"limit={PEAK}:level=0"), ("aformat", "fltp"))
            for frame in _through(level, _resampled(file)):
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))


def _write_mix(layers: Sequence[Layer], music: Sound | None, seconds: Fraction, target: Path) -> float | None:
    """Write the mix, `HEADROOM` below its level, and return its loudness as written; None for silence."""
    loudness: float | None = None
    with av.open(str(target), "w") as out:
        stream = out.add_stream("flac", rate=RATE, layout="stereo")
        stream.format = "s16"
        for frame in _mixed(layers, music, seconds):
            loudness = _loudness_so_far(frame, loudness)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return loudness


def _mixed(layers: Sequence[Layer], music: Sound | None, seconds: Fraction) -> Iterator[av.AudioFrame]:
    graph = Graph()
    sources = [graph.add_abuffer(sample_rate=RATE, format="flt", layout="stereo") for _ in layers]
    streams = [_laid_out(layer.sounds, seconds) for layer in layers]
    heard: list[FilterContext] = list(sources)
    if music is not None:
        bed = graph.add_abuffer(sample_rate=RATE, format="flt", layout="stereo")
        streams.append(_repeated(music, seconds))
        sources.append(bed)
        heard.append(_fading(graph, _ducked(graph, bed, heard, [layer.voices for layer in layers]), seconds))
    mixing = graph.add("amix", f"inputs={len(heard)}:normalize=0:duration=longest")
    for pad, one in enumerate(heard):
        one.link_to(mixing, 0, pad)
    ending = ("volume", f"{-HEADROOM}dB"), ("ebur128", "metadata=1"), ("aformat", "s16:48000:stereo")
    last = mixing
    for name, words in (*ending, ("abuffersink", None)):
        last.link_to(nxt := graph.add(name, words))
        last = nxt
    graph.configure()
    for at, pieces in enumerate(zip(*streams, strict=True)):
        for source, piece in zip(sources, pieces, strict=True):
            source.push(_frame(piece, at * RATE))
        yield from _pulled(last)
    for source in sources:
        source.push(None)
    yield from _pulled(last)


def _ducked(graph: Graph, bed: FilterContext, heard: list[FilterContext], voices: list[bool]) -> FilterContext:
    """*bed* under the voices; each voice in *heard* is split, since it is listened to as well as heard."""
    if not any(voices):
        return bed
    listened = []
    for at, speaks in enumerate(voices):
        if speaks:
            split = graph.add("asplit", "2")
            heard[at].link_to(split)
            through = graph.add("anull")
            split.link_to(through, 0)
            heard[at] = through
            listened.append(split)
    key = graph.add("amix", f"inputs={len(listened)}:normalize=0")
    for pad, split in enumerate(listened):
        split.link_to(key, 1, pad)
    duck = graph.add("sidechaincompress", "threshold=0.02:ratio=8:attack=20:release=400")
    bed.link_to(duck, 0, 0)
    key.link_to(duck, 0, 1)
    return duck


def _fading(graph: Graph, bed: FilterContext, seconds: Fraction) -> FilterContext:
    """*bed*, which ends softly with the film."""
    fade = min(FADE, float(seconds))
    faded = graph.add("afade", f"type=out:start_time={float(seconds) - fade}:duration={fade}")
    bed.link_to(faded)
    return faded


def _laid_out(sounds: Sequence[Sound], seconds: Fraction) -> Iterator[bytes]:
    """*sounds* at their times and silence between them, in pieces of a second, to the last one that has begun."""
    return _in_seconds(_with_silence(sounds), seconds)


def _with_silence(sounds: Sequence[Sound]) -> Iterator[bytes]:
    at = 0
    for sound in sounds:
        begins = max(at, round(sound.begins * RATE))
        while at < begins:
            silence = min(RATE, begins - at)
            yield bytes(silence * BYTES)
            at += silence
        left = round((sound.begins + sound.lasts) * RATE) - begins
        for piece in _leveled(sound, LOUDNESS):
            piece = piece[: left * BYTES]
            yield piece
            at += len(piece) // BYTES
            left -= len(piece) // BYTES
            if left <= 0:
                break


def _repeated(music: Sound, seconds: Fraction) -> Iterator[bytes]:
    again = itertools.chain.from_iterable(_leveled(music, MUSIC) for _ in itertools.count())
    return _in_seconds(again, seconds)


def _in_seconds(pieces: Iterator[bytes], seconds: Fraction) -> Iterator[bytes]:
    """The same bytes in pieces of a second, cut or filled with silence to *seconds*."""
    left = round(seconds * RATE) * BYTES
    waiting = bytearray()
    while left > 0:
        wanted = min(RATE * BYTES, left)
        while len(waiting) < wanted and (piece := next(pieces, None)) is not None:
            waiting += piece
        yield bytes(waiting[:wanted]).ljust(wanted, b"\0")
        del waiting[:wanted]
        left -= wanted


def _leveled(sound: Sound, loudness: float) -> Iterator[bytes]:
    """The samples of a file, raised or lowered to *loudness*."""
    gain = 0.0 if sound.loudness is None else min(MOST_GAIN, loudness - sound.loudness)
    with _opened(sound.path) as file:
        for frame in _through(_chain(("volume", f"{gain}dB"), ("aformat", "flt")), _resampled(file)):
            yield bytes(frame.planes[0])[: frame.samples * BYTES]


def _resampled(file: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    resampler = av.AudioResampler(format="flt", layout="stereo", rate=RATE)
    for frame in file.decode(file.streams.audio[0]):
        frame.pts = None
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _loudness_so_far(frame: av.AudioFrame, before: float | None) -> float | None:
    """Integrated LUFS; the meter says -70 until it has heard something."""
    said = frame.metadata.get("lavfi.r128.I")
    return before if said is None or float(said) <= -70 else float(said)


def _chain(*filters: tuple[str, str]) -> Graph:
    graph = Graph()
    source = graph.add_abuffer(sample_rate=RATE, format="flt", layout="stereo")
    nodes = [graph.add(name, words) for name, words in filters]
    graph.link_nodes(source, *nodes, graph.add("abuffersink")).configure()
    return graph


def _through(graph: Graph, frames: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    for frame in frames:
        graph.push(frame)
        yield from _pulled(graph)
    graph.push(None)
    yield from _pulled(graph)


def _pulled(from_: Graph | FilterContext) -> Iterator[av.AudioFrame]:
    with suppress(BlockingIOError, EOFError):
        while True:
            frame = from_.pull()
            assert isinstance(frame, av.AudioFrame)
            yield frame


def _frame(samples: bytes, at: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="flt", layout="stereo", samples=len(samples) // BYTES)
    frame.planes[0].update(samples)
    frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
    return frame


@contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
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
