"""Clips as the model sends them: five seconds of moving picture, each of them another."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.filter import Graph
from av.video.frame import PictureType

COLOURS = "nb_colors=2:c0=0x204060:c1=0xe0a040:x0=100:y0=80:x1=760:y1=400"


def clip(path: Path, seed: int, width: int = 864, height: int = 480, seconds: int = 5) -> Path:
    """A clip of 24 frames a second whose noise depends on *seed*: about 2 Mbit/s at 480p, 6 at 1080p."""
    sources = [("testsrc2", f"size={width}x{height}:rate=24"), ("noise", f"all_seed={seed}:alls=6:allf=t")]
    return _encoded(path, _frames(sources, 24 * seconds), width, height, crf=22)


def calm(path: Path) -> Path:
    """A clip of 5 s at 480p whose colours move slowly: about 170 kB."""
    sources = [("gradients", f"size=864x480:rate=24:speed=0.05:{COLOURS}")]
    return _encoded(path, _frames(sources, 120), 864, 480, crf=21)


def of_kind(kind: str, path: Path) -> Path:
    """A clip of 5 s at 480p: `calm`, about 170 kB, or `noisy`, 1.1 MB, which takes twice as long to decode."""
    return calm(path) if kind == "calm" else clip(path, seed=1)


def _encoded(path: Path, frames: Iterator[av.VideoFrame], width: int, height: int, crf: int) -> Path:
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as film:
        stream = film.add_stream("libx264", rate=24, options={"preset": "veryfast", "crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 24)
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, 24)
            frame.pict_type = PictureType.NONE  # the sources call every frame a key frame, as no model's clip has them
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
    return path


def _frames(sources: list[tuple[str, str]], count: int) -> Iterator[av.VideoFrame]:
    graph = Graph()
    nodes = [*sources, ("format", "yuv420p"), ("buffersink", "")]
    graph.link_nodes(*(graph.add(name, told or None) for name, told in nodes)).configure()
    for _ in range(count):
        yield graph.vpull()
