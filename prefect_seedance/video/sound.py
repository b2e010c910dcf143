"""The sound of a film: what clips, voices and music give, laid out in time, mixed and brought to one loudness.

Everything becomes 48 kHz stereo and is read, mixed and written in pieces of a second: a film of hours takes no more
memory than one of seconds.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
from av.filter import Graph
from av.filter.context import FilterContext

from prefect_seedance.video.hearing import RATE, chain, loudness_so_far, opened_sound, pulled, resampled

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


def mix(layers: Sequence[Layer], music: Sound | None, seconds: Fraction, target: Path) -> None:
    """Write *layers* and *music* as one AAC track of *seconds* to *target*, an MP4, at `LOUDNESS`.

    Music shorter than the film is played again, and fades out with it.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        mixed = Path(folder) / "mixed.flac"
        loudness = _write_mix(layers, music, seconds, mixed)
        gain = 0.0 if loudness is None else min(HEADROOM + MOST_GAIN, LOUDNESS - loudness)
        with opened_sound(mixed) as file, av.open(str(target), "w", format="mp4") as out:
            stream = out.add_stream("aac", rate=RATE, layout="stereo")
            stream.bit_rate = 192_000
            level = chain(("volume", f"{gain}dB"), ("alimiter", f"limit={PEAK}:level=0"), ("aformat", "fltp"))
            for frame in _through(level, resampled(file)):
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))


def _write_mix(layers: Sequence[Layer], music: Sound | None, seconds: Fraction, target: Path) -> float | None:
    """Write the mix, `HEADROOM` below its level, and return its loudness as written; None for silence."""
    loudness: float | None = None
    with av.open(str(target), "w") as out:
        stream = out.add_stream("flac", rate=RATE, layout="stereo")
        stream.format = "s16"
        for frame in _mixed(layers, music, seconds):
            loudness = loudness_so_far(frame, loudness)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return loudness


def _mixed(layers: Sequence[Layer], music: Sound | None, seconds: Fraction) -> Iterator[av.AudioFrame]:
    graph = Graph()
    graph.threads = 1
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
        yield from pulled(last)
    for source in sources:
        source.push(None)
    yield from pulled(last)


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
    with opened_sound(sound.path) as file:
        for frame in _through(chain(("volume", f"{gain}dB"), ("aformat", "flt")), resampled(file)):
            yield bytes(frame.planes[0])[: frame.samples * BYTES]


def _through(graph: Graph, frames: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame]:
    for frame in frames:
        graph.push(frame)
        yield from pulled(graph)
    graph.push(None)
    yield from pulled(graph)


def _frame(samples: bytes, at: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="flt", layout="stereo", samples=len(samples) // BYTES)
    frame.planes[0].update(samples)
    frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
    return frame
