"""Ears for tests: what lies in a sound file or a film, how loud it is, and how strong a tone is at a time."""

from __future__ import annotations

import math
from array import array
from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph

RATE = 48_000


def tone(path: Path, seconds: float, hertz: int = 440, height: int = 8_000) -> Path:
    """A file of one tone of whole hertz, in the format that its ending says."""
    codec = {".wav": "pcm_s16le", ".flac": "flac", ".mp3": "libmp3lame", ".ogg": "libopus"}.get(path.suffix, "aac")
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=RATE, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        second = array("h")
        for place in range(RATE):
            second.extend([round(height * math.sin(2 * math.pi * hertz * place / RATE))] * 2)
        two_seconds = second.tobytes() * 2
        for at in range(0, round(seconds * RATE), 1024):
            count = min(1024, round(seconds * RATE) - at)
            begin = at % RATE * 4
            frame = av.AudioFrame(format="s16", layout="stereo", samples=count)
            frame.planes[0].update(two_seconds[begin : begin + count * 4])
            frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def heard(path: Path) -> array[float]:
    """The left channel, at `RATE`."""
    sound = array("f")
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
    with av.open(str(path)) as film:
        for frame in [*film.decode(film.streams.audio[0]), None]:
            for piece in resampler.resample(frame):
                sound.frombytes(bytes(piece.planes[0])[: piece.samples * 4])
    return sound


def strength(sound: array[float], at: float, hertz: int) -> float:
    """How strong the tone of *hertz* is in the tenth of a second around *at*: its height, from 0 to 1."""
    piece = sound[round((at - 0.05) * RATE) : round((at + 0.05) * RATE)]
    turn = 2 * math.pi * hertz / RATE
    parts = (sum(h * wave(turn * place) for place, h in enumerate(piece)) for wave in (math.cos, math.sin))
    return math.hypot(*parts) * 2 / max(1, len(piece))


def loudness(path: Path) -> float:
    """LUFS of the whole file, by FFmpeg's own meter fed in one piece."""
    graph, said = Graph(), -70.0
    with av.open(str(path)) as film:
        stream = film.streams.audio[0]
        nodes = [graph.add_abuffer(template=stream), graph.add("ebur128", "metadata=1"), graph.add("abuffersink")]
        graph.link_nodes(*nodes).configure()
        for frame in [*film.decode(stream), None]:
            graph.push(frame)
            try:
                while True:
                    said = float(graph.pull().metadata.get("lavfi.r128.I", said))
            except (BlockingIOError, EOFError):
                pass
    return said
