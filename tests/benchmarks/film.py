"""Twenty clips of 1080p into one film: ours against a bare stream copy of them."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import av

from prefect_seedance.emulator.testcard import Card, render
from prefect_seedance.video.clips import join


def bare_copy(clips: Sequence[Path], film: Path) -> None:
    """What `ffmpeg -f concat -c copy` does, by the same libraries."""
    with av.open(str(film), "w") as output:
        stream, offset = None, 0
        for clip in clips:
            with av.open(str(clip)) as source:
                video = source.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                for packet in source.demux(video):
                    if packet.pts is not None and packet.dts is not None:
                        packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                        output.mux(packet)
                offset += video.duration or 0


def run() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [folder / f"{n}.mp4" for n in range(20)]
        for n, clip in enumerate(clips):
            render(Card(f"Scene {n}", n, "seedance-1-0-pro", 1920, 1088, 5, 24), clip)
        begun = time.perf_counter()
        bare_copy(clips, folder / "bare.mp4")
        bare = time.perf_counter() - begun
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.perf_counter()
        footage = join(clips, folder / "film.mp4")
        ours = time.perf_counter() - begun
        extra = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        yield f"bare copy {bare:.2f} s, ours {ours:.2f} s: {ours / bare:.1f} times"
        yield f"{footage.frames} frames, {footage.seconds} s; {extra:.0f} MB more at the peak"
