"""Who runs a shard: the host of whoever started it, but for what a shard leaves, which is results and no production."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from prefect_seedance.campaign.document import Campaign, Line, Shard
from prefect_seedance.campaign.results import ShardResult, at_risk_in, reopen, rows_of, summary_of, write_results
from prefect_seedance.campaign.review import write_pages
from prefect_seedance.errors import SeedanceError, summary
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import remedy
from prefect_seedance.production.at_hand import AtHand
from prefect_seedance.production.manifest import Manifest, NarrationResult, ShotResult
from prefect_seedance.production.write import Content, manifest_of
from prefect_seedance.rendering.approval import not_approved
from prefect_seedance.rendering.plan import Planned
from prefect_seedance.rendering.render import Host
from prefect_seedance.rendering.steps import DirectSteps, Steps
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import Board
from prefect_seedance.text import dollars

End = ShotResult | NarrationResult
FOR_A_PERSON = (Step.UNCLEAR, Step.LOST)
"""What may have been charged for nothing."""


class ShardHost:
    """Renders one shard by way of *inner*. `result` is what became of it, or `error` why nobody can say it.

    A shard that was done *before* is so no longer once paying begins: what is submitted then has to be brought home.
    """

    def __init__(
        self,
        inner: Host,
        store: Store,
        campaign: Campaign,
        shard: Shard,
        lines: Sequence[Line],
        board: Board,
        before: ShardResult | None,
    ) -> None:
        self.inner = inner
        self.flow_run_id = inner.flow_run_id
        self.campaign = campaign
        self.shard = shard
        self.lines = lines
        self.board = board
        self.store = store
        self.before = before
        self.planned: Planned | None = None
        self.result: ShardResult | None = None
        self.error: Exception | None = None
        self._at_hand = AtHand()

    def steps(self, session: RenderSession, shots: int) -> Steps:
        self._at_hand = session.at_hand
        return self.inner.steps(session, shots)

    def say(self, line: str) -> None:
        self.inner.say(line)

    def step_taken(self, record: Record) -> None:
        self.inner.step_taken(record)

    def budget_refused(self, why: str) -> None:
        self.inner.budget_refused(why)

    async def plan_made(self, planned: Planned) -> None:
        self.planned = planned
        await self.inner.plan_made(planned)

    async def approval(self, planned: Planned, money: Sequence[str]) -> None:
        """The campaign was approved: a shard is asked about by nobody."""

    def slots(self, wanted: int) -> AbstractAsyncContextManager[int]:
        return self.inner.slots(wanted)

    async def shots_begin(self, total: int) -> None:
        if self.before is not None:
            await reopen(self.store, self.campaign, self.before)
        await self.inner.shots_begin(total)

    async def shot_ended(self, line: str) -> None:
        self._at_hand.forget()  # no film is made of it: clips in a bucket need not stay here until the shard ends
        await self.inner.shot_ended(line)

    async def write(self, session: RenderSession, content: Content) -> tuple[Manifest, str]:
        try:
            self.result = await self._left(session.ledger, content)
        except Exception as error:  # whoever renders the board only says it
            self.error = error
            raise
        return manifest_of(content), ""

    async def _left(self, ledger: Ledger, content: Content) -> ShardResult:
        """Leave the results of the shard, if all of its clips have come to an end, and its pages for review."""
        store = ledger.store
        rows = rows_of(self.campaign, self.shard, self.lines, self.board, content.told, store)
        result = summary_of(self.shard, rows, content.spent_usd, await at_risk_in(rows, ledger))
        ends = _ends_of(content.told)
        if held := self._held(ends):
            why = f"{len(held)} of its clips were not submitted: {held[0].error}"
            return result.model_copy(update={"left": why, "held": True})
        if out := [end for end in ends.values() if end.status == "running"]:
            why = f"{len(out)} of its clips are still on their way; run the campaign again to bring them home"
            return result.model_copy(update={"left": why})
        try:
            await write_pages(store, self.campaign, self.shard, rows)
        except Exception as error:  # whatever it is: they are nice to have, and the results are not
            self.say(f"The pages of shard {self.shard.number} could not be written: {summary(error)}")
        try:
            await write_results(store, self.campaign, self.shard, rows, result)
        except SeedanceError as error:  # its clips are stored and paid: they count all the same
            why = f"its results could not be written ({str(error).rstrip('.')}); run the campaign again"
            return result.model_copy(update={"left": why})
        return result

    def _held(self, ends: Mapping[str, End]) -> list[End]:
        """What was not submitted for a reason that passes: neither by its plan nor for want of the shot before it."""
        assert self.planned is not None  # a board is planned before it is written
        never = {shot.id for shot in self.planned.plan.asked if shot.action in ("blocked", "held")}
        before = {shot.id: shot.continue_from for shot in self.board.shots if shot.continue_from}
        blocked = [name for name, end in ends.items() if end.status == "blocked" and name not in never]
        return [ends[name] for name in blocked if ends[_first_without(name, ends, before)].status == "blocked"]

    async def production_made(self, manifest: Manifest, folder: str, store: Store, money: Sequence[str]) -> None:
        """A shard makes no production."""


def _ends_of(shots: Sequence[ShotResult]) -> dict[str, End]:
    """What became of the shots and of what is said over them, by id."""
    said = {f"{shot.id}.narration": shot.narration for shot in shots if shot.narration is not None}
    return {shot.id: shot for shot in shots} | said


def _first_without(name: str, ends: Mapping[str, End], before: Mapping[str, str]) -> str:
    """Where the chain up to a shot first has no clip."""
    while (earlier := before.get(name)) is not None and ends[earlier].status != "stored":
        name = earlier
    return name


class QuietHost:
    """Runs a shard in this process. Says one line about it, and one about each of its clips that needs a person."""

    flow_run_id: str | None = None

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def steps(self, session: RenderSession, shots: int) -> Steps:
        return DirectSteps(session)

    def say(self, line: str) -> None:
        """Says nothing of the money of a shard: the campaign's does."""

    def step_taken(self, record: Record) -> None:
        if record.step in FOR_A_PERSON:
            self._say(f"Clip {record.key}@{record.number}: {remedy(record)}.")

    def budget_refused(self, why: str) -> None:
        """Says nothing: the error that follows does."""

    async def plan_made(self, planned: Planned) -> None:
        self._say(
            f"{planned.plan.title}: {len(planned.plan.shots)} clips, about {dollars(planned.plan.estimated_usd)}."
        )

    async def approval(self, planned: Planned, money: Sequence[str]) -> None:
        raise not_approved(planned.plan)

    @asynccontextmanager
    async def slots(self, wanted: int) -> AsyncIterator[int]:
        yield wanted

    async def shots_begin(self, total: int) -> None:
        """Says nothing."""

    async def shot_ended(self, line: str) -> None:
        """Says nothing."""

    async def write(self, session: RenderSession, content: Content) -> tuple[Manifest, str]:
        raise NotImplementedError("a shard's own host leaves its results")

    async def production_made(self, manifest: Manifest, folder: str, store: Store, money: Sequence[str]) -> None:
        """A shard makes no production."""
