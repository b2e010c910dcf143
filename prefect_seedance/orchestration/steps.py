"""The steps of a board run as Prefect shows them: up to thirty shots one by one, more of them in groups."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from prefect_seedance.errors import SeedanceError
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
"""The most shots that show as task runs of their own; the Prefect server spends 40 ms of CPU on every task run."""

GROUPS = 24
"""The most task runs of a larger board, each of which stands for a group of shots."""


class PrefectSteps(DirectSteps):
    """Every step of every shot as a task run named after the shot, without retries: the board run decides about those.

    Where Prefect itself fails, the step is taken once more without a task run. That is safe, because a step that was
    taken already is found in the ledger.
    """

    def __init__(self, session: RenderSession, credentials: RunpodCredentials, store: VideoStore) -> None:
        super().__init__(session)
        self.blocks = (credentials, store)
        self.store = store

    async def publish(self, shot: str, picture: PictureSource, size: str) -> str:
        unseen = partial(super().publish, shot, picture, size)
        return await self._show(unseen, shot, tasks.publish_image, picture, size, self.store)

    async def last_frame(self, shot: str, record: Record) -> str:
        return await self._show(
            partial(super().last_frame, shot, record), shot, tasks.take_last_frame, record, self.store
        )

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
        unseen = partial(super().submit, shot, request, image, last_image, references, retry=retry)
        seen = tasks.submit_clip
        return await self._show(unseen, shot, seen, request, *self.blocks, image, last_image, references, retry=retry)

    async def wait(self, shot: str, record: Record) -> Record:
        return await self._show(partial(super().wait, shot, record), shot, tasks.wait_for_clip, record, *self.blocks)

    async def persist(self, shot: str, record: Record) -> Record:
        return await self._show(partial(super().persist, shot, record), shot, tasks.persist_clip, record, *self.blocks)

    async def _show(
        self,
        unseen: Callable[[], Awaitable[T]],
        shot: str,
        step: Task[P, Coroutine[Any, Any, T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        name = f"{step.name.replace('_', ' ')}: {shot}"
        try:
            with tasks.sharing(self.session):
                return await step.with_options(task_run_name=lambda: name, retries=0)(*args, **kwargs)
        except SeedanceError:
            raise
        except Exception:
            return await unseen()


class GroupedSteps(DirectSteps):
    """The plain steps, with a few task runs that stand for groups of shots."""

    async def together(self, shots: Sequence[ShotTask]) -> None:
        size = max(1, -(-len(shots) // GROUPS))
        groups = (_shots(n, Group(shots[n : n + size])) for n in range(0, len(shots), size))
        await asyncio.gather(*groups, return_exceptions=True)  # a server that has gone ends no shot
        await asyncio.gather(*shots)


class Group:
    """Shots that share one task run. A plain class, since Prefect searches lists and dataclasses for futures."""

    def __init__(self, shots: Sequence[ShotTask]) -> None:
        self.shots = shots


@task(task_run_name="shots from {first}", cache_policy=NO_CACHE, persist_result=False)
async def _shots(first: int, group: Group) -> None:
    """Show a group of shots as one task run; each of them runs as it would alone."""
    await asyncio.gather(*group.shots)
