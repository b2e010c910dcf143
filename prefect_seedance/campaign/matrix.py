"""What is varied beside the table: every row is asked for with every value, of settings of the clips or variables."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from prefect_seedance.errors import BadInput
from prefect_seedance.storyboard.schema import ShotSpec, Storyboard
from prefect_seedance.text import printable

SETTINGS = {
    "size": "size",
    "ratio": "aspect_ratio",
    "aspect_ratio": "aspect_ratio",
    "take": "take",
    "model": "model",
    "duration": "duration",
}
"""The fields of a shot that may be varied; any other name is a variable of the board."""


@dataclass(frozen=True)
class Matrix:
    """The values of each name, in the order in which they were given."""

    values: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, words: Iterable[str]) -> Matrix:
        """What words such as size=1280x720,720x1280 say; `BadInput` for what says nothing."""
        values: dict[str, tuple[str, ...]] = {}
        for word in words:
            name, _, given = word.partition("=")
            name = SETTINGS.get(name.strip(), name.strip())
            parts = tuple(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))
            if not name or not parts:
                example = "write it like --vary size=1280x720,720x1280"
                raise BadInput(f"--vary {printable(word)} names no values; nothing was submitted; {example}.")
            if name in values:
                raise BadInput(f"--vary names {printable(name)} twice; nothing was submitted; join its values.")
            values[name] = parts
        return cls(values)

    @property
    def variables(self) -> set[str]:
        """The names that are not settings of the clips."""
        return set(self.values) - set(SETTINGS.values())

    def combinations(self) -> list[dict[str, str]]:
        """Every combination of values; one empty one where nothing is varied."""
        return [dict(zip(self.values, chosen, strict=True)) for chosen in itertools.product(*self.values.values())]


def varied(board: Storyboard, vary: Mapping[str, str]) -> Storyboard:
    """*board* with the values of *vary* for all of its shots, in the place of what they say themselves."""
    settings = {name: _setting(name, value) for name, value in vary.items() if name in SETTINGS.values()}
    variables = {name: value for name, value in vary.items() if name not in settings}
    shots = tuple(shot.model_copy(update=settings) for shot in board.shots) if settings else board.shots
    return board.model_copy(update={"shots": shots, "variables": {**board.variables, **variables}})


def _setting(name: str, value: str) -> Any:
    try:
        return getattr(ShotSpec.model_validate({"id": "a", "prompt": "a", name: value}), name)
    except ValidationError as error:
        what = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise BadInput(f"--vary {name}={printable(value)}: {what}; nothing was submitted.") from error
