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
from prefect_seedance.budget.months import Reservation, Spending
from prefect_seedance.budget.run_budget import Purse
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
from prefect_seedance.orchestration.shots import Shots
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.rendering.plan import Planned, make_plan
from prefect_seedance.runpod.client import open_client
from prefect_seedance.storage.store import refuse_other_kind
from prefect_seedance.storyboard.reading import Board
from prefect_seedance.video import decoder

GLOBAL_LIMIT = "seedance-jobs"
"""Where a Prefect global concurrency limit of this name exists, runs share its slots."""


LEASE_SECONDS = 60.0
"""So long a killed run keeps others waiting; a living one renews it."""


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
        ledger, spending = Ledger(opened), Spending(opened)
        planned = await make_plan(board, ledger, catalog=catalog, retry_failed=options.retry_failed)
        await shown.plan_table(planned)
        if planned.plan.problems:
            raise BadInput(*map(str, planned.plan.problems))
        async with open_client(account) as client:
            run = Run(
                client,
                ledger,
                catalog=catalog,
                waiting=Waiting.at(account.kind, deadline=options.wait_seconds),
                max_in_flight=options.max_in_flight,
                retry_failed=options.retry_failed,
                flow_run_id=flow_run.get_id(),
                on_step=shown.Teller(opened),
            )
            run.purse = await _purse(planned, run, spending, options)
            return await _render(board, planned, run, credentials, store)
    finally:
        await opened.aclose()


async def _purse(planned: Planned, run: Run, spending: Spending, options: Options) -> Purse:
    """Check everything that could refuse this run, cheapest first, and set its money aside last."""
    limits = options.limits
    if not planned.to_pay:
        return Purse()
    budget = min((limit for limit in (options.budget, limits.per_run) if limit is not None), default=None)
    purse = Purse(budget, spending, limits=limits)
    purse.charged = _claimed_before(planned, run.flow_run_id)
    if budget is not None and purse.taken_usd + planned.plan.estimated_usd > budget:
        before = f" after ${purse.taken_usd:.2f} spent by this run before" if purse.taken_usd else ""
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
    await decoder.prove()
    await approve_or_refuse(planned, limits.approve_above, options.approve, await purse.told())
    purse.reservation = await _reserve(planned, run, spending, limits)
    for line in await purse.told():
        shown.tell(line)
    return purse


def _claimed_before(planned: Planned, flow_run_id: str | None) -> dict[str, Decimal]:
    """What a retried flow run has spent already: the claims of this very flow run among the board's keys."""
    if flow_run_id is None:
        return {}
    final: dict[str, Record] = {}
    for history in planned.histories.values():
        final |= {r.claim_id: r for r in history.records if r.writer.flow_run_id == flow_run_id}
    return {claim_id: record.charged_usd for claim_id, record in final.items()}


async def _reserve(planned: Planned, run: Run, spending: Spending, limits: Limits) -> Reservation:
    writer = this_writer(run.flow_run_id)
    try:
        return await spending.reserve(planned.to_pay, limits, writer, _now())
    except OverBudget:
        await settle_what_is_over(run, spending)  # what a dead run had set aside may be all that stands in the way
    try:
        return await spending.reserve(planned.to_pay, limits, writer, _now())
    except OverBudget as error:
        shown.budget_refused(str(error))
        raise


async def _render(
    board: Board, planned: Planned, run: Run, credentials: RunpodCredentials, store: VideoStore
) -> State[Manifest]:
    progress = await shown.Progress.begin(len({shot.key for shot in board.shots}))
    shots = Shots(board, planned, run, credentials, store, on_end=progress.one_more)
    try:
        async with global_slots(min(run.max_in_flight, len(shots.to_render))):
            await shots.render()
    finally:
        await to_the_end(lambda: _settle(run))
    if shots.to_render:
        with contextlib.suppress(SeedanceError):  # dead runs', whose clips are home now; if not here, the collector's
            await settle_what_is_over(run, Spending(run.ledger.store))
    money = await run.purse.told()
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
        warnings=planned.warnings,
    )
    await progress.end()
    await shown.results(manifest, folder, run.ledger.store, money)
    return _state_of(manifest)


async def _settle(run: Run) -> None:
    """Replace what was set aside by what was charged, also when the run is cancelled."""
    purse = run.purse
    if purse.spending and purse.reservation:
        histories = await asyncio.gather(*map(run.ledger.load, purse.reservation.keys))
        await purse.spending.settle(purse.reservation, histories, _now())


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
