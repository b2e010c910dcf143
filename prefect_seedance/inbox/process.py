"""One run over an inbox: each delivery is leased, planned, rendered and archived, apart from the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Protocol

from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.errors import BadInput, BadStore, OverBudget, StoreUnavailable, summary
from prefect_seedance.inbox.folder import Delivery, Inbox, Replaced
from prefect_seedance.inbox.report import ZERO, Outcome, Report, Status
from prefect_seedance.inbox.same import is_made_of
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.production.newest import newest_of
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.plan import Planned, make_plan
from prefect_seedance.runpod.account import Account
from prefect_seedance.storage.store import Store, refuse_other_kind
from prefect_seedance.storyboard.reading import Board, read_boards
from prefect_seedance.text import dollars, printable

REFUSALS = (BadInput, BadStore, StoreUnavailable)
"""What a render of one board ends with before anything is spent: of key, board, store or rights."""


@dataclass
class Production:
    """One board of a delivery: a storyboard, or one of its rows.

    `refused` says that the budget has no room for it, `stays` that its delivery stays in the inbox.
    """

    file: str
    board: Board
    planned: Planned
    refused: OverBudget | None = None
    outcome: Outcome | None = None
    stays: bool = False

    @property
    def needs_usd(self) -> Decimal:
        """The most that it may cost."""
        return sum(self.planned.to_pay.values(), ZERO)

    def spent_before(self, flow_run_id: str | None) -> dict[str, Decimal]:
        """What an earlier try of this flow run has spent on it, by claim; what may be paid anew is in `needs_usd`."""
        claims = self.planned.claimed_before(flow_run_id)
        return {claim.claim_id: claim.charged_usd for claim in claims if claim.key not in self.planned.to_pay}

    def ends(self, status: Status, error: object = None, *, stays: bool = False, **more: Any) -> None:
        summary = f"{error} It stays in the inbox for the next run." if stays else error
        title = self.board.title
        self.outcome = Outcome(file=self.file, title=title, status=status, error=summary and str(summary), **more)
        self.stays = stays


class Share:
    """Divides the places in flight of a run: so many productions at once, and so many jobs of each (`in_flight`)."""

    def __init__(self, places: asyncio.Semaphore, in_flight: int) -> None:
        self.places = places
        self.in_flight = in_flight

    @classmethod
    def of(cls, max_in_flight: int, productions: int) -> Share:
        at_once = min(max_in_flight, max(1, productions))
        return cls(asyncio.Semaphore(at_once), max_in_flight // at_once)


class Renderer(Protocol):
    """Who runs an inbox, the command line or a flow: renders its boards, and knows which runs are over.

    What its boards claim is written down as claimed by `flow_run_id`, so that its retry knows what it has spent.
    """

    flow_run_id: str | None

    async def render(self, file: str, board: Board, options: Options) -> Manifest:
        """Render one board; raises what `rendering.render.render_board` raises."""

    async def run_is_over(self, flow_run_id: str) -> bool:
        """Whether that run has surely ended. What it has leased is then free."""

    def budget_refused(self, why: str) -> None:
        """Told that a limit keeps a board from being rendered."""


async def process(
    account: Account,
    store: Store,
    options: Options,
    catalog: Catalog,
    renderer: Renderer,
    prefix: str = "inbox",
    quiet_seconds: float = 0.0,
) -> Report:
    """Process all that was dropped below *prefix*, and report in the order of the names.

    What was touched less than *quiet_seconds* ago is left for the next run. What is wrong with a delivery stands in the
    report. Raises `BadStore` for a store of the other kind, `BadInput` for a prefix that can't be a folder, and
    `StoreUnavailable`.
    """
    await refuse_other_kind(store, account.kind)
    return await InboxRun(Inbox(store, prefix), account, options, catalog, renderer).process(quiet_seconds)


class InboxRun:
    """One run over an inbox. Whatever is wrong with a delivery ends that delivery alone."""

    def __init__(self, inbox: Inbox, account: Account, options: Options, catalog: Catalog, renderer: Renderer) -> None:
        self.inbox = inbox
        self.store = inbox.store
        self.account = account
        self.renderer = renderer
        self.options = options
        self.catalog = catalog
        self.outcomes: list[Outcome] = []

    async def process(self, quiet_seconds: float) -> Report:
        works: dict[Delivery, list[Production]] = {}
        async with AsyncExitStack() as leases:
            for delivery in await self.inbox.deliveries(quiet_seconds):
                try:
                    works[delivery] = await self._begin(delivery, leases)
                except Exception as error:  # whatever it is, the other deliveries go on
                    why = f"{summary(error)} It stays in the inbox for the next run."
                    self._note(delivery, "nothing", why, refused=isinstance(error, REFUSALS))
            self._share_budget([production for work in works.values() for production in work])
            share = Share.of(self.options.max_in_flight, sum(map(len, works.values())))
            await asyncio.gather(*(self._finish(delivery, work, share) for delivery, work in works.items()))
        return Report.on(sorted(self.outcomes, key=lambda outcome: outcome.file))

    def _note(self, delivery: Delivery, status: Status, error: str, *, refused: bool = False) -> None:
        for path in delivery.boards:
            self.outcomes.append(Outcome(file=self._named(path), status=status, error=error, refused=refused))

    def _named(self, path: str) -> str:
        return path.removeprefix(f"{self.inbox.prefix}/")

    async def _begin(self, delivery: Delivery, leases: AsyncExitStack) -> list[Production]:
        """Lease a delivery and plan it; one with any problem is rejected whole, before anything is spent."""
        if delivery.trouble is not None:
            raise delivery.trouble
        lease = await self.inbox.lease(delivery, this_writer(self.renderer.flow_run_id), self.renderer.run_is_over)
        if lease is None:
            self._note(delivery, "skipped", "another run works at it")
            return []
        leases.push_async_callback(self._release, lease)
        await self.inbox.remember(delivery)
        no_files = [f"{self._named(path)}: it is no file but a named pipe or a device" for path in delivery.others]
        if no_files:
            lines = [f"{printable(line, 300)}; nothing was spent; drop plain files." for line in no_files]
            await self._reject(delivery, dict.fromkeys(delivery.boards, lines))
            return []
        problems: dict[str, list[str]] = {}
        productions = []
        for path in delivery.boards:
            for board in await self._read(path):
                planned = await make_plan(
                    board,
                    Ledger(self.store),
                    account=self.account,
                    catalog=self.catalog,
                    retry_failed=self.options.retry_failed,
                )
                productions.append(Production(self._named(path), board, planned))
                problems.setdefault(path, []).extend(map(str, planned.plan.problems))
        if any(problems.values()):
            await self._reject(delivery, problems)
            return []
        return productions

    async def _release(self, lease: list[str]) -> None:
        with suppress(StoreUnavailable, BadStore):  # it is free again as soon as this run is over
            await self.inbox.release(lease)

    async def _read(self, path: str) -> list[Board]:
        pretend = self.account.kind == "pretend"
        folder, file = self.inbox.folder_of(path)
        return await read_boards(
            file,
            catalog=self.catalog,
            store=self.store,
            allow_private=pretend,
            name=self._named(path),
            folder=folder,
        )

    async def _reject(self, delivery: Delivery, problems: dict[str, list[str]]) -> None:
        lines = [line for summary in problems.values() for line in dict.fromkeys(summary)]
        head = "Nothing of this was rendered, and nothing was spent. Correct it and drop it into the inbox again."
        outcomes = [
            Outcome(
                file=self._named(path),
                status="rejected",
                error="; ".join(dict.fromkeys(summary)) or "another storyboard of the same folder is broken",
            )
            for path, summary in problems.items()
        ]
        documents = {"problems.txt": "\n".join([head, "", *lines, ""]), "report.json": Report.on(outcomes).as_json()}
        await self.inbox.archive(delivery, "rejected", documents)
        self.outcomes += outcomes

    @property
    def _budget(self) -> Decimal | None:
        """The most that all of this flow run's tries may spend together."""
        limits = (self.options.budget, self.options.limits.per_run)
        return min((limit for limit in limits if limit is not None), default=None)

    def _share_budget(self, productions: Sequence[Production]) -> None:
        """Decide who may spend, in the order of the names; a production that does not fit does not stop the next."""
        budget = self._budget
        if budget is None:
            return
        spent: dict[str, Decimal] = {}
        for production in productions:
            spent |= production.spent_before(self.renderer.flow_run_id)
        left = max(ZERO, budget - sum(spent.values(), ZERO))
        for production in productions:
            if production.needs_usd <= left:
                left -= production.needs_usd
                continue
            production.refused = OverBudget(
                f"It costs up to {dollars(production.needs_usd)}, and {dollars(left)} is left of the budget of "
                f"{dollars(budget)}; nothing was submitted."
            )

    async def _finish(self, delivery: Delivery, work: Sequence[Production], share: Share) -> None:
        """Render what a delivery asks for, each production as far as it goes, and archive it unless one stays."""
        if not work:
            return
        await asyncio.gather(*(self._produce(production, share) for production in work))
        outcomes = [production.outcome for production in work if production.outcome]
        if not any(production.stays for production in work):
            try:
                await self.inbox.archive(delivery, "done", {"report.json": Report.on(outcomes).as_json()})
            except Exception as error:  # the clips are stored; the other deliveries go on
                stays = (
                    f"It could not be put away and stays in the inbox, to be done again for nothing: {summary(error)}"
                )
                if isinstance(error, Replaced):
                    stays = f"{error} It stays in the inbox for the next run, which pays for nothing twice."
                outcomes = [one.model_copy(update={"error": f"{one.error or ''} {stays}".strip()}) for one in outcomes]
        self.outcomes += outcomes

    async def _produce(self, production: Production, share: Share) -> None:
        try:
            if production.refused:
                raise production.refused
            manifest, spent = await self._made_before(production), ZERO
            if manifest is None:
                async with share.places:
                    manifest = await self._render(production, share.in_flight)
                spent = manifest.spent_usd
            where = str(PurePosixPath(manifest.review or "").parent)
            errors = [f"{name}: {one.error}" for name, one in manifest.asked if one.error]
            production.ends(
                manifest.status,
                "; ".join(errors) or None,
                production=where,
                manifest=f"{where}/manifest.json",
                spent_usd=spent,
            )
        except OverBudget as error:
            if error is production.refused:
                self.renderer.budget_refused(str(error))
            production.ends("over_budget", error, stays=True)
        except Exception as error:  # whatever it is, the other deliveries go on
            production.ends("nothing", summary(error), stays=True, refused=isinstance(error, REFUSALS))

    async def _made_before(self, production: Production) -> Manifest | None:
        """The whole production of the very same shots, if an earlier run left one whose links live on."""
        if any(shot.action != "reuse" for shot in production.planned.plan.asked):
            return None
        newest = await newest_of(self.store, production.board.title)
        there = newest.manifest
        if there is None or not newest.lacks_nothing or not newest.lasts(self.store, datetime.now(UTC)):
            return None
        return there if is_made_of(there, production.board) else None

    async def _render(self, production: Production, in_flight: int) -> Manifest:
        plan_hash = production.planned.plan.plan_hash
        before = sum(production.spent_before(self.renderer.flow_run_id).values(), ZERO)
        options = self.options.model_copy(
            update={
                "budget": None if self._budget is None else production.needs_usd + before,
                "approve": plan_hash if self.options.approve == plan_hash else None,
                "max_in_flight": in_flight,
            }
        )
        return await self.renderer.render(production.file, production.board, options)
