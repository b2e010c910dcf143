"""Clips as the model sends them: five seconds of moving, noisy picture, each of them another."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph


def clip(path: Path, seed: int, width: int = 864, height: int = 480, seconds: int = 5) -> Path:
    """A clip of 24 frames a second whose noise depends on *seed*: about 2 Mbit/s at 480p, 6 at 1080p."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as film:
        stream = film.add_stream("libx264", rate=24, options={"preset": "veryfast", "crf": "26"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 24)
        for number, frame in enumerate(_frames(seed, width, height, 24 * seconds)):
            frame.pts, frame.time_base = number, Fraction(1, 24)
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


def _frames(seed: int, width: int, height: int, count: int) -> Iterator[av.VideoFrame]:
    graph = Graph()
    graph.link_nodes(
        graph.add("testsrc2", f"size={width}x{height}:rate=24"),
        graph.add("noise", f"all_seed={seed}:alls=6:allf=t"),
        graph.add("format", "yuv420p"),
        graph.add("buffersink"),
    ).configure()
    for _ in range(count):
        yield graph.vpull()
