"""Rows and what is varied: repetitions go, ids that collide are told, every row with every value."""

from __future__ import annotations

import pytest

from prefect_seedance.campaign.matrix import Matrix, varied
from prefect_seedance.campaign.table import table_of
from prefect_seedance.campaign.units import refuse_missing_columns, units_of
from prefect_seedance.errors import BadInput
from prefect_seedance.storyboard.schema import Narrator, ShotSpec, Storyboard

NOTHING = Matrix({})
MUG = {"id": "m1", "product": "mug"}
BOARD = Storyboard(title="Mugs", shots=(ShotSpec(id="a", prompt="A {product}."), ShotSpec(id="b", prompt="B", take=2)))


def test_a_row_that_is_there_twice_is_left_out_and_counted() -> None:
    units = units_of(table_of([MUG, {**MUG}, {"product": "jar"}, {"product": "jar"}], "t.csv"), NOTHING)
    assert [unit.cells for unit in units.units] == [MUG, {"product": "jar"}]
    assert (units.rows, units.duplicates, units.problems) == (2, 2, ())


def test_rows_that_share_an_id_but_not_their_cells_are_a_problem_of_that_line() -> None:
    units = units_of(table_of([MUG, {"id": "m1", "product": "jar"}], "t.csv"), NOTHING)
    message = "t.csv:2: the id `m1` is that of line 1; give each row an id of its own"
    assert [str(problem) for problem in units.problems] == [message]


def test_a_row_without_an_id_has_one_by_its_content() -> None:
    one, other = (units_of(table_of(rows, "t"), NOTHING) for rows in ([{"a": "1", "b": "2"}], [{"b": "2", "a": "1"}]))
    assert one.units[0].row == other.units[0].row
    assert len(one.units[0].row) == 12


def test_every_row_comes_with_every_combination_of_values() -> None:
    matrix = Matrix.of(["size=1280x720,720x1280", "take=1,2"])
    units = units_of(table_of([MUG], "t.csv"), matrix).units
    assert [unit.name for unit in units] == ["m1+1280x720+1", "m1+1280x720+2", "m1+720x1280+1", "m1+720x1280+2"]
    assert units[1].varied == "size=1280x720,take=2"


def test_two_rows_never_make_the_same_name() -> None:
    rows = [{"id": "a", "product": "x"}, {"id": "a+1", "product": "y"}]
    problems = units_of(table_of(rows, "t.csv"), Matrix.of(["x=1+1,1"])).problems
    assert [problem.line for problem in problems] == [2]
    assert "is also what line 1 makes" in problems[0].message


def test_what_is_varied_holds_for_all_shots() -> None:
    board = varied(BOARD, {"size": "720p", "take": "3", "aspect_ratio": "9:16", "product": "jar"})
    assert [(shot.size, shot.take, shot.aspect_ratio) for shot in board.shots] == [("720p", 3, "9:16")] * 2
    assert board.variables == {"product": "jar"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["size"], "--vary size names no values"),
        (["=1"], "names no values"),
        (["take=1", "take=2"], "--vary names take twice"),
        (["ratio=9:16", "aspect_ratio=1:1"], "--vary names aspect_ratio twice"),
    ],
)
def test_what_is_varied_wrongly_is_one_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        Matrix.of(words)


def test_a_value_that_no_shot_can_have_is_one_sentence() -> None:
    with pytest.raises(BadInput, match=r"--vary take=none: .*; nothing was submitted"):
        varied(BOARD, {"take": "none"})


def test_columns_that_the_storyboard_names_and_the_table_lacks_are_one_sentence() -> None:
    board = BOARD.model_copy(update={"title": "{town}", "variables": {"light": "dawn"}})
    with pytest.raises(BadInput) as told:
        refuse_missing_columns(board, table_of([{"id": "m1", "colour": "red"}], "t.csv"), NOTHING)
    assert str(told.value) == (
        "The storyboard names {product}, {town}, and the table t.csv has no such column; it has id, colour; nothing "
        "was submitted."
    )


def test_a_column_that_the_storyboard_names_and_that_no_variable_can_be_called_is_one_sentence() -> None:
    board = BOARD.model_copy(update={"style": "In {product name}."})
    with pytest.raises(BadInput) as told:
        refuse_missing_columns(board, table_of([{**MUG, "product name": "mug"}], "t.csv"), NOTHING)
    assert str(told.value) == (
        "t.csv: the storyboard names {product name}, and a column that is called `product name` can't be filled in; "
        "call it by letters, digits and underscores, in the table and in the storyboard; nothing was submitted."
    )


def test_what_is_varied_may_stand_in_the_inputs_alone() -> None:
    narrator = Narrator(model="chatterbox-turbo", inputs={"voice": "{voice}"})
    board = BOARD.model_copy(update={"narrator": narrator})
    refuse_missing_columns(board, table_of([MUG], "t.csv"), Matrix.of(["voice=abigail,aaron"]))


def test_a_name_to_vary_that_nothing_has_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="--vary colour is neither a setting of the clips"):
        refuse_missing_columns(BOARD, table_of([MUG], "t.csv"), Matrix.of(["colour=red"]))
    with pytest.raises(BadInput, match="--vary product: the table has a column of that name"):
        units_of(table_of([MUG], "t.csv"), Matrix.of(["product=mug,jar"]))


def test_too_many_combinations_are_told() -> None:
    rows = [{"id": str(number)} for number in range(50_001)]
    with pytest.raises(BadInput, match="50,001 rows with 2 combinations each are too many; the most is 100,000"):
        units_of(table_of(rows, "t.csv"), Matrix.of(["take=1,2"]))
