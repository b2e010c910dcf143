"""Shot lists of crews with other columns, other languages and other notations are read, and nothing of them is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.board_texts import read, told


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "shots"),
    [
        ("sq,sh,description\n010,040,A boat.\n010,045,A ship.\n", [("010-040", "A boat."), ("010-045", "A ship.")]),
        ("Shot ID,Visual,On-screen\nHARB 1,A boat.,Sea\n", [("HARB 1", "A boat.")]),
        ("Video,Audio\nA boat.,Wind\nA ship.,Waves\n", [("shot-1", "A boat."), ("shot-2", "A ship.")]),
        ("场次,镜号,景别,画面内容,台词\n1,1,全景,灯塔在海边。,到了\n", [("1-1", "灯塔在海边。")]),
        ("シーン,カットNo,ショット,画,機材\n工房,①-2,MS / BS,職人の手,三脚\n", [("工房-①-2", "職人の手")]),
    ],
    ids=["an animator's", "a tool's", "a script in two columns", "Chinese", "Japanese"],
)
async def test_a_list_with_the_everyday_columns_of_a_craft_is_a_board(text: str, shots: list[tuple[str, str]]) -> None:
    board = await read(text, "list.csv")
    assert told(board) == []
    assert [(shot.id, shot.prompt) for shot in board.shots] == shots


async def test_a_column_that_may_hold_something_else_is_sent_with_a_warning() -> None:
    board = await read("Video,Audio\nA boat.,Wind\n", "list.csv")
    said = "list.csv:1: column `Video` is sent as the prompts, since no other one says what is seen"
    assert said in list(map(str, board.warnings))


async def test_the_actors_and_the_rate_of_a_camera_ask_nothing_of_a_model() -> None:
    board = await read("Scene,Shot,Lens,Frame Rate,Cast,Description\n1,A,24mm,23.976,ANN,A boat.\n", "list.csv")
    assert told(board) == []
    assert board.shots[0].words.camera == "24mm, 23.976"
    assert board.shots[0].words.metadata["Cast"] == "ANN"
    assert list(map(str, board.warnings)) == [
        "list.csv:1: column `Cast` is unknown; kept as metadata for people, it changes no clip"
    ]


async def test_the_numbers_of_frames_are_no_pictures() -> None:
    board = await read("id,prompt,start_frame,end_frame\na,A boat.,1,163\nb,A ship.,,245\n", "list.csv")
    assert told(board) == []
    assert board.shots[0].words.metadata == {"start_frame": "1", "end_frame": "163"}
    (problem,) = told(await read("id,prompt,start_frame\na,A boat.,boat.png\nb,A ship.,7\n", "list.csv"))
    assert "column `start_frame` is unknown (did you mean `image`?)" in problem


@pytest.mark.parametrize("nothing", ["None", "N/A", "nan", "NULL", "-", "—"])
async def test_a_cell_that_says_nothing_is_empty(nothing: str) -> None:
    rows = f"1,1,A boat.,{nothing},{nothing}\n{nothing},1,{nothing},{nothing},{nothing}\n{','.join([nothing] * 5)}\n"
    board = await read(f"Scene,Shot,Description,Dialogue,Movement\n{rows}", "list.csv")
    assert told(board) == []
    assert [(shot.id, shot.prompt, shot.words.dialogue, shot.words.camera) for shot in board.shots] == [
        ("1-1", "A boat.", None, None)
    ]


@pytest.mark.parametrize("written", ["5", "5.0", "5s", "5 sec", "5 Seconds", "5秒", "0:05", "00:00:05"])
async def test_seconds_are_read_as_crews_write_them(written: str) -> None:
    board = await read(f"Scene,Shot,Description,Duration\n1,1,A boat.,{written}\n", "list.csv")
    assert told(board) == []
    assert [shot.request and shot.request.duration for shot in board.shots] == [5]


@pytest.mark.parametrize("heading", ["Seconds", "duration_s", "Duration (s)", "duration_sec", "Length", "时长"])
async def test_a_length_is_found_under_its_everyday_names(heading: str) -> None:
    board = await read(f"Scene,Shot,Description,{heading}\n1,1,A boat.,10\n", "list.csv")
    assert told(board) == []
    assert [shot.request and shot.request.duration for shot in board.shots] == [10]


@pytest.mark.parametrize("written", ["5-10 s", "3.2", "a while", "5 min"])
async def test_a_length_that_is_no_seconds_is_refused(written: str) -> None:
    board = await read(f"Scene,Shot,Description,Duration\n1,1,A boat.,{written}\n", "list.csv")
    assert told(board) == [f"list.csv:2: shot 1-1: `duration` must be a whole number, not `{written}`"]


async def test_a_list_with_text_only_in_its_script_is_made_of_that_and_says_so() -> None:
    board = await read("Scene,Shot,Description,Script\n01,A,,He rows.\n02,A,,He lands.\n", "list.csv")
    assert told(board) == []
    assert [shot.prompt for shot in board.shots] == ["He rows.", "He lands."]
    assert "list.csv:1: column `Script` is sent as the prompts, since no other one says what is seen" in list(
        map(str, board.warnings)
    )


async def test_a_script_beside_what_is_seen_is_for_people() -> None:
    board = await read("Scene,Shot,Script,Description\n01,A,He rows.,A boat.\n02,A,He lands.,\n", "list.csv")
    assert told(board) == ["list.csv:3: shot 02A: field `prompt` is missing; add it"]
    assert board.shots[0].prompt == "A boat."
    assert board.shots[0].words.metadata["Script"] == "He rows."


async def test_a_list_that_shows_nothing_says_which_column_would() -> None:
    board = await read("Scene,Shot,Location\n1,A,Sea\n", "list.csv")
    (problem,) = told(board)
    assert problem.startswith("list.csv:1: column `prompt` is missing (or `Description`); the columns of a shot list")
