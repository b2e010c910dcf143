"""A campaign from its approval to its end: shards in a window, stop rules, the canary.

All of its state lies in the store: killed anywhere, the next run goes on, and pays for nothing that is stored or out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from decimal import Decimal

from prefect_seedance.campaign.document import Campaign
from prefect_seedance.campaign.freeze import refuse_other_hash
from prefect_seedance.campaign.frozen import FrozenCampaign, open_campaign
from prefect_seedance.campaign.manifest import CampaignManifest, manifest_from, manifest_of, results_of
from prefect_seedance.campaign.marks import Marks
from prefect_seedance.campaign.patience import PAUSES, T, patiently
from prefect_seedance.campaign.person import Nobody, Person
from prefect_seedance.campaign.problems import refusal_of, write_problems
from prefect_seedance.campaign.results import ShardResult, not_stored
from prefect_seedance.campaign.review import page_path, write_index
from prefect_seedance.campaign.rules import StopRules
from prefect_seedance.campaign.shard import left_of, without_approval
from prefect_seedance.campaign.shards import Shards
from prefect_seedance.campaign.survey import Survey, survey
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.errors import (
    ApiUnreachable,
    BadInput,
    BadStore,
    NotApproved,
    OverBudget,
    SeedanceError,
    StoreUnavailable,
    summary,
)
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.rendering.options import Options
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import Board
from prefect_seedance.text import dollars

CANARY = 1
"""The shard of the canary."""
BEFORE_PAYING = (BadInput, BadStore, ApiUnreachable, OverBudget)
"""What ends a shard before anything of it is submitted."""
MOST_PROBLEMS = 200
"""Clips without a result that the index of the pages lists."""


class CampaignRun:
    """One run of a frozen campaign. `why` is the sentence that says why it ended before all shards were done."""

    def __init__(
        self,
        campaign: Campaign,
        store: Store,
        account: Account,
        options: Options,
        *,
        person: Person | None = None,
        rules: StopRules | None = None,
        go_on: bool = False,
        say: Callable[[str], None] = lambda _: None,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self.campaign = campaign
        self.store = store
        self.account = account
        self.options = options
        self.person = person or Nobody()
        self.rules = rules or StopRules()
        self.go_on = go_on
        self.say = say
        self.pauses = pauses
        self.marks = Marks(store, campaign)
        self.results: dict[int, ShardResult] = {}
        self.spent_usd = Decimal(0)
        self.why: str | None = None
        self._error: Exception | None = None
        self._survey = Survey()
        self._left_open: dict[int, ShardResult] = {}
        self._seen = False
        self._out: dict[int, Decimal] = {}
        self._started = False
        self._over: set[int] = set()
        self._ended = 0

    async def render(self, catalog: Catalog, shards: Shards) -> CampaignManifest:
        """Render all that is left, and leave manifest and index. Started again, it goes on where it was.

        Raises before anything is submitted: `BadInput` with every problem, `OverBudget` and `NotApproved`. After that
        it raises what stopped it only where no shard has ended; else the manifest is partial and `why` says it.
        """
        refuse_other_hash(self.campaign, self.options.approve)
        self.results = await results_of(self.store, self.campaign)
        await self._allow(catalog)
        canary = self.results.get(CANARY)  # whoever says --go-on before there is something to see has not looked
        self._left_open = {number: self.results.pop(number) for number in self._survey.left if number in self.results}
        self._seen = canary is not None and (CANARY in self.results or "stored" in canary.statuses)
        try:
            await self._render(shards)
        finally:
            await shards.aclose()
        try:
            manifest = await self._patiently(self._leave)
        except SeedanceError as error:
            if not self._started:
                raise
            self._silent(error)
            approved = self.options.approve == self.campaign.hash
            manifest = manifest_from(self.campaign, self.results, self._left_open, approved=approved)
        if self._error is not None and (not self._ended or isinstance(self._error, NotApproved)):
            if self._ended:
                self.say(f"This run cost {dollars(self.spent_usd)}.")
            raise self._error
        return manifest

    async def _allow(self, catalog: Catalog) -> None:
        """Return once what is left may be spent, or raise why it may not."""
        async with open_campaign(self.campaign, self.store, self.account, catalog) as frozen:
            ledger, retry = Ledger(self.store), self.options.retry_failed
            self._survey = await survey(self._left(frozen), ledger, self.account, catalog, retry)
        if problems := self._survey.problems:
            raise refusal_of(problems, await write_problems(self.store, self.campaign, problems))
        await self.person.plan_made(self.campaign, self._survey)
        if not self._survey.left:
            return
        self.account.check()
        approved = self.options.approve == self.campaign.hash
        await self._refuse_stopped(approved)
        if (upper := self._survey.upper_usd) > self.campaign.upper_usd:
            most = dollars(self.campaign.upper_usd)
            raise NotApproved(
                f"Prices have risen since this campaign was planned: what is left may cost up to {dollars(upper)}, and "
                f"all of it was to cost {most} at most; nothing was submitted; plan it again, and approve what it says."
            )
        if (budget := self._budget) is not None and upper > budget:
            why = (
                f"What is left of the campaign may cost up to {dollars(upper)}, more than the budget of "
                f"{dollars(budget)}; nothing was submitted; raise the budget or take fewer rows."
            )
            self.person.budget_refused(why)
            raise OverBudget(why)
        await self._ask(approved)
        await self._refuse_stopped(approved)  # somebody may have stopped it while somebody else was asked
        if approved:
            await self.marks.go_on()

    async def _refuse_stopped(self, approved: bool) -> None:
        if (stopped := await self._stopped(approved)) is not None:
            why, remedy = stopped
            raise NotApproved(f"This campaign was stopped: {why}; nothing was submitted; {remedy}.")

    async def _stopped(self, approved: bool) -> tuple[str, str] | None:
        """Why no new shard may begin, and what lets one begin again. An approval lifts what a rule has stopped."""
        if (why := await self.marks.stopped_by_somebody()) is not None:
            return why, f"to go on, say `campaign stop {self.campaign.id} --lift` and run it again"
        if not approved and (why := await self.marks.stopped_by_a_rule()) is not None:
            word = f"--approve {self.campaign.hash}"
            return why, f"to go on, run it with {word}, and with a higher limit where one has stopped it"
        return None

    async def _left(self, frozen: FrozenCampaign) -> AsyncIterator[tuple[int, Board]]:
        for shard in left_of(self.campaign, self.results, self.options.retry_failed):
            yield shard.number, await frozen.board_of(shard)

    async def _ask(self, approved: bool) -> None:
        above = self.options.limits.approve_above
        if above is not None and self._survey.estimated_usd > above and not approved:
            if await self.marks.approved():
                return
            await self.person.approve(self.campaign, self._survey)
            approved = True
        if approved:
            await self.marks.approve()

    @property
    def _budget(self) -> Decimal | None:
        limits = (self.options.budget, self.options.limits.per_run)
        return min((limit for limit in limits if limit is not None), default=None)

    async def _render(self, shards: Shards) -> None:
        try:
            await self._start_all(shards)
        except SeedanceError as error:
            if not self._started:
                raise
            self._silent(error)
        while self._out:
            await self._wait(shards)

    def _silent(self, error: SeedanceError) -> None:
        """Take note of a store that can't be used, or of a file in it that is damaged."""
        store = f"The store can't be used, and no new shard begins: {error} Run the campaign again."
        self.why = self.why or (str(error) if isinstance(error, BadInput) else store)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to *ask*. Once shards have been started, a store that does not answer is asked again."""
        return await patiently(ask, self.pauses if self._started else ())

    async def _start_all(self, shards: Shards) -> None:
        waiting = list(self._survey.left)
        if self.campaign.canary and waiting:
            if CANARY in waiting:
                waiting.remove(CANARY)
                await self._start(CANARY, shards, beside=0)
                await self._wait(shards)
            if waiting and self.why is None:
                await self._patiently(lambda: self._look(go_on=self.go_on and self._seen))
        at_once = min(shards.at_once, self.options.max_in_flight)  # each has at least one job in flight
        beside = min(at_once, len(waiting)) - 1
        while waiting and self.why is None and await self._patiently(self._may_go_on):
            if len(self._out) >= at_once or not self._has_room_for(waiting[0]):
                await self._wait(shards)
            else:
                await self._start(waiting.pop(0), shards, beside=beside)

    async def _look(self, *, go_on: bool) -> None:
        """Return once somebody has looked at the canary; else the run ends with the sentence that asks for it."""
        if CANARY not in self.results:
            self.why = "The canary is not done, and nothing else was submitted; run the campaign again."
            return
        if await self.marks.looked_at():
            return
        try:
            if not go_on:
                page = page_path(self.campaign, self.campaign.shards[0].first_page)
                await self.person.look(self.campaign, f"{self.store.url}/{page}")
            await self.marks.look()
        except NotApproved as error:
            self.why, self._error = str(error), error

    async def _may_go_on(self) -> bool:
        """Whether a new shard may begin, by what people and rules say; each time anew."""
        if (broken := self.rules.broken_by(self.results.values())) is not None:
            await self.marks.break_off(broken)
        if (stopped := await self._stopped(approved=False)) is not None:
            why, remedy = stopped
            self.why = f"The campaign was stopped: {why}; no new shard begins; {remedy}."
        return self.why is None

    def _has_room_for(self, number: int) -> bool:
        """Whether the budget has room beside the shards that are out. Where none is out, nothing is waited for."""
        return not self._out or self._budget is None or self._survey.shares[number] <= self._free

    @property
    def _free(self) -> Decimal:
        assert self._budget is not None
        return max(Decimal(0), self._budget - self.spent_usd - sum(self._out.values(), Decimal(0)))

    async def _start(self, number: int, shards: Shards, *, beside: int) -> None:
        """Start shard *number*, which has so many *beside* it to share the places in flight with."""
        share = self._survey.shares[number]
        changed: dict[str, object] = {"max_in_flight": max(1, self.options.max_in_flight // (1 + beside))}
        if self._budget is not None:
            share = min(share, self._free)
            changed["budget"] = share
        self._started = True
        self._out[number] = share
        await shards.start(number, without_approval(self.options).model_copy(update=changed))

    async def _wait(self, shards: Shards) -> None:
        """Wait until some shard has ended and take note of what became of it."""
        for number, end in (await shards.ended()).items():
            del self._out[number]
            if not isinstance(end, StoreUnavailable):  # else it may go on, unheard
                self._over.add(number)
            if isinstance(end, Exception):
                self._stopped_by(number, end)
                if not isinstance(end, BEFORE_PAYING):
                    self.say(f"What shard {number} has paid, if anything, is not in the cost of this run: see report.")
                continue
            self._ended += 1
            self.spent_usd += end.spent_usd
            counts = ", ".join(f"{count} {status}" for status, count in end.statuses.items()) or "nothing rendered"
            self.say(f"Shard {number} of {len(self.campaign.shards)}: {counts}; it cost {dollars(end.spent_usd)}.")
            if end.left is None:
                self.results[number] = end
                continue
            if end.statuses:
                self._left_open[number] = end
            if end.held:
                self._stopped_by(number, OverBudget(end.left))
            else:
                self.say(f"Shard {number} is not done: {end.left}.")

    def _stopped_by(self, number: int, error: Exception) -> None:
        self.say(f"Shard {number}: {summary(error)}")
        if self.why is None:
            self.why = f"Shard {number} stopped the campaign: {summary(error)}"
            silent = isinstance(error, StoreUnavailable)  # what was submitted by then nobody knows
            self._error = error if isinstance(error, SeedanceError) and not silent else None

    async def _leave(self) -> CampaignManifest:
        """Write the index of the pages and the manifest."""
        manifest = await manifest_of(self.store, self.campaign, self._left_open, self._over)
        done = {result.number: result for result in manifest.done}
        problems = await not_stored(self.store, self.campaign, done.values(), MOST_PROBLEMS)
        if done:
            await write_index(self.store, self.campaign, done, problems, manifest.clips_usd)
        text = manifest.model_dump_json(indent=1)
        await self.store.write(f"{self.campaign.folder}/manifest.json", text.encode(), "application/json")
        return manifest
