"""A board from its plan to its production: checks, limits, approval, shots, what is left for people. No Prefect."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Protocol

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import Reservation, Spending
from prefect_seedance.budget.run_budget import Purse
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.errors import BadInput, OverBudget, SeedanceError
from prefect_seedance.generation.collect import settle_what_is_over
from prefect_seedance.generation.poll import Waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.durable import to_the_end
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.production.write import Content, write_production
from prefect_seedance.rendering.approval import needs_approval
from prefect_seedance.rendering.board_run import BoardRun
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.plan import Planned, make_plan
from prefect_seedance.rendering.steps import Steps
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import open_client
from prefect_seedance.storage.store import Store, refuse_other_kind
from prefect_seedance.storyboard.checks import Board


class Host(Protocol):
    """Whoever runs a board: shows it to people, asks them, and may limit how many jobs go out at once."""

    flow_run_id: str | None

    def steps(self, session: RenderSession) -> Steps:
        """The steps of every shot, shown or not."""

    def say(self, line: str) -> None:
        """One line for whoever watches the run."""

    def step_taken(self, record: Record) -> None:
        """A record was just written. Must not fail."""

    def budget_refused(self, why: str) -> None:
        """A limit stopped the run before anything was submitted."""

    async def plan_made(self, planned: Planned) -> None:
        """The plan, before anything is spent."""

    async def approval(self, planned: Planned, money: Sequence[str]) -> None:
        """Return once a person has approved *planned*; raises `NotApproved` for a no, and where nobody can be asked."""

    def slots(self, wanted: int) -> AbstractAsyncContextManager[None]:
        """*wanted* places among all runs that share this host's limit on jobs in flight."""

    async def shots_begin(self, total: int) -> None:
        """*total* clips are about to be rendered or found."""

    async def shot_ended(self, line: str) -> None:
        """A shot has come as far as it goes."""

    async def production_made(self, manifest: Manifest, folder: str, store: Store, money: Sequence[str]) -> None:
        """All is done and written."""


async def render_board(
    board: Board, account: Account, store: Store, options: Options, catalog: Catalog, host: Host
) -> Manifest:
    """Render *board* and return the manifest of what became of it.

    Raises `BadInput`, `BadStore`, `ApiUnreachable` or `OverBudget` before anything is submitted; after that what goes
    wrong stands in the manifest.
    """
    await refuse_other_kind(store, account.kind)
    ledger = Ledger(store)
    planned = await make_plan(board, ledger, catalog=catalog, retry_failed=options.retry_failed)
    await host.plan_made(planned)
    if planned.plan.problems:
        raise BadInput(*map(str, planned.plan.problems))
    account.check()
    async with open_client(account) as client:
        session = RenderSession(
            client,
            ledger,
            catalog=catalog,
            waiting=Waiting.at(account.kind, deadline=options.wait_seconds),
            max_in_flight=options.max_in_flight,
            retry_failed=options.retry_failed,
            flow_run_id=host.flow_run_id,
            on_step=host.step_taken,
        )
        session.purse = await _purse(planned, session, Spending(store), options, host)
        return await _render(board, planned, session, host)


async def _purse(planned: Planned, session: RenderSession, spending: Spending, options: Options, host: Host) -> Purse:
    """Check everything that could refuse this run, cheapest first, and set its money aside last."""
    limits = options.limits
    if not planned.to_pay:
        return Purse()
    budget = min((limit for limit in (options.budget, limits.per_run) if limit is not None), default=None)
    purse = Purse(budget, spending, limits=limits)
    purse.charged = _claimed_before(planned, session.flow_run_id)
    if budget is not None and purse.taken_usd + planned.plan.estimated_usd > budget:
        before = f" after ${purse.taken_usd:.2f} spent by this run before" if purse.taken_usd else ""
        why = (
            f"The plan costs ${planned.plan.estimated_usd:.2f}{before}, more than the budget of ${budget:.2f}; nothing "
            "was submitted; raise the budget or render fewer shots."
        )
        host.budget_refused(why)
        raise OverBudget(why)
    for model in sorted(planned.models):
        await session.client.check(model)
    await session.ledger.store.belongs_to(session.client.account.kind)
    await session.ledger.store.prove()
    if needs_approval(planned.plan, limits.approve_above, options.approve):
        await host.approval(planned, await purse.told())
    purse.reservation = await _reserve(planned, session, spending, limits, host)
    for line in await purse.told():
        host.say(line)
    return purse


def _claimed_before(planned: Planned, flow_run_id: str | None) -> dict[str, Decimal]:
    """What a retried flow run has spent already: the claims of this very flow run among the board's keys."""
    if flow_run_id is None:
        return {}
    final: dict[str, Record] = {}
    for history in planned.histories.values():
        final |= {r.claim_id: r for r in history.records if r.writer.flow_run_id == flow_run_id}
    return {claim_id: record.charged_usd for claim_id, record in final.items()}


async def _reserve(
    planned: Planned, session: RenderSession, spending: Spending, limits: Limits, host: Host
) -> Reservation:
    writer = this_writer(session.flow_run_id)
    try:
        return await spending.reserve(planned.to_pay, limits, writer, _now())
    except OverBudget:
        await settle_what_is_over(session, spending)  # what a dead run had set aside may be all that stands in the way
    try:
        return await spending.reserve(planned.to_pay, limits, writer, _now())
    except OverBudget as error:
        host.budget_refused(str(error))
        raise


async def _render(board: Board, planned: Planned, session: RenderSession, host: Host) -> Manifest:
    run = BoardRun(board, planned, session, host.steps(session), host.shot_ended)
    await host.shots_begin(len({shot.key for shot in board.shots}))
    try:
        async with host.slots(min(session.max_in_flight, len(run.to_render))):
            await run.render()
    finally:
        await to_the_end(lambda: _reconcile(session))
    if run.to_render:
        with contextlib.suppress(SeedanceError):  # dead runs', whose clips are home now; if not here, the collector's
            await settle_what_is_over(session, Spending(session.ledger.store))
    money = await session.purse.told()
    for line in money:
        host.say(line)
    store = session.ledger.store
    manifest, folder = await write_production(store, _content(board, planned, run))
    await host.production_made(manifest, folder, store, money)
    return manifest


def _content(board: Board, planned: Planned, run: BoardRun) -> Content:
    requests = {shot.id: shot.request for shot in board.shots if shot.request}
    return Content(
        title=board.title,
        shots=run.results(),
        plan_hash=planned.plan.plan_hash,
        estimated_usd=planned.plan.estimated_usd,
        spent_usd=run.spent_usd,
        reused_usd=planned.plan.reused_usd,
        made=_now(),
        prompts={shot.id: shot.prompt for shot in board.shots},
        wanted_seconds={shot: request.duration for shot, request in requests.items()},
        models={shot: request.model for shot, request in requests.items()},
        notes=planned.warnings,
    )


async def _reconcile(session: RenderSession) -> None:
    """Replace what was set aside by what was charged, also when the run is cancelled."""
    purse = session.purse
    if purse.spending and purse.reservation:
        histories = await asyncio.gather(*map(session.ledger.load, purse.reservation.keys))
        await purse.spending.settle(purse.reservation, histories, _now())


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
