"""Shot lists as people keep them: our own columns, any others, and those that film people export."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.board_texts import read, told

STUDIOBINDER = """\
Scene,Shot,Setup,Shot Size,Shot Type,Angle,Movement,Equipment,Lens,Sound,Description,Dialogue,Location,Notes,
1,1,A,WS,Establishing,Eye level,Static,Tripod,24mm,MOS,"A keeper rows, at dawn.",,EXT. Sea,Bring fog,
,2,A,CU,,Low,Dolly in,Gimbal,50mm,,His hands on the oars.,KEEPER: Nearly there.,,,
Kitchen at night,,,,,,,,,,,,,,
2,A,B,MS,,,,,,,He lights the lamp.,,INT. Tower,,
2,2B,B,MS,,,,,,,He sits.,,INT. Tower,,late
2,2B,B,,,,,,,,He sleeps.,,,,
,,,,,,,,,,,,,,
"""


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_a_shot_list_as_film_people_export_it_is_a_board() -> None:
    board = await read(STUDIOBINDER, "Harbour scene.csv")
    assert told(board) == []
    assert board.title == "Harbour scene"
    assert [(shot.id, shot.prompt, shot.line) for shot in board.shots] == [
        ("1-1", "A keeper rows, at dawn.", 2),
        ("1-2", "His hands on the oars.", 3),
        ("2A", "He lights the lamp.", 5),
        ("2B", "He sits.", 6),
        ("2B-2", "He sleeps.", 7),
    ]
    assert board.shots[0].words.written == {
        "notes": "Bring fog",
        "camera": "WS, Establishing, Eye level, Static, 24mm, Tripod",
        "metadata": {"Scene": "1", "Shot": "1", "Setup": "A", "Sound": "MOS", "Location": "EXT. Sea"},
    }
    assert board.shots[1].words.dialogue == "KEEPER: Nearly there."
    assert board.shots[3].words.metadata["column 15"] == "late"
    assert list(map(str, board.warnings)) == [
        "Harbour scene.csv:1: columns `Setup`, `Sound`, `Location`, `column 15` are unknown; "
        "kept as metadata for people, they change no clip",
        "Harbour scene.csv:4: rows that are headings and not shots are left out, on lines 4",
    ]


async def test_other_columns_of_a_list_with_ids_are_kept_with_a_warning() -> None:
    board = await read("id,prompt,Scene,Done,notes\na,A boat.,12,x,Ask Ann\nb,A ship.,,,\n", "board.csv")
    assert told(board) == []
    assert [shot.words.written for shot in board.shots] == [
        {"notes": "Ask Ann", "metadata": {"Scene": "12", "Done": "x"}},
        {},
    ]
    assert list(map(str, board.warnings)) == [
        "board.csv:1: columns `Scene`, `Done` are unknown; kept as metadata for people, they change no clip"
    ]


async def test_a_size_of_the_picture_is_not_one_of_the_file() -> None:
    board = await read("Shot,Size,Action\n1,WS,A boat.\n2,CU,A ship.\n", "board.csv")
    assert told(board) == []
    assert [shot.words.camera for shot in board.shots] == ["WS", "CU"]
    board = await read("id,size,prompt\na,1280x720,A boat.\n", "board.csv")
    assert [shot.request and shot.request.size for shot in board.shots] == ["1280x720"]


async def test_a_prompt_of_its_own_comes_before_the_description() -> None:
    board = await read("id,prompt,Description\na,A boat.,The hero arrives.\n", "board.csv")
    assert told(board) == []
    assert board.shots[0].prompt == "A boat."
    assert board.shots[0].words.metadata == {"Description": "The hero arrives."}


async def test_a_slip_of_the_pen_in_a_heading_is_refused() -> None:
    board = await read("id,prompt,continue_form\na,A boat.,\n", "board.csv")
    assert told(board) == [
        "board.csv:1: column `continue_form` is unknown (did you mean `continue_from`?); the columns of a shot "
        "list are id, prompt, image, last_image, continue_from, take, model, size, aspect_ratio, duration, fps, "
        "inputs, cast, narration, crop, notes, dialogue, camera, transition"
    ]


@pytest.mark.parametrize(
    ("headings", "message"),
    [
        ("id,Prompt,prompt,x", "columns `Prompt` and `prompt` are both `prompt`; keep one of them"),
        ("ID,prompt,id,x", "columns `ID` and `id` are both `id`; keep one of them"),
        (
            "prompt,continue_from,Scene,Continue from",
            "columns `continue_from` and `Continue from` are both `continue_from`; keep one of them",
        ),
    ],
)
async def test_two_columns_that_are_one_field_are_refused(headings: str, message: str) -> None:
    """The last filled one was taken, at its price."""
    board = await read(f"{headings}\na,b,c,\n", "board.csv")
    assert (told(board), board.shots) == ([f"board.csv:1: {message}"], ())


async def test_scenes_in_any_script_name_their_shots() -> None:
    board = await read("Scene,Shot,Description\n厨房/夜,A,灯亮了。\n厨房/夜,B,他坐下。\n", "灯塔.csv")
    assert told(board) == []
    assert [shot.id for shot in board.shots] == ["厨房-夜A", "厨房-夜B"]


async def test_a_long_list_of_like_rows_is_read_at_once() -> None:
    """Comparing each row with each other would take hours."""
    rows = "1,A,A boat.\n" * 10_001 + "Harbour,,\n" * 2_000
    board = await read(f"Scene,Shot,Description\n{rows}", "board.csv")
    assert told(board) == ["board.csv:1: there are 10,001 shots; the most is 10,000, so split the storyboard"]
    assert len(board.warnings) == 1


async def test_a_heading_that_is_left_empty_names_its_column() -> None:
    board = await read("id,prompt,,\na,A boat.,,late\n", "board.csv")
    assert told(board) == []
    assert board.shots[0].words.metadata == {"column 4": "late"}
