"""The five steps of a shot, as a board run takes them. Who shows them to people is the affair of the maker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from prefect_seedance.errors import LedgerUnreadable
from prefect_seedance.generation import frames
from prefect_seedance.generation.persist import persist
from prefect_seedance.generation.poll import wait
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.generation.submit import submit
from prefect_seedance.ledger.record import Record
from prefect_seedance.ledger.rules import History
from prefect_seedance.models import Request
from prefect_seedance.sources.images import PictureSource

ShotTask = asyncio.Task[None]


class Steps(Protocol):
    """What happens to a shot, step by step. Each may be repeated, because the ledger decides. *shot* is its id."""

    async def publish(self, shot: str, picture: PictureSource, size: str) -> str:
        """Put a picture where the provider can fetch it; returns its path in the store, or its own https link."""

    async def last_frame(self, shot: str, record: Record) -> str:
        """Keep the last frame of a stored clip as a picture; returns its path in the store."""

    async def submit(
        self,
        shot: str,
        request: Request,
        image: str | None,
        last_image: str | None,
        references: Sequence[str] = (),
        *,
        retry: bool,
    ) -> Record:
        """Make sure that a job for *request* was submitted, by whomever. The only step that may cost money."""

    async def wait(self, shot: str, record: Record) -> Record:
        """Wait until the job of *record* has ended."""

    async def persist(self, shot: str, record: Record) -> Record:
        """Bring the clip of a completed job into the store."""

    async def together(self, shots: Sequence[ShotTask]) -> None:
        """Wait for the tasks of all shots; they run already."""


class DirectSteps:
    """The steps themselves, shown to nobody."""

    def __init__(self, session: RenderSession) -> None:
        self.session = session

    async def publish(self, shot: str, picture: PictureSource, size: str) -> str:
        return await frames.publish_picture(self.session.ledger.store, picture, size)

    async def last_frame(self, shot: str, record: Record) -> str:
        return await frames.take_last_frame(self.session.ledger.store, record)

    async def submit(
        self,
        shot: str,
        request: Request,
        image: str | None,
        last_image: str | None,
        references: Sequence[str] = (),
        *,
        retry: bool,
    ) -> Record:
        return last_of(await submit(self.session, request, image, last_image, references, retry=retry))

    async def wait(self, shot: str, record: Record) -> Record:
        return last_of(await wait(self.session, await self.session.history_of(record)))

    async def persist(self, shot: str, record: Record) -> Record:
        return last_of(await persist(self.session, await self.session.history_of(record)))

    async def together(self, shots: Sequence[ShotTask]) -> None:
        await asyncio.gather(*shots)


def last_of(history: History) -> Record:
    """The record that tells the state after a step was taken; raises `LedgerUnreadable` where there is none."""
    if history.last is None:
        raise LedgerUnreadable(f"{history.key} has no history though a step was just taken; nothing more is submitted.")
    return history.last
