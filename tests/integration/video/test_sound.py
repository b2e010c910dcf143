"""The sound of clips and of people's files: heard in the pass that decodes them, and mixed to an even loudness."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest

from prefect_seedance.emulator.testcard import Card, render
from prefect_seedance.errors import ClipDamaged
from prefect_seedance.models import Audio, Footage
from prefect_seedance.video import clips, decoder
from prefect_seedance.video.sound import LOUDNESS, MOST_GAIN, Layer, Sound, mix
from tests.support.hearing import heard, loudness, strength, tone


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    render(Card("A horn.", 12, "seedance-1-0-pro", 160, 160, 2, 24, sound=True), tmp_path / "clip.mp4")
    return tmp_path / "clip.mp4"


def test_a_clip_says_what_it_sounds_like(clip: Path) -> None:
    audio = clips.examine(clip).audio
    assert audio is not None
    assert (audio.codec, audio.rate, audio.channels) == ("aac", 48_000, 2)
    assert audio.loudness == pytest.approx(loudness(clip), abs=0.2)
    assert asyncio.run(decoder.examine(clip)).audio == Audio(**audio._asdict())


def test_a_clip_without_sound_leaves_the_record_that_it_left_before() -> None:
    seen = Footage(width=64, height=64, fps=24, frames=3, seconds=0.125)
    assert seen.model_dump_json() == '{"width":64,"height":64,"fps":24.0,"frames":3,"seconds":0.125}'
    assert Footage.model_validate_json(seen.model_dump_json()).audio is None
    with_sound = seen.model_copy(update={"audio": Audio(codec="aac", rate=48_000, channels=2, loudness=None)})
    assert Footage.model_validate_json(with_sound.model_dump_json()) == with_sound


def test_a_silent_track_is_a_sound_without_loudness(tmp_path: Path) -> None:
    assert asyncio.run(decoder.listen(tone(tmp_path / "a.wav", 1, height=0), 10)).audio.loudness is None


def packets(clip: Path) -> list[tuple[int, int]]:
    """Where the packets of sound lie in the file, and their sizes."""
    with av.open(str(clip)) as opened:
        return [(packet.pos or 0, packet.size) for packet in opened.demux(audio=0) if packet.size]


def test_sound_that_can_not_be_decoded_makes_a_clip_damaged(clip: Path) -> None:
    content = bytearray(clip.read_bytes())
    for begins, size in packets(clip)[20:40]:
        content[begins : begins + size] = b"\xff" * size
    clip.write_bytes(content)
    with pytest.raises(ClipDamaged):
        clips.examine(clip)


def test_sound_that_breaks_off_makes_a_clip_damaged(tmp_path: Path, clip: Path) -> None:
    """The picture is whole: the film was copied with its sound behind it, and the last second is missing."""
    late = tmp_path / "late.mp4"
    with av.open(str(clip)) as source, av.open(str(late), "w", options={"movflags": "+faststart"}) as target:
        streams = {stream.type: target.add_stream_from_template(stream) for stream in source.streams}
        kept = [packet for packet in source.demux() if packet.dts is not None]
        for packet in sorted(kept, key=lambda packet: packet.stream.type == "audio"):  # sound behind the picture
            packet.stream = streams[packet.stream.type]
            target.mux_one(packet)
    content = late.read_bytes()
    late.write_bytes(content[: packets(late)[-40][0]])
    with pytest.raises(ClipDamaged):
        clips.examine(late)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.m4a", "a.ogg"])
def test_the_usual_sound_files_are_heard(tmp_path: Path, name: str) -> None:
    said = asyncio.run(decoder.listen(tone(tmp_path / name, 3), 10))
    assert said.seconds == pytest.approx(3, abs=0.1)
    assert said.audio.loudness == pytest.approx(loudness(tmp_path / name), abs=0.2)


def test_no_list_is_taken_for_sound(tmp_path: Path) -> None:
    tone(tmp_path / "secret.wav", 1)
    lists = {
        "list": f"ffconcat version 1.0\nfile {tmp_path}/secret.wav\n",
        "playlist": f"#EXTM3U\n#EXTINF:1,\n{tmp_path}/secret.wav\n#EXT-X-ENDLIST\n",
        "page": "<html>503</html>" * 50,
    }
    for name, text in lists.items():
        for ending in ("wav", "mp3", "m4a", "flac", "ogg", "aac", "aiff"):
            (tmp_path / f"given.{ending}").write_text(text)
            with pytest.raises(ClipDamaged):
                pytest.fail(f"{name}: {asyncio.run(decoder.listen(tmp_path / f'given.{ending}', 10))}")


def test_sound_longer_than_is_allowed_is_not_decoded_to_its_end(tmp_path: Path) -> None:
    with pytest.raises(ClipDamaged, match="sounds for more than 0 minutes"):
        asyncio.run(decoder.listen(tone(tmp_path / "a.wav", 5), 2))


def sound_of(path: Path, begins: float, lasts: float) -> Sound:
    return Sound(path, Fraction(begins), Fraction(lasts), loudness(path))


def mixed(tmp_path: Path, layers: Sequence[Layer], music: Sound | None, seconds: int) -> Path:
    mix(layers, music, Fraction(seconds), tmp_path / "mixed.m4a")
    return tmp_path / "mixed.m4a"


def test_loud_and_quiet_sounds_become_even_and_keep_their_times(tmp_path: Path) -> None:
    loud, quiet = tone(tmp_path / "a.wav", 3, 440, 20_000), tone(tmp_path / "b.wav", 3, 990, 1_500)
    film = mixed(tmp_path, [Layer([sound_of(loud, 1, 3), sound_of(quiet, 5, 2)])], None, 8)
    sound = heard(film)
    assert loudness(film) == pytest.approx(LOUDNESS, abs=0.7)
    assert len(sound) == pytest.approx(8 * 48_000, abs=2_048)
    levels = {at: (strength(sound, at, 440), strength(sound, at, 990)) for at in (0.4, 2.0, 4.5, 6.0, 7.5)}
    assert levels[2.0][0] == pytest.approx(levels[6.0][1], rel=0.2)
    quietest = max(*levels[0.4], *levels[4.5], *levels[7.5], levels[2.0][1], levels[6.0][0])
    assert quietest < levels[2.0][0] / 100


def test_a_film_that_is_nearly_silent_is_not_made_loud(tmp_path: Path) -> None:
    hum = tone(tmp_path / "hum.wav", 3, 440, 30)
    film = mixed(tmp_path, [Layer([sound_of(hum, 0, 3)])], None, 3)
    assert loudness(film) == pytest.approx(loudness(hum) + MOST_GAIN * 2, abs=1.5)


def test_music_is_played_again_ducked_under_voices_and_fades_out(tmp_path: Path) -> None:
    voice, music = tone(tmp_path / "voice.wav", 3, 440), tone(tmp_path / "music.wav", 2, 1760)
    sound = heard(mixed(tmp_path, [Layer([sound_of(voice, 4, 3)], voices=True)], sound_of(music, 0, 99), 12))
    levels = {at: strength(sound, at, 1760) for at in (1.0, 3.2, 6.0, 9.0, 11.9)}
    assert levels[3.2] == pytest.approx(levels[1.0], rel=0.1)
    assert levels[6.0] < levels[1.0] * 0.6
    assert levels[9.0] == pytest.approx(levels[1.0], rel=0.1)
    assert levels[11.9] < levels[1.0] * 0.15
