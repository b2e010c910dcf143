"""Music is heard before anything is paid, and counts in no key."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.storyboard.reading import read_board
from prefect_seedance.storyboard.schema import Storyboard
from tests.support.board_texts import ONE_SHOT, read, told
from tests.support.hearing import tone


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_music_and_sound_change_no_key(tmp_path: Path) -> None:
    tone(tmp_path / "sea.wav", 3)
    plain = await read(f"title: Film\n{ONE_SHOT}")
    board = await read(f"title: Film\nsound: off\nvariables: {{what: sea}}\nmusic: '{{what}}.wav'\n{ONE_SHOT}")
    assert told(board) == []
    assert (board.sound, plain.sound, plain.music) == ("off", "clips", None)
    assert board.music is not None
    assert (board.music.heard.seconds, board.music.heard.audio.codec) == (3.0, "pcm_s16le")
    assert board.shots[0].key == plain.shots[0].key
    assert list(map(str, board.warnings)) == [
        "board.yaml:4: with `sound: off` the film is silent, without this music; write `sound: clips`"
    ]


@pytest.mark.parametrize(
    ("written", "sound"), [("off", "off"), ("false", "off"), ("Off", "off"), ("clips", "clips"), ("on", "clips")]
)
async def test_sound_is_off_however_yaml_reads_it(written: str, sound: str) -> None:
    assert (await read(f"title: Film\nsound: {written}\n{ONE_SHOT}")).sound == sound


async def test_sound_is_off_where_a_program_says_false() -> None:
    storyboard = Storyboard.model_validate({"title": "Film", "sound": False, "shots": [{"id": "a", "prompt": "A."}]})
    assert (await read_board(storyboard, catalog=KNOWN, store=None)).sound == "off"


async def test_another_word_for_sound_is_a_problem() -> None:
    assert told(await read(f"title: Film\nsound: loud\n{ONE_SHOT}")) == [
        "board.yaml:2: `sound` is `loud`; write off or clips"
    ]
    assert told(await read(f"title: Film\nsound:\n{ONE_SHOT}")) == [
        "board.yaml:2: `sound` is empty; write off or clips"
    ]


def long(path: Path) -> None:
    """A WAV of eight bits and a low rate: hours of it take little room."""
    rate, seconds = 4_000, 2 * 3600 + 5
    size = rate * seconds
    head = b"RIFF" + (36 + size).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    form = (1).to_bytes(2, "little") * 2 + rate.to_bytes(4, "little") * 2 + (1).to_bytes(2, "little")
    path.write_bytes(head + form + (8).to_bytes(2, "little") + b"data" + size.to_bytes(4, "little") + bytes(size))


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("gone.mp3", None, "there is no such file; check the path"),
        ("notes.txt", b"la la", "its ending names no kind of sound that is read; save it as MP3, M4A, WAV, FLAC"),
        ("page.mp3", b"<html>502</html>" * 9, "it can't be played"),
        ("list.wav", b"ffconcat version 1.0\nfile /etc/passwd\n", "it can't be played"),
        ("../sea.wav", None, "it leads out of the folder of the storyboard"),
        ("empty.flac", b"", "it has no sound in it"),
    ],
)
async def test_music_that_can_not_be_used_is_a_problem_with_its_line(
    tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (problem,) = told(await read(f"title: Film\nmusic: {name}\n{ONE_SHOT}"))
    assert problem.startswith(f"board.yaml:2: music {name}: {why}")


async def test_music_of_hours_and_music_of_silence_is_a_problem(tmp_path: Path) -> None:
    long(tmp_path / "long.wav")
    tone(tmp_path / "silence.wav", 2, height=0)
    problems = [told(await read(f"title: Film\nmusic: {name}.wav\n{ONE_SHOT}")) for name in ("long", "silence")]
    assert problems == [
        [
            "board.yaml:2: music long.wav: it sounds for more than 120 minutes; name a sound of at most 2 hours, as "
            "MP3, M4A, WAV, FLAC, Ogg or AIFF"
        ],
        ["board.yaml:2: music silence.wav: nothing can be heard in it; name another file"],
    ]
