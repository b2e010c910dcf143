"""What people write for one another is kept and told, is never sent, and refuses no board."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.models import Words
from prefect_seedance.storyboard.hints import near
from prefect_seedance.storyboard.reading import ShotSpec, Storyboard, read_board
from tests.support.board_texts import ONE_SHOT, read, told

PLAIN_KEY = "sd1-b8a05424bf35e2242d7f835fdd7f0646"


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_words_for_people_change_no_key() -> None:
    board = await read(
        "title: Film\nstyle: Hand-painted.\ndefaults: {size: 854x480}\nnotes: For the festival.\n"
        "dialogue: ''\ncamera: 35mm\ntransition: cuts only\nmetadata: {client: ACME}\nshots:\n"
        "  - id: a\n    prompt: A keeper rows -- slowly.\n    notes: Ask Ann.\n    camera: WS, static\n"
        "    transition: dissolve\n    dialogue: 'KEEPER: Nearly there.'\n    metadata: {scene: 12, tags: [x, y]}\n"
    )
    assert (board.problems, board.warnings) == ((), ())
    assert board.shots[0].key == PLAIN_KEY
    assert board.words == Words(
        notes="For the festival.", camera="35mm", transition="cuts only", metadata={"client": "ACME"}
    )
    assert board.shots[0].words == Words(
        notes="Ask Ann.",
        dialogue="KEEPER: Nearly there.",
        camera="WS, static",
        transition="dissolve",
        metadata={"scene": "12", "tags": ["x", "y"]},
    )


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("[Hello., 2, null, Aye.]", "Hello.\n2\nAye."),
        ("{KEEPER: Hello., MATE: [Aye., Aye.]}", "KEEPER: Hello.\nMATE: Aye.\nAye."),
        ("[{KEEPER: Hello.}, {MATE: Aye.}]", "KEEPER: Hello.\nMATE: Aye."),
        (
            "[{character: KEEPER, line: Hello.}, {speaker: MATE, text: [Aye., Aye.]}]",
            "KEEPER: Hello.\nMATE: Aye.\nAye.",
        ),
        ("{speaker: MATE, line: Aye., mood: glad}", "speaker: MATE\nline: Aye.\nmood: glad"),
        ("{speaker: , line: Hello.}", "speaker\nline: Hello."),
        ("", None),
        ("12", "12"),
    ],
)
async def test_dialogue_is_text_however_it_is_listed(written: str, text: str | None) -> None:
    board = await read(f"title: Film\n{ONE_SHOT}    dialogue: {written}\n    metadata:\n")
    assert told(board) == []
    assert board.shots[0].words == Words(dialogue=text)


async def test_variables_are_filled_in_what_is_said_and_braces_without_a_value_stay() -> None:
    board = await read(f"title: Film\nvariables: {{who: Ann}}\n{ONE_SHOT}    dialogue: '{{who}} waits. {{smiles}}'\n")
    assert told(board) == []
    assert board.shots[0].words.dialogue == "Ann waits. {smiles}"


async def test_unknown_fields_are_kept_as_metadata_with_a_warning() -> None:
    board = await read(
        "title: Film\nmood: dark\nmetadata: {client: ACME}\nshots:\n  - id: a\n    prompt: A boat.\n    scene: 12\n"
        "    tags: [x, y]\n  - {id: b, prompt: A ship., scene: 13, Lens: 35mm}\n"
    )
    assert told(board) == []
    assert list(map(str, board.warnings)) == [
        "board.yaml:2: field `mood` is unknown; kept as metadata for people, it changes no clip",
        "board.yaml:7: shot a: fields `scene`, `tags` are unknown; kept as metadata for people, they change no clip",
        "board.yaml:9: shot b: field `Lens` is unknown; kept as metadata for people, it changes no clip",
    ]
    assert board.words.metadata == {"client": "ACME", "mood": "dark"}
    assert [shot.words.metadata for shot in board.shots] == [
        {"scene": "12", "tags": ["x", "y"]},
        {"scene": "13", "Lens": "35mm"},
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("board.yaml", 'title: Film\nshots: [{id: a, prompt: x, "<<": {duration: 10}}]\n'),
        ("board.json", '{"title": "Film", "shots": [{"id": "a", "prompt": "x", "<<": {"duration": 10}}]}'),
    ],
)
async def test_a_quoted_merge_is_a_name_like_any_other(name: str, text: str) -> None:
    board = await read(text, name)
    assert told(board) == []
    assert board.shots[0].words.metadata == {"<<": {"duration": "10"}}


@pytest.mark.parametrize("field", ["dialogue_en", "transition_in", "Camera body", "transitionOut", "notes-2"])
async def test_a_remark_with_a_further_word_is_another_remark(field: str) -> None:
    board = await read(f"title: Film\n{ONE_SHOT}    {field}: x\n")
    assert told(board) == []
    assert board.shots[0].words.metadata == {field: "x"}


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        *(("promt", "prompt"), ("Notes", "notes"), ("dialog", "dialogue"), ("secounds", None), ("seconds", "duration")),
        *(
            ("durationSeconds", "duration"),
            ("ratio", "aspect_ratio"),
            ("seed", "inputs"),
            ("frame rate", "fps"),
            ("lastFrame", "last_image"),
        ),
    ],
)
async def test_a_slip_of_the_pen_is_refused_with_what_was_meant(field: str, meant: str | None) -> None:
    board = await read(f"title: Film\n{ONE_SHOT}    {field}: 3\n")
    expected = [f"board.yaml:5: shot a: field `{field}` is unknown; did you mean `{meant}`?"] if meant else []
    assert told(board) == expected


@pytest.mark.parametrize("field", ["model", "size", "duration", "inputs"])
async def test_what_defaults_say_is_no_remark_beside_them(field: str) -> None:
    """Kept as metadata, it would pay for other clips than were meant."""
    board = await read(f"title: Film\n{field}: wan-2-5\n{ONE_SHOT}")
    assert told(board) == [
        f"board.yaml:2: field `{field}` has its place below `defaults:`, for all shots; move it there"
    ]


async def test_what_would_be_told_twice_is_refused() -> None:
    board = await read(f"title: Film\n{ONE_SHOT}    scene: 1\n    metadata: {{scene: 2}}\n")
    assert [one.partition("; ")[0] for one in told(board)] == ["board.yaml:5: shot a: field `scene` is unknown"]


async def test_a_board_of_very_many_unknown_fields_is_one_warning() -> None:
    board = await read(f"title: Film\n{ONE_SHOT}" + "".join(f"    word {number}: x\n" for number in range(5_000)))
    assert told(board) == []
    assert len(board.warnings) == 1
    assert "and 4992 more are unknown" in str(board.warnings[0])
    assert len(board.shots[0].words.metadata) == 5_000


async def test_metadata_that_is_no_fields_is_one_problem() -> None:
    board = await read(f"title: Film\n{ONE_SHOT}    metadata: see the script\n")
    assert told(board) == [
        "board.yaml:5: shot a: `metadata` holds fields; write it like `metadata: {name: value}`",
    ]


@pytest.mark.parametrize("word", ["notes", "dialogue", "transition", "scene", "action", "narration", "lighting"])
def test_words_that_are_not_near_get_no_hint(word: str) -> None:
    fields = [name for name in (*ShotSpec.model_fields, *Storyboard.model_fields) if name != word]
    assert near(word, fields) == ""


async def test_an_id_is_the_same_however_its_letters_are_composed() -> None:
    composed, apart = "tor\u00e9", "tore\u0301"
    first, then = ShotSpec(id=composed, prompt="A gate."), ShotSpec(id="b", prompt="Its lamp.", continue_from=apart)
    board = await read_board(Storyboard(title="Film", shots=(first, then)), catalog=KNOWN, store=None)
    assert told(board) == []
    assert board.shots[1].continue_from == composed == board.shots[0].id


@pytest.mark.parametrize("name", ["می\u200cخواهم", "ハリー・ポッター", "क्\u200dष", "L’aube", "ג׳ירפה"])
async def test_an_id_holds_what_stands_inside_words(name: str) -> None:
    assert told(await read(f"title: Film\nshots:\n  - {{id: {name}, prompt: A boat.}}\n")) == []
    (problem,) = told(await read('title: Film\nshots:\n  - {id: "\\u200d", prompt: A boat.}\n'))
    assert "can't be a file name" in problem


async def test_one_id_in_two_spellings_is_refused() -> None:
    board = await read("title: Film\nshots:\n  - {id: ｶﾞ灯, prompt: A boat.}\n  - {id: ガ灯, prompt: A ship.}\n")
    (problem,) = told(board)
    assert "makes the same file name as `ｶﾞ灯`" in problem
