"""A storyboard that was read and checked: its shots with their requests, keys and prices, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from prefect_seedance.models import NO_WORDS, Problem, Request, Words
from prefect_seedance.sources.images import PictureSource

MOST_SHOTS = 10_000


@dataclass(frozen=True)
class BoardShot:
    """One shot as it would be asked for. `request` is None where it is blocked, and `problem` says why."""

    id: str
    take: int
    line: int | None
    prompt: str
    request: Request | None
    key: str | None
    estimated_usd: Decimal
    continue_from: str | None
    image: PictureSource | None
    last_image: PictureSource | None
    problem: str | None = None
    references: tuple[PictureSource, ...] = ()
    words: Words = NO_WORDS


@dataclass(frozen=True)
class Board:
    """A storyboard that was read and checked. Nothing of it may be submitted while it has problems."""

    title: str
    shots: tuple[BoardShot, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    file: str
    words: Words = NO_WORDS
