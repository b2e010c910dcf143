"""Image sequences, read as a person would ask for them."""

from __future__ import annotations

from typing import Any

from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.storyboard.reading import Board, Defaults
from prefect_seedance.storyboard.sequence import read_sequence


async def read(location: str = "frames", *, model: str = "seedance-1-0-pro", **how: Any) -> Board:
    usual: dict[str, Any] = {"prompt": "Waves.", "defaults": Defaults(model=model), "catalog": KNOWN, "store": None}
    return await read_sequence(location, **usual | how)


def asked(board: Board) -> list[tuple[str, str]]:
    return [(shot.id, shot.prompt) for shot in board.shots]


def of(source: Any) -> str:
    return str(source.picture.source)
