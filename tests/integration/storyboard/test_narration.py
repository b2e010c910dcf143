"""What is said over a shot: a sound file beside the board, or a text that a row of the catalog speaks."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefect_seedance.catalog.endpoints import KNOWN, with_rows
from prefect_seedance.emulator.speech import speak
from prefect_seedance.rendering.remarks import longer_sounds
from prefect_seedance.storyboard.board import Board
from tests.support.board_texts import read, told


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def spoken(board: Board) -> list[tuple[str, str, Any] | None]:
    asked = [shot.spoken.request if shot.spoken else None for shot in board.shots]
    return [None if one is None else (one.model, one.prompt, one.inputs) for one in asked]


async def test_a_text_is_asked_of_the_cheapest_row_that_speaks_with_a_key_and_a_price_of_its_own() -> None:
    board = await read(
        "title: F\nvariables: {who: a keeper}\nshots:\n"
        '  - {id: a, prompt: x, narration: " There was {who}. "}\n'
        "  - {id: b, prompt: x, narration: [One line., Another.]}\n"
        "  - {id: c, prompt: x}\n"
    )
    assert told(board) == []
    assert spoken(board) == [
        ("minimax-speech-02-hd", "There was a keeper.", {}),
        ("minimax-speech-02-hd", "One line.\nAnother.", {}),
        None,
    ]
    assert [(one.id, one.key, one.estimated_usd) for one in board.narrations] == [
        ("a.narration", "sd1-62e15e5e8bdb199ee7918063490b480a", Decimal("0.01")),
        ("b.narration", "sd1-abe5c0cef62c7053ba05f7e2a29e23f9", Decimal("0.01")),
    ]


async def test_a_narration_is_no_part_of_the_key_of_its_shot() -> None:
    plain = await read("title: F\nshots:\n  - {id: a, prompt: x}\n")
    said = await read("title: F\nnarrator: {take: 2}\nshots:\n  - {id: a, prompt: x, take: 1, narration: Hello.}\n")
    assert plain.shots[0].key == said.shots[0].key is not None


async def test_the_narrator_names_the_model_its_inputs_and_the_take_of_all_that_is_spoken() -> None:
    board = await read(
        "title: F\nnarrator: {model: chatterbox-turbo, take: 2, inputs: {voice: Abigail, format: wav}}\n"
        "shots:\n  - {id: a, prompt: x, narration: Hello.}\n"
    )
    assert told(board) == []
    (asked,) = [shot.spoken.request for shot in board.shots if shot.spoken]
    assert asked is not None
    assert (asked.model, asked.take, asked.inputs) == ("chatterbox-turbo", 2, {"format": "wav", "voice": "abigail"})


async def test_every_mistake_of_a_narration_has_its_line_and_remedy() -> None:
    Path("broken.wav").write_bytes(b"no sound")
    board = await read(
        "title: F\nnarrator: {model: chatterbox-turbo, inputs: {voice: nobody, pitch: 2}}\nshots:\n"
        f"  - {{id: a, prompt: x, narration: {'long ' * 2001}}}\n"
        "  - {id: b, prompt: x, narration: none.mp3}\n"
        "  - {id: c, prompt: x, narration: broken.wav}\n"
        "  - {id: d, prompt: x, narration: 'To {whom}.'}\n"
        "  - {id: e, prompt: x, narration: ' '}\n"
        "  - {id: f, prompt: x, narration: ../beside.mp3}\n"
        '  - {id: g, prompt: x, narration: "a\\x07b"}\n'
    )
    voices = "aaron or abigail or anaya"
    found = told(board)
    assert found[0].startswith(f"board.yaml:2: input `voice` is `nobody`; chatterbox-turbo takes {voices}")
    assert found[1].startswith("board.yaml:2: `pitch` is not an input of chatterbox-turbo; it takes `voice`")
    assert found[2:4] == [
        "board.yaml:4: shot a: the narration has 10,004 characters; chatterbox-turbo speaks at most 10,000, "
        "so shorten it or divide the shot",
        "board.yaml:5: shot b: narration none.mp3: there is no such file; check the path",
    ]
    assert found[4].startswith("board.yaml:6: shot c: narration broken.wav: it ")
    assert found[5:] == [
        "board.yaml:7: shot d: `{whom}` has no value; add it to `variables:`, or write it without braces",
        "board.yaml:8: shot e: the narration is empty; write what is said, or leave it out",
        "board.yaml:9: shot f: narration ../beside.mp3: it leads out of the folder of the storyboard; "
        "put the file beside the storyboard or below",
        "board.yaml:10: shot g: the narration holds a control character; write plain text",
    ]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "seedance-1-0-pro",
            "model `seedance-1-0-pro` speaks no texts; those of the catalog that do: "
            "minimax-speech-02-hd, chatterbox-turbo",
        ),
        ("chaterbox-turbo", "model `chaterbox-turbo` speaks no texts; did you mean `chatterbox-turbo`?"),
    ],
)
async def test_a_narrator_that_speaks_no_texts_is_a_problem_that_names_those_that_do(model: str, message: str) -> None:
    board = await read(f"title: F\nnarrator: {{model: {model}}}\nshots:\n  - {{id: a, prompt: x, narration: Hi.}}\n")
    assert told(board) == [f"board.yaml:2: {message}"]


async def test_another_row_or_price_changes_nobody_who_speaks_where_none_is_named() -> None:
    cheaper = with_rows([{"like": "chatterbox-turbo", "slug": "my-voice", "tiers": [{"name": "s", "flat": "0.001"}]}])
    gone = with_rows([{"like": "minimax-speech-02-hd", "slug": "minimax-speech-02-hd", "withdrawn": "it is gone"}])
    text = "title: F\nshots:\n  - {id: a, prompt: x, narration: Hello.}\n"
    boards = [await read(text, catalog=catalog) for catalog in (KNOWN, cheaper, gone)]
    assert [told(board) for board in boards] == [[], [], []]
    assert len({board.narrations[0].key for board in boards}) == 1


async def test_what_is_no_text_is_not_read_aloud() -> None:
    board = await read(
        "title: F\nshots:\n"
        "  - {id: a, prompt: x, narration: none.aiff}\n"
        "  - {id: b, prompt: x, narration: 'https://sounds.example/voice?id=3'}\n"
        "  - {id: c, prompt: x, narration: {text: Hello., voice: abigail}}\n"
        "  - {id: d, prompt: x, narration: 'See https://sounds.example/voice for more.'}\n"
        "  - {id: e, prompt: x, narration: [{text: Hello.}]}\n"
    )
    assert told(board) == [
        "board.yaml:3: shot a: narration none.aiff: there is no such file; check the path",
        "board.yaml:4: shot b: this link ends like no sound file, so it would be read aloud; name one that ends with "
        ".mp3 or .wav",
        "board.yaml:5: shot c: `narration` must be text, not several values",
        "board.yaml:7: shot e: `narration` must be text, not several values",
    ]
    assert [one.id for one in board.narrations] == ["d.narration"]


async def test_a_sound_file_is_heard_when_the_board_is_read_and_costs_nothing(tmp_path: Path) -> None:
    speak("Nobody had seen the light.", 1.5, tmp_path / "keeper.flac")
    board = await read("id,prompt,narration\na,x,keeper.flac\nb,y,Hello.\n", "board.csv")
    assert told(board) == []
    (first, second) = board.shots
    assert first.voice is not None
    assert (first.voice.heard.seconds, first.spoken, second.voice) == (1.5, None, None)
    assert [one.prompt for one in board.narrations] == ["Hello."]


async def test_one_sound_over_many_shots_makes_no_film_of_hours(tmp_path: Path) -> None:
    speak("Nobody had seen the light.", 20, tmp_path / "keeper.flac")
    rows = [f"{number},x,keeper.flac\n" for number in range(400)]
    board = await read("".join(["id,prompt,narration\n", *rows]), "board.csv")
    assert told(board) == [
        "board.csv:1: the sound files of the narrations last 133 minutes and the shots 33.3; the last frame would be "
        "held for more than an hour, so name each file once, or shorten them"
    ]
    assert told(await read("".join(["id,prompt,narration\n", *rows[:200]]), "board.csv")) == []


async def test_nothing_is_spoken_in_a_silent_film_and_the_plan_says_so() -> None:
    board = await read("title: F\nsound: off\nshots:\n  - {id: a, prompt: x, narration: Hello.}\n")
    assert (told(board), board.narrations) == ([], ())
    (warning,) = board.warnings
    assert "nothing is spoken, and nothing is paid" in warning.message


@pytest.mark.parametrize(("sound", "told_of"), [("clips", 1), ("off", 0)])
async def test_a_narration_runs_on_only_in_a_film_that_is_heard(tmp_path: Path, sound: str, told_of: int) -> None:
    speak("He counts the steps.", 6, tmp_path / "keeper.wav")
    shots = "shots:\n  - {id: a, prompt: x, narration: keeper.wav}\n  - {id: b, prompt: x}\n"
    board = await read(f"title: F\nsound: {sound}\n{shots}")
    assert told(board) == []
    assert len(list(longer_sounds(board))) == told_of
