"""A board from its plan to its production: checks, limits, approval, shots, what is left for people. No Prefect."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Protocol

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.run_budget import Priced, RunBudget
from prefect_seedance.catalog.endpoints import Catalog, own_rows
from prefect_seedance.errors import BadInput, OverBudget, SeedanceError, summary
from prefect_seedance.generation.poll_times import Waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.durable import run_to_completion
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.models import AUTO, LastFrame
from prefect_seedance.production.at_hand import kept_at_hand
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.production.write import Content, manifest_of
from prefect_seedance.rendering.approval import needs_approval
from prefect_seedance.rendering.board_run import BoardRun, to_render
from prefect_seedance.rendering.endpoints import check_endpoints
from prefect_seedance.rendering.narrations import keep_sounds, music_of, narrations_of, with_narrations
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.plan import Planned, make_plan
from prefect_seedance.rendering.steps import Steps
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import open_client
from prefect_seedance.storage.store import Store, refuse_other_kind
from prefect_seedance.storyboard.board import Board
from prefect_seedance.text import dollars
from prefect_seedance.video import decoder


class Host(Protocol):
    """Whoever runs a board: shows it to people, asks them, and may limit how many jobs go out at once."""

    flow_run_id: str | None

    def steps(self, session: RenderSession, shots: int) -> Steps:
        """The steps of *shots* shots, shown or not."""

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

    def slots(self, wanted: int) -> AbstractAsyncContextManager[int]:
        """Places among all runs that share this host's limit on jobs in flight: *wanted*, or as many as there are."""

    async def shots_begin(self, total: int) -> None:
        """*total* clips are about to be rendered or found: nothing refuses the run any more, nothing is paid."""

    async def shot_ended(self, line: str) -> None:
        """A shot has come as far as it goes."""

    async def write(self, session: RenderSession, content: Content) -> tuple[Manifest, str]:
        """Leave the production of *content* in the session's store; returns its manifest and its folder."""

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
    planned = await make_plan(board, ledger, account=account, catalog=catalog, retry_failed=options.retry_failed)
    await host.plan_made(planned)
    if planned.plan.problems:
        raise BadInput(*map(str, planned.plan.problems))
    account.check()
    async with open_client(account) as client, kept_at_hand(store) as at_hand:
        session = RenderSession(
            client,
            ledger,
            catalog=catalog,
            budget=_budget_of(planned, ledger, options, host.flow_run_id),
            waiting=Waiting.at(account.kind, deadline=options.wait_seconds),
            max_in_flight=options.max_in_flight,
            retry_failed=options.retry_failed,
            flow_run_id=host.flow_run_id,
            on_step=host.step_taken,
            continued=_continued(board),
            at_hand=at_hand,
        )
        await _check(board, planned, session, options, host)
        return await _render(board, planned, session, host)


def _continued(board: Board) -> set[str]:
    """The keys whose last frame another shot of *board* begins with."""
    firsts = [shot.request.image for shot in board.shots if shot.request is not None]
    return {first.of for first in firsts if isinstance(first, LastFrame)}


def _budget_of(planned: Planned, ledger: Ledger, options: Options, flow_run_id: str | None) -> RunBudget:
    """What a run of *planned* may spend, whether or not its plan would pay: what is resumed may yet be claimed."""
    limits = options.limits
    budget = min((limit for limit in (options.budget, limits.per_run) if limit is not None), default=None)
    priced = Priced(planned.to_pay, limits, MonthlySpend(ledger.store), ledger.load_whole, this_writer(flow_run_id))
    before = {record.claim_id: record.charged_usd for record in planned.claimed_before(flow_run_id)}
    return RunBudget(budget, priced=priced, charged=before)


async def _check(board: Board, planned: Planned, session: RenderSession, options: Options, host: Host) -> None:
    """Check everything that could refuse this run, cheapest first. What is only resumed needs a store that takes it."""
    if not to_render(board, planned):
        return
    if planned.to_pay:
        _refuse_above_budget(planned, session, host)
    await check_endpoints(planned.models, session.client, session.catalog)
    await session.ledger.store.belongs_to(session.client.account.kind)
    await session.ledger.store.prove()
    await decoder.prove()
    if planned.to_pay and needs_approval(planned.plan, options.limits.approve_above, options.approve):
        await host.approval(planned, await session.budget.lines())


