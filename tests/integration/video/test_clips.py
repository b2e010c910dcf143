"""Clips are read to their end, joined without loss where that is possible, and published whole or not at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import wave
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from prefect_seedance.emulator.testcard import Card, render
from prefect_seedance.errors import ClipDamaged
from prefect_seedance.models import Footage
from prefect_seedance.video.clips import examine
from prefect_seedance.video.film import join
from tests.benchmarks import ordinary
from tests.support.pictures import shade_at

MakeClip = Callable[..., Path]


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    def make(
        name: str,
        *,
        width: int = 320,
        height: int = 192,
        fps: int = 24,
        frames: int = 48,
        first: int = 0,
        preset: str = "veryfast",
    ) -> Path:
        """A clip whose every frame is a little brighter than the one before. With B-frames, as vendors send them."""
        path = tmp_path / name
        with av.open(str(path), "w", options={"movflags": "+faststart"}) as film:
            stream = film.add_stream("libx264", rate=fps, options={"preset": preset, "crf": "12"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.time_base = Fraction(1, fps)
            for number in range(frames):
                frame = av.VideoFrame.from_image(Image.new("RGB", (width, height), (shade_of(number),) * 3))
                frame.pts = first + number
                film.mux(stream.encode(frame))
            film.mux(stream.encode(None))
        return path

    return make


def shade_of(number: int) -> int:
    return 16 + 4 * number


def shades(path: Path) -> list[int]:
    with av.open(str(path)) as clip:
        return [frame.to_image().getpixel((160, 96))[0] for frame in clip.decode(video=0)]


def packets(path: Path) -> list[str]:
    with av.open(str(path)) as clip:
        return [hashlib.sha256(bytes(packet)).hexdigest() for packet in clip.demux(video=0) if packet.size]


def pauses(path: Path) -> set[Fraction]:
    with av.open(str(path)) as clip:
        shown = [Fraction(frame.pts or 0) * Fraction(frame.time_base or 0) for frame in clip.decode(video=0)]
    return {after - before for before, after in pairwise(shown)}


def test_examine_says_what_the_decoder_saw(make_clip: MakeClip) -> None:
    footage = Footage(**examine(make_clip("clip.mp4", width=320, height=192, fps=24, frames=36)).as_fields())
    assert footage == Footage(width=320, height=192, fps=24, frames=36, seconds=1.5)


def test_examine_needs_no_more_memory_for_a_longer_clip(tmp_path: Path) -> None:
    """Ten times the frames; each decoded one would be 600 kB."""
    peaks = []
    for seconds in (4, 40):
        clip = tmp_path / f"{seconds}.mp4"
        render(Card("long", 1, "seedance-1-0-pro", 864, 480, seconds, 24), clip)
        code = (
            "import resource, sys, pathlib; from prefect_seedance.video.clips import examine; examine(pathlib.Path("
            "sys.argv[1])); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(clip)], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 20_000  # kB


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.999])
def test_a_clip_whose_end_is_missing_is_damaged(make_clip: MakeClip, kept: float) -> None:
    clip = make_clip("clip.mp4")
    content = clip.read_bytes()
    clip.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ClipDamaged, match=r"clip\.mp4"):
        examine(clip)


def test_a_clip_cut_between_two_frames_is_damaged(make_clip: MakeClip) -> None:
    """No decoder complains of it; only the number of frames gives it away."""
    clip = make_clip("clip.mp4", preset="ultrafast")
    with av.open(str(clip)) as opened:
        ends = [(packet.pos or 0) + packet.size for packet in opened.demux(video=0) if packet.size]
    clip.write_bytes(clip.read_bytes()[: ends[-3]])
    with pytest.raises(ClipDamaged):
        examine(clip)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_clip_with_overwritten_bytes_is_damaged(tmp_path: Path, place: float) -> None:
    """The decoder patches such frames up and goes on; `ClipDamaged` must be raised all the same."""
    clip = tmp_path / "clip.mp4"
    render(Card("overwritten", 1, "seedance-1-0-pro", 864, 480, 2, 24), clip)
    content = bytearray(clip.read_bytes())
    start = int(len(content) * place)
    content[start : start + 512] = b"\xff" * 512
    clip.write_bytes(content)
    with pytest.raises(ClipDamaged):
        examine(clip)


def test_what_is_not_a_video_is_damaged(tmp_path: Path) -> None:
    empty, page, sound = tmp_path / "empty.mp4", tmp_path / "page.mp4", tmp_path / "sound.wav"
    empty.touch()
    page.write_text("<html>502 Bad Gateway</html>")
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes(bytes(1600))
    only_sound = tmp_path / "sound.mp4"
    with av.open(str(only_sound), "w", format="mp4") as target:
        stream = target.add_stream("aac", rate=8000)
        silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        silence.sample_rate = 8000
        silence.planes[0].update(bytes(silence.planes[0].buffer_size))  # else whatever lay there, NaN too
        target.mux(stream.encode(silence))
        target.mux(stream.encode(None))
    complaints = {empty: "is empty", page: "is damaged", sound: "is damaged", only_sound: "no picture"}
    for path, complaint in complaints.items():
        with pytest.raises(ClipDamaged, match=complaint):
            examine(path)


def test_a_missing_file_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        examine(tmp_path / "nowhere.mp4")


@pytest.mark.parametrize("frames", [1, 47, 48])
def test_last_frame_is_exactly_the_last_one(make_clip: MakeClip, tmp_path: Path, frames: int) -> None:
    picture = tmp_path / "last.png"
    examine(make_clip("clip.mp4", frames=frames), last_frame=picture)
    with Image.open(picture) as image:
        assert (image.format, image.size) == ("PNG", (320, 192))
        assert abs(shade_at(image, (160, 96)) - shade_of(frames - 1)) <= 1  # the one before is 4 darker


def test_poster_is_a_small_jpeg_from_one_third(make_clip: MakeClip, tmp_path: Path) -> None:
    picture = tmp_path / "poster.jpg"
    examine(make_clip("clip.mp4", width=1280, height=768, frames=48), poster=picture)
    with Image.open(picture) as image:
        assert (image.format, image.size) == ("JPEG", (640, 384))
        assert abs(shade_at(image, (320, 192)) - shade_of(16)) <= 3


def test_the_last_frame_is_what_a_player_shows_and_the_poster_looks_like_it(tmp_path: Path) -> None:
    """Frames that nothing is made from are read without the last step of decoding: complete, and all but the same."""
    clip = ordinary.clip(tmp_path / "clip.mp4", seed=1, seconds=1)
    with av.open(str(clip)) as file:
        frames = [frame.to_image() for frame in file.decode(video=0)]
    poster, last = tmp_path / "poster.jpg", tmp_path / "last.png"
    assert examine(clip, poster=poster) == examine(clip, last_frame=last)
    with Image.open(poster) as image:
        assert difference(image, frames[8].resize(image.size)) < 4
    with Image.open(last) as image:
        assert difference(image, frames[-1]) == 0


def difference(one: Image.Image, other: Image.Image) -> float:
    """How much two pictures differ, on the average, in 255 steps of brightness."""
    return float(ImageStat.Stat(ImageChops.difference(one.convert("L"), other.convert("L"))).rms[0])


def test_poster_is_never_larger_than_the_clip(make_clip: MakeClip, tmp_path: Path) -> None:
    examine(make_clip("clip.mp4"), poster=tmp_path / "poster.jpg")
    with Image.open(tmp_path / "poster.jpg") as image:
        assert image.size == (320, 192)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_clip_has_a_poster(make_clip: MakeClip, tmp_path: Path, frames: int) -> None:
    examine(make_clip("clip.mp4", frames=frames), poster=tmp_path / "poster.jpg")
    with Image.open(tmp_path / "poster.jpg") as image:
        assert image.format == "JPEG"


def test_a_damaged_clip_leaves_no_picture(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip("clip.mp4")
    content = clip.read_bytes()
    clip.write_bytes(content[: int(len(content) * 0.9)])
    with pytest.raises(ClipDamaged):
        examine(clip, poster=tmp_path / "poster.jpg", last_frame=tmp_path / "last.png")
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_picture_that_can_not_be_saved_says_nothing_of_the_clip(make_clip: MakeClip, tmp_path: Path) -> None:
    nowhere = tmp_path / "gone"
    clip = make_clip("clip.mp4", frames=24)
    assert examine(clip, poster=nowhere / "poster.jpg", last_frame=nowhere / "last.png") == examine(clip)
    assert not nowhere.exists()


def test_equal_clips_are_joined_without_loss(make_clip: MakeClip, tmp_path: Path) -> None:
    clips = [make_clip("a.mp4", frames=48), make_clip("b.mp4", frames=25), make_clip("c.mp4", frames=8)]
    footage = join(clips, tmp_path / "film.mp4")
    assert footage == Footage(width=320, height=192, fps=24, frames=81, seconds=3.375)
    assert packets(tmp_path / "film.mp4") == [digest for clip in clips for digest in packets(clip)]
    assert shades(tmp_path / "film.mp4") == [shade for clip in clips for shade in shades(clip)]
    assert pauses(tmp_path / "film.mp4") == {Fraction(1, 24)}


def test_a_clip_is_opened_once_to_be_joined_and_the_film_never(
    make_clip: MakeClip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [make_clip(f"{number}.mp4", frames=2) for number in range(5)]
    opened = []
    opening: Any = av.open

    def counted(file: str, mode: str = "r", **options: Any) -> Any:
        opened.append((Path(file).name if mode == "r" else "the film", mode))
        return opening(file, mode, **options)

    monkeypatch.setattr(av, "open", counted)
    join(clips, tmp_path / "film.mp4")
    assert opened == [("the film", "w"), *((clip.name, "r") for clip in clips)]


def test_clips_of_the_emulator_are_joined_without_loss(tmp_path: Path) -> None:
    clips = [tmp_path / "1.mp4", tmp_path / "2.mp4"]
    for number, clip in enumerate(clips, 1):
        render(Card(f"shot {number}", number, "seedance-1-0-pro", 864, 480, number, 24), clip)
    assert join(clips, tmp_path / "film.mp4").seconds == 3
    assert packets(tmp_path / "film.mp4") == packets(clips[0]) + packets(clips[1])


@pytest.mark.parametrize(
    "other",
    [
        {"width": 192, "height": 320},
        {"fps": 30, "frames": 30},
        {"fps": 10, "frames": 10},
        {"preset": "ultrafast"},
    ],
    ids=["another shape", "more frames", "fewer frames", "another encoder"],
)
def test_unequal_clips_are_fitted_to_the_first(make_clip: MakeClip, tmp_path: Path, other: dict[str, int]) -> None:
    clips = [make_clip("a.mp4", frames=24), make_clip("b.mp4", **{"frames": 24} | other), make_clip("c.mp4", frames=24)]
    footage = join(clips, tmp_path / "film.mp4")
    assert footage == Footage(width=320, height=192, fps=24, frames=72, seconds=3)
    assert pauses(tmp_path / "film.mp4") == {Fraction(1, 24)}
    film = shades(tmp_path / "film.mp4")
    assert abs(film[23] - shade_of(23)) <= 2
    assert abs(film[24] - shade_of(0)) <= 2
    assert abs(film[71] - shade_of(23)) <= 2


def test_odd_lengths_do_not_add_up_to_a_drift(make_clip: MakeClip, tmp_path: Path) -> None:
    """Each clip is 1.1 s at 10 fps; ten of them and the first are 12 s to the frame."""
    clips = [make_clip("a.mp4", frames=24)] + [make_clip(f"{n}.mp4", fps=10, frames=11) for n in range(10)]
    assert join(clips, tmp_path / "film.mp4") == Footage(width=320, height=192, fps=24, frames=288, seconds=12)


def test_a_clip_that_begins_late_leaves_no_gap(make_clip: MakeClip, tmp_path: Path) -> None:
    """Some encoders do not count from nought; what is not shown is no part of a clip."""
    late = make_clip("late.mp4", first=30, frames=24)
    assert examine(late).seconds == 1
    for clips in ([late, late], [late, make_clip("b.mp4", frames=12, preset="ultrafast"), late]):
        footage = join(clips, tmp_path / "film.mp4")
        assert footage.frames == footage.seconds * 24 == sum(examine(clip).frames for clip in clips)
        assert pauses(tmp_path / "film.mp4") == {Fraction(1, 24)}


def test_another_shape_gets_bars(make_clip: MakeClip, tmp_path: Path) -> None:
    clips = [make_clip("wide.mp4", frames=2), make_clip("tall.mp4", width=96, height=192, frames=24)]
    join(clips, tmp_path / "film.mp4")
    examine(tmp_path / "film.mp4", last_frame=tmp_path / "last.png")
    with Image.open(tmp_path / "last.png") as image:
        brightness = [shade_at(image, (x, 96)) for x in (5, 105, 160, 215, 315)]
    assert [value > 50 for value in brightness] == [False, False, True, False, False]


def test_a_film_can_be_played_while_it_loads(make_clip: MakeClip, tmp_path: Path) -> None:
    clips = [make_clip("a.mp4"), make_clip("b.mp4")]
    for name, others in (("copied.mp4", clips), ("encoded.mp4", [*clips, make_clip("c.mp4", fps=30)])):
        join(others, tmp_path / name)
        content = (tmp_path / name).read_bytes()
        assert content.index(b"moov") < content.index(b"mdat")


def test_a_damaged_clip_leaves_the_former_film_and_nothing_else(make_clip: MakeClip, tmp_path: Path) -> None:
    whole, broken, film = make_clip("a.mp4"), make_clip("b.mp4"), tmp_path / "film.mp4"
    join([whole, whole], film)
    former = film.read_bytes()
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) * 2 // 3])
    for clips in ([whole, broken], [whole, broken, make_clip("c.mp4", fps=30)]):
        with pytest.raises(ClipDamaged):
            join(clips, film)
    assert film.read_bytes() == former
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "c.mp4", "film.mp4"]
