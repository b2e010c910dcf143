"""A storyboard of any size is read or refused in one sentence, and takes no memory and no time that it did not send."""

from __future__ import annotations

from prefect_seedance.storyboard.texts import filled
from tests.support.board_texts import ONE_SHOT, read, shots, told


async def test_too_many_shots_are_one_message() -> None:
    board = await read(shots(*(f"  - {{id: s{n}, prompt: x}}" for n in range(10_001))))
    assert told(board) == ["board.yaml:2: there are 10,001 shots; the most is 10,000, so split the storyboard"]


async def test_a_bomb_of_nested_or_countless_values_is_refused() -> None:
    for text in ("[" * 1_000_000, "[" * 21 + "]" * 21, "title: [" + "a," * 300_000 + "]"):
        message = "the file holds more than 200,000 values or 20 levels; split it"
        assert told(await read(text)) == [f"board.yaml:1: {message}"]
    assert told(await read("x" * 5_000_001)) == [
        "board.yaml: the storyboard can't be read: it has more than 5 MB; make it smaller"
    ]


def test_a_text_is_filled_no_further_than_any_use_of_it() -> None:
    assert len(filled("{v}" * 3_000, {"v": "y" * 20_000})) < 200_000
    assert filled("a {v} {w} {V}", {"v": "{w}", "w": "b"}) == "a {w} b {V}"


async def test_values_of_variables_do_not_multiply_into_gigabytes() -> None:
    variables = "".join(f"  v{n}: {'y' * 20_000}\n" for n in range(50))
    names = "".join(f"{{v{n % 50}}}" for n in range(3_000))
    board = await read(f"title: '{names}'\nvariables:\n{variables}style: '{names}'\n{ONE_SHOT}")
    assert [problem.line for problem in board.problems] == [1, 53]
    assert len(board.shots[0].prompt) < 21_000
