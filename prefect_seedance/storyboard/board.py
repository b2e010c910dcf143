"""A storyboard that was read and checked: its shots with their requests, keys and prices, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from prefect_seedance.models import NO_WORDS, Problem, Request, Words
from prefect_seedance.sources.images import PictureSource
from prefect_seedance.sources.sounds import SoundSource

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
    voice: SoundSource | None = None
    """The sound file that is heard over it."""
    spoken: BoardShot | None = None
    """The text that is spoken over it: asked for, and paid, like a shot of its own."""

    @property
    def narration(self) -> str | None:
        """What is heard over it, by its content; None where nothing is."""
        if self.spoken is not None:
            return self.spoken.key
        return self.voice.sha256 if self.voice is not None else None


@dataclass(frozen=True)
class Board:
    """A storyboard that was read and checked. Nothing of it may be submitted while it has problems."""

    title: str
    shots: tuple[BoardShot, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    file: str
    words: Words = NO_WORDS
    sound: Literal["off", "clips"] = "clips"
    music: SoundSource | None = None

    @property
    def narrations(self) -> tuple[BoardShot, ...]:
        """The texts that are spoken, in the order of their shots."""
        return tuple(shot.spoken for shot in self.shots if shot.spoken is not None)

    @property
    def asked(self) -> tuple[BoardShot, ...]:
        """All that is asked for: the shots, then what is spoken over them."""
        return (*self.shots, *self.narrations)
