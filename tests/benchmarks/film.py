"""Twenty ordinary clips: joined, against a bare stream copy of them; and verified, against decoding them once.

The same with sound, mixed to one loudness, against a bare copy beside all of the sound decoded and encoded once.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av

from prefect_seedance.video.clips import examine
from prefect_seedance.video.film import join
from prefect_seedance.video.hearing import RATE
from prefect_seedance.video.sound import LOUDNESS, Layer, Sound, mix
from prefect_seedance.video.tracks import Beside
from tests.benchmarks import ordinary
from tests.support.hearing import tone

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


def bare_sound(clips: Sequence[Path], film: Path) -> None:
    """What `ffmpeg -f concat -c:v copy -c:a aac` does, by the same libraries."""
    with av.open(str(film), "w") as output:
        sound = output.add_stream("aac", rate=RATE, layout="stereo")
        assert isinstance(sound, av.AudioStream)
        at = 0
        for clip in clips:
            with av.open(str(clip)) as source:
                for frame in source.decode(audio=0):
                    frame.pts, at = at, at + frame.samples
                    output.mux(sound.encode(frame))
        output.mux(sound.encode(None))


def heard_clip(clip: Path, number: int) -> Path:
    """*clip* with a tone beside it, each clip of another loudness."""
    voice = tone(clip.with_suffix(".m4a"), 5, 220 + 20 * number, 500 * (1 + number))
    heard = clip.with_name(f"heard-{clip.name}")
    with av.open(str(clip)) as picture, av.open(str(voice)) as sound, av.open(str(heard), "w") as output:
        sources = picture.streams.video[0], sound.streams.audio[0]
        streams = [output.add_stream_from_template(source) for source in sources]
        for file, source, stream in zip((picture, sound), sources, streams, strict=True):
            for packet in file.demux(source):
                if packet.dts is not None:
                    packet.stream = stream
                    output.mux(packet)
    return heard


def played(clips: Sequence[Path], film: Path) -> None:
    """What a production does once it knows how loud its clips are."""
    mixed, length = film.with_suffix(".m4a"), Fraction(5)
    sounds = [Sound(clip, number * length, length, LOUDNESS - 4) for number, clip in enumerate(clips)]
    mix([Layer(sounds)], None, len(clips) * length, mixed)
    join(clips, film, Beside(mixed))


def seconds(work: Callable[[], object]) -> float:
    """Processor time of *work*."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def joining(clips: Sequence[Path], folder: Path) -> float:
    bare = seconds(lambda: bare_copy(clips, folder / "bare.mp4"))
    return seconds(lambda: join(clips, folder / "film.mp4")) / bare


def playing(clips: Sequence[Path], folder: Path) -> float:
    bare = seconds(lambda: bare_copy(clips, folder / "bare.mp4")) + seconds(
        lambda: bare_sound(clips, folder / "bare.m4a")
    )
    return seconds(lambda: played(clips, folder / "film.mp4")) / bare


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
            heard = [heard_clip(clip, number) for number, clip in enumerate(clips)]
            sounding = statistics.median(playing(heard, folder) for _ in range(PAIRS))
            yield f"film with sound: {sounding:.2f} times a bare copy beside its sound encoded anew"
            louder = statistics.median(verifying(clip, folder) for clip in heard[:PAIRS])
            yield f"a new clip with sound, heard in the same pass: {louder:.2f} times one decode of its picture"
