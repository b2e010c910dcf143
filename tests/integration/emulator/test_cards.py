"""The emulator's clips can be heard where sound was asked for, and say in any script what was asked."""

from __future__ import annotations

import math
from array import array
from pathlib import Path
from typing import Any

import av
import pytest

from prefect_seedance.emulator import lettering
from prefect_seedance.emulator.sound import KEY_SECONDS, KEYS, PAUSE_SECONDS, RATE
from prefect_seedance.emulator.testcard import Card, render
from prefect_seedance.video.clips import examine
from prefect_seedance.video.film import join
from tests.support.calling import Caller


def card(prompt: str = "A lighthouse.", number: int = 1, seconds: int = 2, sound: bool = True) -> Card:
    return Card(prompt, number, "seedance-1-0-pro", 160, 160, seconds, 24, sound=sound)


def heard(clip: Path) -> array[float]:
    """The left channel of *clip*."""
    sound = array("f")
    with av.open(str(clip)) as film:
        for frame in film.decode(film.streams.audio[0]):
            sound.frombytes(bytes(frame.planes[0])[: frame.samples * 4])
    return sound


def strength(sound: array[float], hertz: int) -> float:
    turn = 2 * math.pi * hertz / RATE
    return math.hypot(
        sum(height * math.cos(turn * place) for place, height in enumerate(sound)),
        sum(height * math.sin(turn * place) for place, height in enumerate(sound)),
    )


def dialled(sound: array[float], digits: int) -> str:
    """The keys that are heard, one after another."""
    number = ""
    for place in range(digits):
        begins = round((place * (PAUSE_SECONDS + KEY_SECONDS) + PAUSE_SECONDS + 0.05) * RATE)
        piece = sound[begins : begins + RATE // 10]
        tones = {hertz: strength(piece, hertz) for hertz in sorted({one for key in KEYS.values() for one in key})}
        loudest = tuple(sorted(sorted(tones, key=lambda hertz: tones[hertz])[-2:]))
        number += next(key for key, pair in KEYS.items() if pair == loudest)
    return number


def test_a_clip_with_sound_says_its_number_and_is_as_long_as_its_picture(tmp_path: Path) -> None:
    render(card(number=207), tmp_path / "clip.mp4")
    sound = heard(tmp_path / "clip.mp4")
    assert dialled(sound, 3) == "207"
    assert len(sound) == pytest.approx(2 * RATE, abs=1024)
    with av.open(str(tmp_path / "clip.mp4")) as film:
        track = film.streams.audio[0].codec_context
        assert (track.name, track.sample_rate, track.layout.name) == ("aac", RATE, "stereo")
    assert (examine(tmp_path / "clip.mp4").frames, examine(tmp_path / "clip.mp4").seconds) == (48, 2.0)


def test_equal_cards_give_equal_bytes_and_others_sound_different(tmp_path: Path) -> None:
    for name, one in {"a": card(), "b": card(), "c": card(number=2), "d": card(prompt="Fog.")}.items():
        render(one, tmp_path / f"{name}.mp4")
    contents = [(tmp_path / f"{name}.mp4").read_bytes() for name in "abcd"]
    assert contents[0] == contents[1]
    assert len({bytes(heard(tmp_path / f"{name}.mp4")) for name in "bcd"}) == 3


def test_a_number_that_is_longer_than_the_clip_is_cut_off(tmp_path: Path) -> None:
    render(card(number=123_456_789, seconds=1), tmp_path / "clip.mp4")
    assert dialled(heard(tmp_path / "clip.mp4"), 3) == "123"


def test_a_clip_without_sound_has_no_track(tmp_path: Path) -> None:
    render(card(sound=False), tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as film:
        assert [stream.type for stream in film.streams] == ["video"]


def test_clips_with_sound_join_like_those_without(tmp_path: Path) -> None:
    for number in (1, 2):
        render(card(number=number), tmp_path / f"{number}.mp4")
    assert join([tmp_path / "1.mp4", tmp_path / "2.mp4"], tmp_path / "film.mp4").frames == 96


@pytest.mark.parametrize(
    ("asked", "tracks"),
    [
        ({"slug": "p-video", "save_audio": True}, ["video", "audio"]),
        ({"slug": "p-video", "save_audio": False}, ["video"]),
        ({"slug": "seedance-1-0-pro"}, ["video"]),
    ],
)
def test_an_endpoint_that_is_asked_for_sound_makes_it(
    caller: Caller, tmp_path: Path, asked: dict[str, Any], tracks: list[str]
) -> None:
    with av.open(str(caller.clip(tmp_path / "clip.mp4", **asked))) as film:
        assert [stream.type for stream in film.streams] == tracks


@pytest.mark.parametrize(
    ("prompt", "told"),
    [("A café — “here”.", 'A cafe - "here".'), ("Straße", "Strasse"), ("Über", "Uber")],
)
def test_latin_letters_are_drawn_alike_on_every_machine(prompt: str, told: str) -> None:
    assert lettering.drawable(prompt) == (told, None)


@pytest.mark.parametrize(
    "prompt", ["灯塔，黎明。", "المنارة عند الفجر", "Маяк на рассвете", "灯台の夜明け", "प्रकाशस्तंभ", "등대 🎬"]
)
def test_no_card_is_full_of_question_marks(prompt: str, tmp_path: Path) -> None:
    words, font = lettering.drawable(prompt)
    assert "?" not in words
    assert any(mark.isalpha() for mark in words)
    assert words.isascii() or font is not None
    for name in ("a", "b"):
        render(card(prompt, sound=False, seconds=1), tmp_path / f"{name}.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_without_a_font_of_its_script_a_prompt_is_told_in_latin_letters() -> None:
    assert lettering.drawable("灯塔 at dawn", fonts=()) == ("Deng Ta  at dawn", None)
    assert lettering.drawable("🎬", fonts=()) == ("?", None)
