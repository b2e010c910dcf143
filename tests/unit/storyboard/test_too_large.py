"""A storyboard of any size is read or refused in one sentence, and takes no memory and no time that it did not send."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from prefect_seedance.storyboard.texts import filled
from tests.support.board_texts import ONE_SHOT, read, shots, told


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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


NAMES = [f"{number:03d}{'abcdefghij' * 6}" for number in range(200)]
WRONG = [f"{'bcdefghija' * 6}{number:03d}" for number in range(600)]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            f"title: Film\ncast: {{{', '.join(f'{name}: none.png' for name in NAMES)}}}\n"
            + "".join(("shots:\n", *(f"  - {{id: s{n}, prompt: x, cast: {one}}}\n" for n, one in enumerate(WRONG)))),
            "board.yaml",
        ),
        (
            f"title: Film\nvariables: {{{', '.join(f'v{name}: x' for name in NAMES)}}}\n"
            f"shots:\n  - {{id: a, prompt: '{' '.join(f'{{{one}}}' for one in WRONG)}'}}\n",
            "board.yaml",
        ),
        (
            shots(
                *(f"  - {{id: {NAMES[n % 200]}{n}, prompt: x, continue_from: {one}}}" for n, one in enumerate(WRONG))
            ),
            "board.yaml",
        ),
        (shots(*(f"  - {{id: s{n}, prompt: x, model: seedance-9-{n}}}" for n in range(5_000))), "board.yaml"),
        (
            f"{ONE_SHOT}title: Film\ndefaults: {{inputs: {{{', '.join(f'seed{n}: 1' for n in range(10_000))}}}}}\n",
            "board.yaml",
        ),
        (f"id,prompt,{','.join(f'column{n}' for n in range(50_000))}\na,x\n", "board.csv"),
    ],
    ids=["cast", "variables", "links", "models", "inputs", "columns"],
)
async def test_words_that_nobody_knows_are_compared_no_longer_than_a_moment(
    text: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0

    class Counting(difflib.SequenceMatcher[str]):
        def set_seq1(self, a: object) -> None:
            nonlocal compared
            compared += 1
            super().set_seq1(a)  # type: ignore[arg-type]

    monkeypatch.setattr(difflib, "SequenceMatcher", Counting)
    board = await read(text, name)
    assert board.problems or board.warnings
    assert 0 < compared < 30_000


async def test_a_slip_that_every_shot_makes_has_its_hint_at_each_of_them() -> None:
    cast = ", ".join(f"name{n}: none.png" for n in range(100))
    board = await read(
        f"title: Film\ncast: {{{cast}, keeper: none.png}}\nshots:\n"
        + "".join(f"  - {{id: s{n}, prompt: x, cast: keepr}}\n" for n in range(300))
    )
    assert sum("did you mean `keeper`?" in problem for problem in told(board)) == 300
