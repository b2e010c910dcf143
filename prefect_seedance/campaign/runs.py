"""Whoever begins runs of shards, as a protocol: how a run stands, and what may be asked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from prefect_seedance.rendering.options import Options


@dataclass(frozen=True)
class Seen:
    """A run of a shard as it stood when it was looked at. `attempt` counts the runs of its shard from 1."""

    id: str
    shard: int
    attempt: int
    state: Literal["waiting", "starting", "running", "ended"]
    message: str = ""
    place: str = ""
    """Where it waits for somebody to take it up, in words."""


class Away(Exception):
    """Whoever counts the runs does not answer now, and may later."""


class Runs(Protocol):
    """Whoever begins runs of shards and knows how they stand. Each call raises `Away` where nobody answers."""

    async def of_campaign(self) -> Sequence[Seen]:
        """Every run of the campaign that is known, whoever began it."""

    async def begin(self, shard: int, attempt: int, options: Options) -> Seen:
        """Begin that attempt, or return the run that was begun for it already."""

    async def look(self, ids: Collection[str]) -> Sequence[Seen]:
        """How these runs stand; one that is not known any more is left out."""

    async def is_dead(self, run: str, why: str) -> None:
        """Nobody works at *run* any more, and *why*: it has ended."""

    async def call_back(self, ids: Collection[str]) -> None:
        """End those of these runs that have not begun."""


def newest(runs: Sequence[Seen]) -> dict[int, Seen]:
    """The last attempt of each shard."""
    return {run.shard: run for run in sorted(runs, key=lambda run: run.attempt)}
