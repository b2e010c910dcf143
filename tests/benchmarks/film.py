"""Twenty ordinary clips: joined, against a bare stream copy of them; and verified, against decoding them once."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av

from prefect_seedance.video.clips import examine
from prefect_seedance.video.film import join
from tests.benchmarks import ordinary

PAIRS = 3


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


def bare_decode(clip: Path) -> None:
    with av.open(str(clip)) as opened:
        opened.streams.video[0].thread_type = "NONE"
        for _ in opened.decode(video=0):
            pass


def seconds(work: Callable[[], object]) -> float:
    """Processor time of *work*."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def joining(clips: Sequence[Path], folder: Path) -> float:
    bare = seconds(lambda: bare_copy(clips, folder / "bare.mp4"))
    return seconds(lambda: join(clips, folder / "film.mp4")) / bare


def verifying(clip: Path, folder: Path) -> float:
    bare = seconds(lambda: bare_decode(clip))
    return seconds(lambda: examine(clip, poster=folder / "poster.jpg")) / bare


def run() -> Iterator[str]:
    for width, height in ((864, 480), (1920, 1088)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            clips = [ordinary.clip(folder / f"{n}.mp4", n, width, height) for n in range(20)]
            size = sum(clip.stat().st_size for clip in clips) / 20_000
            joined = statistics.median(joining(clips, folder) for _ in range(PAIRS))
            verified = statistics.median(verifying(clip, folder) for clip in clips[:PAIRS])
            yield f"20 clips of {width}x{height}, 5 s, {size:.0f} kB each"
            yield f"film: {joined:.2f} times a bare copy"
            yield f"a new clip, verified and its poster made: {verified:.2f} times one decode"
