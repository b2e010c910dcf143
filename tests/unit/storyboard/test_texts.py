"""A prompt cannot change the bill by a command in it, however the dashes are written; prose with dashes is prose."""

from __future__ import annotations

import pytest

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.keys import key_of
from prefect_seedance.models import Request
from prefect_seedance.storyboard.reading import ShotSpec, Storyboard, read_board
from prefect_seedance.storyboard.texts import LONGEST_PROMPT, text_problem

COMMANDS = [
    "A cat --dur 12",
    "A cat--dur12",
    "A cat--rs1080p",
    "A cat--resolution1080p",
    "A cat--frames 289",
    "A cat --1080p",
    "A cat -- dur 12",
    "A cat --\u00a0dur12",
    "A cat.(--Seed 3)",
    "A cat \uff0d\uff0ddur 12",
    "A cat \ufe63\ufe63dur 12",
    "A cat \u2010\u2011dur 12",
    "A cat \u2212\u2212dur 12",
    "A cat -\u200b-dur 12",
    "A cat -\u00ad-dur 12",
    "A cat -\ufe0f-dur 12",
    "A cat --\u200b\u2060dur 12",
    "A cat --\uff44\uff55\uff52 12",
    "A cat --новый",
    "A cat-- and more",
    "A cat ---dur 12",
    "A cat —dur",
    "—dur 12",
    "A cat —1080p",
    "A cat – dur 12",
    "A cat ——dur 12",
    "猫——dur 12",
    "A cat -—dur 12",
]
PROSE = [
    "dawn — slow push in",
    "dawn – slow push in",
    "dawn - slow push in",
    "dawn -- slow push in",
    "He lights it—dur 12.",
    "The sea—calm and grey—waits.",
    "—Hola, dijo el farero.",
    "A well-known, day-to-day scene, 10–12 boats, -5 degrees.",
    "黎明——缓慢推进",
    "夜――静かな海",
    "A cat -- -- sleeps",
    "----",
    "One take — duration of a breath.",
]


@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_in_a_prompt_is_refused_however_it_is_written(text: str) -> None:
    assert "can change the bill; use the fields, or write it without" in (text_problem(text, "prompt") or "")


@pytest.mark.parametrize("text", PROSE)
async def test_prose_with_dashes_is_sent_and_hashed_as_it_is_written(text: str) -> None:
    shot = ShotSpec(id="a", prompt=text, size="854x480", duration=5)
    board = await read_board(Storyboard(title="Dashes", shots=(shot,)), catalog=KNOWN, store=None)
    assert board.problems == ()
    asked = Request(model="seedance-1-0-pro", prompt=text.strip(), size="854x480", duration=5, fps=24)
    assert board.shots[0].request == asked
    assert board.shots[0].key == key_of(asked)


@pytest.mark.parametrize("piece", ["-", "—", " -", "a-", "a—", "-—", "—dur", "\u200b", "— "])
def test_no_text_takes_long_to_search(piece: str) -> None:
    """A pattern that tries every start with every end would take hours, not a moment."""
    text_problem((piece * LONGEST_PROMPT)[:LONGEST_PROMPT], "prompt")
