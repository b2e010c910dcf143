"""The steps of a board run as Prefect shows them: up to thirty shots one by one, more of them in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.record import Record
from prefect_seedance.models import Request
from prefect_seedance.orchestration import tasks
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore
from prefect_seedance.rendering.steps import DirectSteps, ShotTask
from prefect_seedance.sources.images import PictureSource

P = ParamSpec("P")
T = TypeVar("T")

SHOWN_ONE_BY_ONE = 30
"""Up to so many shots each shows as its own task runs; the Prefect server spends 40 ms of CPU on every task run."""

GROUPS = 24
"""Above that groups of shots share so many task runs in all, whatever the size of the board."""


class PrefectSteps(DirectSteps):
    """Every step of every shot as a task run named after the shot. What is tried again, the board run decides."""

    def __init__(self, session: RenderSession, credentials: RunpodCredentials, store: VideoStore) -> None:
        super().__init__(session)
        self.blocks = (credentials, store)
        self.store = store

    async def publish(self, shot: str, picture: PictureSource, size: str) -> str:
        return await self._show(tasks.publish_image, shot, picture, size, self.store)

    async def last_frame(self, shot: str, record: Record) -> str:
        return await self._show(tasks.take_last_frame, shot, record, self.store)

    async def submit(
        self, shot: str, request: Request, image: str | None, last_image: str | None, *, retry: bool
    ) -> Record:
        return await self._show(tasks.submit_clip, shot, request, *self.blocks, image, last_image, retry=retry)

    async def wait(self, shot: str, record: Record) -> Record:
        return await self._show(tasks.wait_for_clip, shot, record, *self.blocks)

    async def persist(self, shot: str, record: Record) -> Record:
        return await self._show(tasks.persist_clip, shot, record, *self.blocks)

    async def _show(self, step: Task[P, Coroutine[Any, Any, T]], shot: str, *args: P.args, **kwargs: P.kwargs) -> T:
        name = f"{step.name.replace('_', ' ')}: {shot}"
        with tasks.sharing(self.session):
            return await step.with_options(task_run_name=lambda: name, retries=0)(*args, **kwargs)


class GroupedSteps(DirectSteps):
    """The plain steps, with a few task runs that stand for groups of shots."""

    async def together(self, shots: Sequence[ShotTask]) -> None:
        size = -(-len(shots) // GROUPS)
        await asyncio.gather(*(_shots(n, Group(shots[n : n + size])) for n in range(0, len(shots), size)))


class Group:
    """Shots that share one task run. A plain class: Prefect does not walk through it."""

    def __init__(self, shots: Sequence[ShotTask]) -> None:
        self.shots = shots


@task(task_run_name="shots from {first}", cache_policy=NO_CACHE, persist_result=False)
async def _shots(first: int, group: Group) -> None:
    """Show a group of shots as one task run; each of them runs as it would alone."""
    await asyncio.gather(*group.shots)
