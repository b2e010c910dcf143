"""A board from its plan to its production, inside a Prefect flow: checks, limits, approval, shots, what people see."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.concurrency.asyncio import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.run_budget import Priced, RunBudget
from prefect_seedance.catalog.endpoints import KNOWN, Catalog
from prefect_seedance.errors import BadInput, OverBudget, SeedanceError
from prefect_seedance.generation.collect import settle_what_is_over
from prefect_seedance.generation.poll import Waiting
from prefect_seedance.generation.session import Run
from prefect_seedance.ledger.durable import to_the_end
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.models import Frozen
from prefect_seedance.orchestration import shown, tasks
from prefect_seedance.orchestration.approval import approve_or_refuse
from prefect_seedance.orchestration.blocks import RunpodCredentials, SpendingLimits, VideoStore
from prefect_seedance.orchestration.display import Display, made
from prefect_seedance.orchestration.shots import Shots
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.rendering.plan import Planned, make_plan
from prefect_seedance.runpod.client import open_client
from prefect_seedance.storage.store import refuse_other_kind
from prefect_seedance.storyboard.reading import Board

GLOBAL_LIMIT = "seedance-jobs"
"""Where a Prefect global concurrency limit of this name exists, runs share its slots."""


LEASE_SECONDS = 60.0
"""So long a killed run keeps others waiting; a living one renews it."""
LET_GO_SECONDS = 10.0


class Options(Frozen):
    """How a board is rendered."""

    budget: Decimal | None = None
    limits: Limits = Limits()
    approve: str | None = None
    max_in_flight: int = 10
    retry_failed: int = 0
    wait_seconds: float = 3600.0

    @classmethod
    def of(
        cls,
        limits: SpendingLimits | None,
        budget: float | None,
        approve: str | None,
        max_in_flight: int,
        retry_failed: int,
        wait_minutes: float,
    ) -> Options:
        """From the parameters that the rendering flows have in common."""
        return cls(
            budget=None if budget is None else Decimal(str(budget)),
            limits=limits.limits() if limits else Limits(),
            approve=approve or None,
            max_in_flight=max_in_flight,
            retry_failed=retry_failed,
            wait_seconds=wait_minutes * 60,
        )


async def render_board(
    board: Board, credentials: RunpodCredentials, store: VideoStore, options: Options, catalog: Catalog = KNOWN
) -> State[Manifest]:
    """Render *board* and return `Completed`, `Completed(name="Partial")` or `Failed(name="Nothing")` with its manifest.

    Raises `BadInput`, `BadStore`, `ApiUnreachable` or `OverBudget` before anything is submitted.
    """
    account, opened = credentials.account(), store.open()
    try:
        await refuse_other_kind(opened, account.kind)
        ledger = Ledger(opened)
        planned = await make_plan(board, ledger, account=account, catalog=catalog, retry_failed=options.retry_failed)
        await shown.plan_table(planned)
        if planned.plan.problems:
            raise BadInput(*map(str, planned.plan.problems))
        async with open_client(account) as client:
            run = Run(
                client,
                ledger,
                catalog=catalog,
                budget=_budget_of(planned, ledger, options),
                waiting=Waiting.at(account.kind, deadline=options.wait_seconds),
                max_in_flight=options.max_in_flight,
                retry_failed=options.retry_failed,
                flow_run_id=flow_run.get_id(),
                on_step=shown.Teller(opened),
            )
            await _check(planned, run, options)
            return await _render(board, planned, run, credentials, store)
    finally:
        await opened.aclose()


def _budget_of(planned: Planned, ledger: Ledger, options: Options) -> RunBudget:
    """What a run of *planned* may spend, whether or not its plan would pay: what is resumed may yet be claimed."""
    limits, run_id = options.limits, flow_run.get_id()
    budget = min((limit for limit in (options.budget, limits.per_run) if limit is not None), default=None)
    priced = Priced(planned.to_pay, limits, MonthlySpend(ledger.store), ledger.load_whole, this_writer(run_id))
    before = {record.claim_id: record.charged_usd for record in _claimed_before(planned, run_id)}
    return RunBudget(budget, priced=priced, charged=before)


async def _check(planned: Planned, run: Run, options: Options) -> None:
    """Check everything that could refuse this run, cheapest first."""
    if not planned.to_pay:
        return
    budget = run.budget.budget
    # What is out and may be tried again stands in the plan: it is paid once.
    spent = [r.charged_usd for r in _claimed_before(planned, run.flow_run_id) if r.key not in planned.to_pay]
    taken = sum(spent, Decimal(0))
    if budget is not None and taken + planned.plan.estimated_usd > budget:
        before = f" after ${taken:.2f} spent by this run before" if taken else ""
        why = (
            f"The plan costs ${planned.plan.estimated_usd:.2f}{before}, more than the budget of ${budget:.2f}; nothing "
            "was submitted; raise the budget or render fewer shots."
        )
        shown.budget_refused(why)
        raise OverBudget(why)
    for model in sorted(planned.models):
        await run.client.check(model)
    await run.ledger.store.belongs_to(run.client.account.kind)
    await run.ledger.store.prove()
    await approve_or_refuse(planned, options.limits.approve_above, options.approve, await run.budget.lines())


def _claimed_before(planned: Planned, flow_run_id: str | None) -> list[Record]:
    """What a retried flow run has claimed already among the board's keys: the last record of each claim."""
    if flow_run_id is None:
        return []
    final: dict[str, Record] = {}
    for history in planned.histories.values():
        final |= {r.claim_id: r for r in history.records if r.writer.flow_run_id == flow_run_id}
    return list(final.values())


