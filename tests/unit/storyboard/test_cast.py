"""The cast of a board: reference pictures in order, by content in the key, and never left out silently."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from prefect_seedance.storyboard.board import Board
from tests.support.board_texts import read, told

KLING = "title: Film\ndefaults: {model: kling-video-o1-r2v}\n"


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, shade in (("keeper", "navy"), ("side", "teal"), ("tower", "gray")):
        Image.new("RGB", (640, 480), shade).save(f"{name}.png")
    (tmp_path / "again.png").write_bytes((tmp_path / "keeper.png").read_bytes())


def sources(board: Board) -> list[list[str]]:
    return [[one.source for one in shot.request.references] for shot in board.shots if shot.request]


async def test_a_shot_is_given_the_pictures_of_its_cast_in_its_order_each_once() -> None:
    board = await read(
        KLING + "variables: {who: keeper}\n"
        "cast:\n  keeper: ['{who}.png', side.png]\n  lighthouse: tower.png\n  twin: again.png\nshots:\n"
        "  - {id: a, prompt: x, cast: [keeper, lighthouse]}\n"
        "  - {id: b, prompt: x, cast: [lighthouse, keeper]}\n"
        "  - {id: c, prompt: x, cast: 'keeper, lighthouse, twin, keeper'}\n"
        "  - {id: d, prompt: x, cast: [keeper, keeper]}\n"
    )
    assert told(board) == []
    assert sources(board) == [
        ["keeper.png", "side.png", "tower.png"],
        ["tower.png", "keeper.png", "side.png"],
        ["keeper.png", "side.png", "tower.png"],
        ["keeper.png", "side.png"],
    ]
    assert len({shot.key for shot in board.shots}) == 3
    assert board.shots[0].key == board.shots[2].key
    assert [source.picture for source in board.shots[0].references] == list(board.shots[0].request.references)  # type: ignore[union-attr]


async def test_a_cast_counts_by_content_and_not_by_name_or_place() -> None:
    one = await read(KLING + "cast: {keeper: keeper.png}\nshots:\n  - {id: a, prompt: x, cast: keeper}\n")
    other = await read(KLING + "cast: {warden: [again.png]}\nshots:\n  - {id: a, prompt: x, cast: [warden]}\n")
    assert one.shots[0].key == other.shots[0].key is not None


async def test_a_board_that_names_a_cast_for_nobody_has_the_keys_that_it_had() -> None:
    plain = await read("title: F\nshots:\n  - {id: a, prompt: x}\n")
    named = await read("title: F\ncast: {keeper: keeper.png}\nshots:\n  - {id: a, prompt: x}\n")
    assert plain.shots[0].key == named.shots[0].key is not None


async def test_every_mistake_of_a_cast_has_its_line_and_remedy_and_is_told_once() -> None:
    board = await read(
        KLING + "cast:\n  keeper: keeper.png\n  lost: none.png\n  empty: []\nshots:\n"
        "  - {id: a, prompt: x, cast: [keepr]}\n"
        "  - {id: b, prompt: x, cast: [lost, keeper]}\n"
        "  - {id: c, prompt: x, cast: [lost]}\n"
        "  - {id: d, prompt: x}\n"
        "  - {id: e, prompt: x, model: seedance-1-0-pro, cast: [keeper]}\n"
        "  - {id: f, prompt: x, cast: [empty]}\n"
    )
    assert told(board) == [
        "board.yaml:5: picture none.png: there is no such file; check the path",
        "board.yaml:6: `empty` has no picture; name at least one",
        "board.yaml:8: shot a: there is no `keepr` in the cast; did you mean `keeper`?",
        "board.yaml:11: shot d: kling-video-o1-r2v needs at least 1 reference picture; "
        "name a `cast` for the board, and whom of it this shot shows",
        "board.yaml:12: shot e: seedance-1-0-pro takes no reference pictures; remove `cast` here, "
        "or choose a model that does, such as kling-video-o1-r2v",
    ]
    assert [(shot.problem or "").split(";")[0] for shot in board.shots[1:3]] == [
        "the pictures of `lost` can't be used",
        "the pictures of `lost` can't be used",
    ]
    assert [shot.request for shot in board.shots] == [None] * 6


async def test_a_wrong_size_hides_no_wrong_cast() -> None:
    board = await read(KLING + "shots:\n  - {id: a, prompt: x, size: 4k}\n")
    assert [message.split("; ")[0] for message in told(board)] == [
        "board.yaml:4: shot a: size `4k` is not offered by kling-video-o1-r2v",
        "board.yaml:4: shot a: kling-video-o1-r2v needs at least 1 reference picture",
    ]


async def test_more_pictures_than_the_model_takes_are_a_problem() -> None:
    for number in range(11):
        Image.new("RGB", (400, 400), (number, 0, 0)).save(f"{number}.png")
    many = ", ".join(f"{number}.png" for number in range(11))
    board = await read(KLING + f"cast: {{crowd: [{many}]}}\nshots:\n  - {{id: a, prompt: x, cast: crowd}}\n")
    assert told(board) == [
        "board.yaml:5: shot a: kling-video-o1-r2v takes at most 10 reference pictures, and this cast has 11; "
        "name fewer of them"
    ]


WRONG = "`cast` names who is seen: `cast: {keeper: keeper.png}` for the board, `cast: [keeper]` for a shot"


@pytest.mark.parametrize(
    ("cast", "of_shot"),
    [("[keeper.png]", "[]"), ("{keeper: {a: b}}", "[]"), ("{keeper: [[x]]}", "[]"), ("", "[]"), ("{}", "{a: b}"),
     ("{}", "[[x]]"), ("7", "[]")],
)  # fmt: skip
async def test_a_cast_in_another_shape_is_one_sentence(cast: str, of_shot: str) -> None:
    board = await read(KLING + f"cast: {cast}\nshots:\n  - {{id: a, prompt: x, cast: {of_shot}}}\n")
    assert WRONG in told(board)[0]


async def test_references_are_not_cropped() -> None:
    board = await read(
        "title: F\ndefaults: {model: kling-video-o1-r2v, crop: true, aspect_ratio: 9:16}\ncast: {keeper: keeper.png}\n"
        "shots:\n  - {id: a, prompt: x, cast: keeper}\n"
    )
    assert told(board) == []
    assert [reference.picture.crop for reference in board.shots[0].references] == [False]
