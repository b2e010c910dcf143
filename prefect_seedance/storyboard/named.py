"""The texts of a storyboard that variables fill, and the names that stand in them."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pydantic import JsonValue

from prefect_seedance.storyboard.schema import Storyboard
from prefect_seedance.storyboard.texts import VARIABLE
from prefect_seedance.text import printable


def named_in(board: Storyboard) -> set[str]:
    """The {names} that *board* needs values for."""
    return {name for text in _filled_texts(board) for name in VARIABLE.findall(text)}


def spoilt_column(board: Storyboard, columns: Collection[str]) -> str | None:
    """Why *board* can't name one of *columns* as it does, and the remedy: in `{two words}` nothing would be filled."""
    wrong = [column for column in columns if not VARIABLE.fullmatch(f"{{{column}}}")]
    texts = list(_filled_texts(board)) if wrong else []
    for column in wrong:
        if any(f"{{{column}}}" in text for text in texts):
            shown = printable(column)
            return (
                f"the storyboard names {{{shown}}}, and a column that is called `{shown}` can't be filled in; call it "
                "by letters, digits and underscores, in the table and in the storyboard"
            )
    return None


def _filled_texts(board: Storyboard) -> Iterator[str]:
    yield from (board.title, board.style, board.music or "")
    for places in board.cast.values():
        yield from places
    for inputs in (board.defaults.inputs, board.narrator.inputs, *(shot.inputs for shot in board.shots)):
        yield from texts_in(inputs)
    for shot in board.shots:
        yield from filter(None, (shot.prompt, shot.image, shot.last_image, shot.narration))


def texts_in(value: JsonValue) -> Iterator[str]:
    """All texts in an input, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts_in(one)