async def _reserve(run: Run) -> None:
    try:
        await run.budget.reserve()
    except OverBudget as error:
        shown.budget_refused(str(error))
        raise
    for line in await run.budget.lines():
        shown.tell(line)


async def _render(
    board: Board, planned: Planned, run: Run, credentials: RunpodCredentials, store: VideoStore
) -> State[Manifest]:
    progress = await shown.Progress.begin(len({shot.key for shot in board.shots}))
    display = Display()
    shots = Shots(board, planned, run, credentials, store, on_end=lambda: display.show(progress.one_more()))
    notes: list[str] = []
    try:
        async with global_slots(min(run.max_in_flight, len(shots.to_render))):
            await _reserve(run)
            await shots.render()
    finally:
        notes += await to_the_end(run.budget.close)
    if shots.to_render:
        with contextlib.suppress(SeedanceError):  # dead runs', whose clips are home now; if not here, the collector's
            await settle_what_is_over(run, MonthlySpend(run.ledger.store))
    money = [*notes, *await run.budget.lines()]
    for line in money:
        shown.tell(line)
    manifest, folder = await tasks.write_production(
        board.title,
        shots.results(),
        store,
        run=run,
        prompts={shot.id: shot.prompt for shot in board.shots},
        wanted_seconds={shot.id: shot.request.duration for shot in board.shots if shot.request},
        models={shot.id: shot.request.model for shot in board.shots if shot.request},
        plan_hash=planned.plan.plan_hash,
        estimated_usd=planned.plan.estimated_usd,
        spent_usd=shots.spent_usd,
        reused_usd=planned.plan.reused_usd,
        now=_now(),
        warnings=(*planned.warnings, *notes),
    )
    made(manifest)
    await display.show(progress.end())
    await display.show(shown.results(manifest, folder, run.ledger.store, money))
    return _state_of(manifest)


def _state_of(manifest: Manifest) -> State[Manifest]:
    stored = sum(shot.status == "stored" for shot in manifest.shots)
    told = f"{stored} of {len(manifest.shots)} shots stored, ${manifest.spent_usd:.2f} spent"
    match manifest.status:
        case "complete":
            return Completed(message=told, data=manifest)
        case "partial":
            return Completed(name="Partial", message=told, data=manifest)
        case "nothing":
            return Failed(name="Nothing", message=told, data=manifest)


@asynccontextmanager
async def global_slots(wanted: int) -> AsyncIterator[None]:
    """One lease of the global limit for the whole run, where there is one. Losing it or the server loses no result."""
    slots = min(wanted, await _global_limit())
    async with AsyncExitStack() as stack:
        if slots > 0:
            lease = concurrency(
                GLOBAL_LIMIT, occupy=slots, lease_duration=LEASE_SECONDS, raise_on_lease_renewal_failure=False
            )
            await lease.__aenter__()
            stack.push_async_callback(_let_go, lease)
        yield


async def _let_go(lease: Any) -> None:
    try:
        async with asyncio.timeout(LET_GO_SECONDS):
            await lease.__aexit__(None, None, None)
    except Exception as error:  # the server has gone; its lease ends by itself, and the clips are there
        shown.log().warning("The slots of %s could not be given back: %s", GLOBAL_LIMIT, error)


async def _global_limit() -> int:
    async with get_client() as client:
        try:
            limit = await client.read_global_concurrency_limit_by_name(GLOBAL_LIMIT)
        except ObjectNotFound:
            return 0
        return limit.limit if limit.active else 0


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
