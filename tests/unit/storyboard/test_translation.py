"""Boards of other tools are read where their words are everyday ones, and each word that was read so is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.board_texts import ONE_SHOT, read, told


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def test_scenes_with_visuals_below_a_project_are_a_board() -> None:
    scenes = [{"scene_number": 1, "visual": "灯塔。", "text": "灯"}, {"scene_number": 2, "visual": "海。"}]
    board = await read(json.dumps({"project": {"title": "纸上的夏天"}, "scenes": scenes}, indent=1), "board.json")
    assert told(board) == []
    assert board.title == "纸上的夏天"
    assert [(shot.id, shot.prompt) for shot in board.shots] == [("1", "灯塔。"), ("2", "海。")]
    assert board.shots[0].words.metadata == {"text": "灯"}
    assert [str(warning) for warning in board.warnings if "read as" in str(warning)] == [
        "board.json:3: `title` in `project` is read as that of the board",
        "board.json:5: field `scenes` is read as `shots`, which is missing",
        "board.json:7: shot 1: field `scene_number` is read as `id`, which is missing",
        "board.json:8: shot 1: field `visual` is read as `prompt`, which is missing",
    ]


async def test_a_list_of_shots_is_a_board_with_the_title_of_its_file() -> None:
    shots = [{"id": "01", "seconds": "12", "title": "黎明", "prompt": "The Seine."}, {"id": "02", "prompt": "A hall."}]
    board = await read(json.dumps(shots, indent=1), "louvre.json")
    assert told(board) == []
    assert board.title == "louvre"
    assert [(shot.id, shot.request and shot.request.duration) for shot in board.shots] == [("01", 12), ("02", 5)]
    assert [str(warning) for warning in board.warnings] == [
        "louvre.json:1: the list is read as `shots`",
        "louvre.json:1: field `title` is missing; `louvre` is taken, the name of the file",
        "louvre.json:4: shot 01: field `seconds` is read as `duration`, which is missing",
        "louvre.json:5: shot 01: field `title` is unknown; kept as metadata for people, it changes no clip",
    ]


async def test_scenes_without_a_title_have_that_of_their_file() -> None:
    board = await read("scenes:\n  - {scene_number: 1, visual_prompt: A forest.}\n", "tavern.yaml")
    assert (told(board), board.title) == ([], "tavern")


async def test_two_lengths_of_one_shot_are_refused() -> None:
    board = await read("title: Film\nshots:\n  - {id: a, prompt: x, duration: 5, seconds: 12}\n")
    assert told(board) == ["board.yaml:3: shot a: field `seconds` is unknown; did you mean `duration`?"]


@pytest.mark.parametrize("board", ["[]", "- a\n", "- {id: a}\n- b\n", "- {shots: [{id: a, prompt: x}]}\n"])
async def test_a_list_of_anything_else_is_no_board(board: str) -> None:
    assert told(await read(board)) != []


@pytest.mark.parametrize(
    ("shot", "prompt"),
    [
        ("{shotId: a, framePrompt: A boat., purpose: To begin.}", "A boat."),
        ("{id: a, image_prompt: A boat., motion_prompt: It drifts.}", "A boat."),
        ("{id: a, motion_prompt: It drifts., overlay: Buy!}", "It drifts."),
        ("{id: a, image_prompt: A boat., description: He rows.}", "He rows."),
        ("{id: a, description: [A boat.], action: He rows.}", "He rows."),
    ],
)
async def test_a_shot_that_calls_its_prompt_otherwise_is_read(shot: str, prompt: str) -> None:
    board = await read(f"title: Film\nshots:\n  - {shot}\n")
    assert told(board) == []
    assert [(shot.id, shot.prompt) for shot in board.shots] == [("a", prompt)]


async def test_what_is_there_already_is_not_looked_for() -> None:
    board = await read(f"title: Film\nname: x\nproject: {{title: y}}\nclips: [{{id: c, prompt: z}}]\n{ONE_SHOT}"
                       "    description: The hero arrives.\n")  # fmt: skip
    assert told(board) == []
    assert (board.title, len(board.shots)) == ("Film", 1)
    assert board.shots[0].words.metadata == {"description": "The hero arrives."}
    assert not any("read as" in str(warning) for warning in board.warnings)


async def test_a_slip_of_the_pen_is_refused_beside_another_prompt() -> None:
    board = await read("title: Film\nshots:\n  - {id: a, promt: A boat., description: He rows.}\n")
    assert told(board) == ["board.yaml:3: shot a: field `promt` is unknown; did you mean `prompt`?"]


async def test_scenes_that_have_shots_of_their_own_are_not_taken_for_shots() -> None:
    board = await read("title: Film\nscenes:\n  - {name: Harbour, shots: [{id: a, prompt: A boat.}]}\n")
    assert told(board) == ["board.yaml:1: field `shots` is missing; add it"]


async def test_a_field_that_an_underscore_puts_aside_is_a_remark() -> None:
    board = await read(f"title: Film\n_notes: All alike.\n{ONE_SHOT}    _prompt: An older one.\n")
    assert told(board) == []
    assert board.words.metadata == {"_notes": "All alike."}
    assert board.shots[0].words.metadata == {"_prompt": "An older one."}


async def test_a_model_that_many_shots_name_is_explained_once() -> None:
    board = await read("title: Film\nshots:\n" + "".join(f"  - {{id: {i}, prompt: x, model: v6}}\n" for i in "abc"))
    first, *others = told(board)
    assert first.startswith("board.yaml:3: shot a: model `v6` is not in the catalog; known are seedance-1-0-pro, ")
    assert others == [
        f"board.yaml:{line}: shot {shot}: model `v6` is not in the catalog; choose one of those named above"
        for line, shot in ((4, "b"), (5, "c"))
    ]