def _refuse_above_budget(planned: Planned, session: RenderSession, host: Host) -> None:
    if (budget := session.budget.budget) is None:
        return
    # What is out and may be tried again stands in the plan: it is paid once.
    before = planned.claimed_before(session.writer.flow_run_id)
    spent = [record.charged_usd for record in before if record.key not in planned.to_pay]
    taken = sum(spent, Decimal(0))
    least = min(planned.to_pay.values())
    if taken + planned.plan.estimated_usd > budget:
        after = f" after {dollars(taken)} spent by this run before" if taken else ""
        why = (
            f"The plan costs {dollars(planned.plan.estimated_usd)}{after}, more than the budget of {dollars(budget)}; "
            "nothing was submitted; raise the budget or render fewer shots."
        )
    elif taken + least > budget and not any(shot.action == "resume" for shot in planned.plan.asked):
        why = (
            f"The cheapest clip of the plan may cost {dollars(least)}, the most that was ever billed for one, and of "
            f"the budget of {dollars(budget)} {dollars(budget - taken)} is left; nothing was submitted; raise the "
            "budget a little."
        )
    else:
        return
    host.budget_refused(why)
    raise OverBudget(why)


async def _render(board: Board, planned: Planned, session: RenderSession, host: Host) -> Manifest:
    shots = to_render(board, planned)
    run = BoardRun(board, planned, session, host.steps(session, len(shots)), host.shot_ended)
    notes: list[str] = []
    ledger, store = session.ledger, session.ledger.store
    unkept = await keep_sounds(board, store)  # before anything is paid: a link may end, a file may move
    try:
        async with host.slots(min(session.max_in_flight, len(shots))) as places:
            session.take_places(places)
            await _reserve(session, host)
            await host.shots_begin(len({shot.key for shot in board.asked}))
            await run.render()
    finally:
        notes += await run_to_completion(session.budget.close)
    if shots:
        with contextlib.suppress(SeedanceError):  # dead runs', whose clips are home now; if not here, the collector's
            await MonthlySpend(store).release_ended(ledger.load_whole)
    money = [*notes, *await session.budget.lines()]
    for line in money:
        host.say(line)
    if unkept:
        unkept = await keep_sounds(board, store)
    content = _content(board, planned, run, unkept, notes)
    try:
        manifest, folder = await host.write(session, content)
    except Exception as error:  # whatever it is: clips and money are recorded
        why = summary(error)
        host.say(f"The production could not be written: {why} What is stored stays; rendering again costs nothing.")
        return manifest_of(content)
    await host.production_made(manifest, folder, store, money)
    return manifest


async def _reserve(session: RenderSession, host: Host) -> None:
    try:
        await session.budget.reserve()
    except OverBudget as error:
        host.budget_refused(str(error))
        raise
    for line in await session.budget.lines():
        host.say(line)


def _content(board: Board, planned: Planned, run: BoardRun, unkept: Mapping[str, str], notes: Sequence[str]) -> Content:
    """What the production shows; *unkept* says which sound files could not be kept, and why."""
    shots = with_narrations(board, run.results(), run.narrations(), unkept)
    requests = {shot.id: shot.request for shot in board.shots if shot.request}
    without = unkept.get(board.music.sha256) if board.music and board.sound != "off" else None
    lacking = [f"The film is without its music: {without}"] if without else []
    return Content(
        title=board.title,
        shots=shots,
        narrations=narrations_of(board, shots, run.records),
        sound=board.sound,
        music=music_of(board, unkept),
        plan_hash=planned.plan.plan_hash,
        estimated_usd=planned.plan.estimated_usd,
        spent_usd=run.spent_usd,
        reused_usd=planned.plan.reused_usd + run.resumed_usd,
        made=_now(),
        prompts={shot.id: shot.prompt for shot in board.shots},
        wanted_seconds={shot: request.duration for shot, request in requests.items() if request.duration != AUTO},
        models={shot: request.model for shot, request in requests.items()},
        notes=(*planned.warnings, *lacking, *notes),
        at_hand=run.session.at_hand,
        words=board.words,
        catalog=own_rows(run.session.catalog),
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
