"""A sound that was cut, or is not what its header tells, is never taken for whole; a whole one always is."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_seedance.emulator.speech import speak
from prefect_seedance.errors import ClipDamaged
from prefect_seedance.video import hearing

TEXT = "The keeper rows to the light at dawn, and nobody sees him, for he is alone."


@pytest.fixture(params=["wav", "flac", "ogg", "mp3"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / f"whole.{request.param}"
    speak(TEXT, 5, file)
    return file


def test_a_whole_sound_is_heard_to_its_end(whole: Path) -> None:
    assert hearing.listen(whole, 60).seconds == pytest.approx(5, abs=0.1)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_a_sound_that_was_cut_is_damaged(part: float, whole: Path) -> None:
    content = whole.read_bytes()
    whole.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ClipDamaged):
        hearing.listen(whole, 60)


@pytest.mark.parametrize("whole", ["flac", "ogg", "mp3"], indirect=True)
def test_a_sound_with_a_hole_in_it_is_damaged(whole: Path) -> None:
    content = whole.read_bytes()
    third = len(content) // 3
    whole.write_bytes(content[:third] + b"\xff" * third + content[2 * third :])
    with pytest.raises(ClipDamaged):
        hearing.listen(whole, 60)


def test_a_sound_that_could_not_tell_its_length_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "streamed.wav"
    speak(TEXT, 5, file)
    content = bytearray(file.read_bytes())
    content[4:8] = b"\xff\xff\xff\xff"
    file.write_bytes(content)
    assert hearing.listen(file, 60).seconds == 5


def test_an_mp3_with_tags_and_without_a_count_of_its_frames_is_taken_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "plain.mp3"
    speak(TEXT, 5, file)
    content = file.read_bytes()
    first = content.index(b"\xff\xfb")
    second = content.index(b"\xff\xfb", first + 4)
    file.write_bytes(b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + content[second:])
    assert hearing.listen(file, 60).seconds == pytest.approx(5, abs=0.2)
