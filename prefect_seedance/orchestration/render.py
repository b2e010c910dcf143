"""A board rendered inside a Prefect flow: its progress is shown in the UI, and approval is asked for there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any, cast

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.concurrency.asyncio import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.utilities.annotations import quote

from prefect_seedance.budget.limits import Limits
from prefect_seedance.catalog.endpoints import KNOWN, Catalog
from prefect_seedance.errors import SeedanceError
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.record import Record
from prefect_seedance.orchestration import artifacts, events, logs, tasks
from prefect_seedance.orchestration.approval import ask, telling
from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore
from prefect_seedance.orchestration.display import Display, made
from prefect_seedance.orchestration.production import Production
from prefect_seedance.orchestration.states import final_state
from prefect_seedance.orchestration.steps import SHOWN_ONE_BY_ONE, GroupedSteps, PrefectSteps
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.production.write import Content, write_production
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.plan import Planned
from prefect_seedance.rendering.render import render_board as render
from prefect_seedance.rendering.steps import Steps
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import Board

GLOBAL_LIMIT = "seedance-jobs"
"""Where a Prefect global concurrency limit of this name exists, runs share its slots."""

LEASE_SECONDS = 60.0
"""The longest that a killed run keeps others waiting, where leases survive the server; a living run renews its own."""

RELEASE_SECONDS = 10.0
"""The longest that a server that has gone may hold up the end of a run."""


def options_of(
    limits: SpendingLimits | None,
    budget: float | None,
    approve: str | None,
    max_in_flight: int,
    retry_failed: int,
    wait_minutes: float,
) -> Options:
    """The options of a run from the parameters that the rendering flows share; money is in dollars."""
    return Options(
        budget=None if budget is None else Decimal(str(budget)),
        limits=limits.limits() if limits else Limits(),
        approve=approve or None,
        max_in_flight=max_in_flight,
        retry_failed=retry_failed,
        wait_seconds=wait_minutes * 60,
    )


async def render_board(
    board: Board,
    credentials: RunpodCredentials,
    store: VideoStore,
    options: Options,
    catalog: Catalog = KNOWN,
    flow_run_id: str | None = None,
    *,
    fail_on_partial: bool = False,
) -> State[Production]:
    """Render *board* and return `Completed`, or `Failed` where nothing is stored, with its production.

    Where only some shots are stored, *fail_on_partial* decides. What it claims counts as claimed by *flow_run_id*, else
    by the flow run that it is in.
    Raises `BadInput`, `BadStore`, `ApiUnreachable` or `OverBudget` before anything is submitted.
    """
    opened = store.open()
    try:
        host = PrefectHost(credentials, store, flow_run_id)
        manifest = await render(board, credentials.account(), opened, options, catalog, host)
        made = host.production or Production.of(manifest, None, opened)
        failed = made.status == "nothing" or (made.status == "partial" and fail_on_partial)
        return final_state(made, made.message, failed=failed)
    finally:
        await opened.aclose()


class PrefectHost:
    """Shows a board run in the Prefect UI. Losing the server loses what is shown, never a clip or its production.

    But for the run of a deployment with a limit on its runs: Prefect cancels one that can't renew its place.
    """

    def __init__(self, credentials: RunpodCredentials, store: VideoStore, flow_run_id: str | None = None) -> None:
        self.flow_run_id: str | None = flow_run_id or flow_run.get_id()
        self.credentials = credentials
        self.store = store
        self.events = events.StepEvents()
        self.one_by_one = True
        self.display = Display()
        self.progress: artifacts.Progress | None = None
        self.production: Production | None = None

    def steps(self, session: RenderSession, shots: int) -> Steps:
        self.one_by_one = shots <= SHOWN_ONE_BY_ONE
        return PrefectSteps(session, self.credentials, self.store) if self.one_by_one else GroupedSteps(session)

    async def write(self, session: RenderSession, content: Content) -> tuple[Manifest, str]:
        try:
            with tasks.sharing(session):
                # Quoted, Prefect does not walk through a thousand shots in search of futures.
                return await tasks.write_production(cast("Content", quote(content)), self.store)
        except SeedanceError:
            raise
        except Exception:  # the server has gone: the production is written all the same, unseen
            return await write_production(session.ledger.store, content)

    def say(self, line: str) -> None:
        logs.log_line(line)

    def step_taken(self, record: Record) -> None:
        self.events(record)

    def budget_refused(self, why: str) -> None:
        events.budget_refused(why)

    async def plan_made(self, planned: Planned) -> None:
        await artifacts.plan_table(planned)

    async def approval(self, planned: Planned, money: Sequence[str]) -> None:
        with telling():
            await ask(planned, money)

    @asynccontextmanager
    async def slots(self, wanted: int) -> AsyncIterator[int]:
        async with global_slots(wanted) as places:
            yield places

    async def shots_begin(self, total: int) -> None:
        self.progress = artifacts.Progress(total)
        await self.display.show(self.progress.begin())

    async def shot_ended(self, line: str) -> None:
        logs.log_line(line, logged=self.one_by_one)
        if self.progress:
            await self.display.show(self.progress.one_more())

    async def production_made(self, manifest: Manifest, folder: str, store: Store, money: Sequence[str]) -> None:
        self.production = Production.of(manifest, folder, store)
        made(self.production)
        events.production_made(manifest, folder, store)
        if self.progress:
            await self.display.show(self.progress.end())
        await Display().show(artifacts.results(manifest, folder, store, money))  # the server may be back


@asynccontextmanager
async def global_slots(wanted: int) -> AsyncIterator[int]:
    """One lease of the global limit for the whole run, where there is one, and its places; else *wanted*.

    Losing it or the server loses no result.
    """
    limit = await _global_limit()
    slots = min(wanted, limit.limit) if limit else 0
    async with AsyncExitStack() as stack:
        if limit and slots > 0:
            _say_if_it_waits(slots, limit.limit - limit.active_slots)
            # Not strict, so that a renewal that fails stops nothing; Prefect before 3.7 has no other word for that.
            lease = concurrency(GLOBAL_LIMIT, occupy=slots, lease_duration=LEASE_SECONDS, strict=False)
            await lease.__aenter__()
            stack.push_async_callback(_release, lease)
        yield slots or wanted


async def _release(lease: Any) -> None:
    try:
        async with asyncio.timeout(RELEASE_SECONDS):
            await lease.__aexit__(None, None, None)
    except Exception as error:  # the server has gone; one that keeps its leases ends it, and the clips are there
        logs.log().warning("The slots of %s could not be given back: %s", GLOBAL_LIMIT, error)


async def _global_limit() -> GlobalConcurrencyLimitResponse | None:
    async with get_client() as client:
        try:
            limit = await client.read_global_concurrency_limit_by_name(GLOBAL_LIMIT)
        except ObjectNotFound:
            return None
        return limit if limit.active else None


def _say_if_it_waits(slots: int, free: int) -> None:
    if free < slots:
        logs.log_line(
            f"{slots} places of {GLOBAL_LIMIT} are wanted and {max(free, 0)} are free; nothing is submitted until they "
            f"are; if no other run goes on, say `prefect gcl update {GLOBAL_LIMIT} --active-slots 0`."
        )
