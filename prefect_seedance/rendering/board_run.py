"""The one loop of a board: chains in order, everything else at once, siblings apart. What it asks for, `Steps` does."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import TypeVar

from prefect_seedance.errors import (
    DownloadFailed,
    LedgerUnreadable,
    OverBudget,
    SeedanceError,
    StoreUnavailable,
    summary,
)
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.models import LastFrame, Request
from prefect_seedance.production.manifest import ShotResult
from prefect_seedance.rendering.plan import Planned
from prefect_seedance.rendering.results import is_paid, result_of
from prefect_seedance.rendering.steps import ShotTask, Steps
from prefect_seedance.sources.images import PictureSource
from prefect_seedance.storyboard.board import Board, BoardShot
from prefect_seedance.text import dollars

T = TypeVar("T")

TRIES = 3
"""Of a step that failed in a way that another try can mend."""
TO_RENDER = ("generate", "retry", "resume")


def to_render(board: Board, planned: Planned) -> dict[str, BoardShot]:
    """The first shot of every key that is not there yet and may go on."""
    wanted: dict[str, BoardShot] = {}
    for shot, plan in zip(board.asked, planned.plan.asked, strict=True):
        if shot.key and plan.action in TO_RENDER:
            wanted.setdefault(shot.key, shot)
    return wanted


class BoardRun:
    """Renders the shots of a plan. One that is refused, failed or unclear never stops its siblings."""

    def __init__(
        self,
        board: Board,
        planned: Planned,
        session: RenderSession,
        steps: Steps,
        on_end: Callable[[str], Awaitable[None]],
    ) -> None:
        """*on_end* is given one line about every shot that this run is done with."""
        self.board = board
        self.planned = planned
        self.session = session
        self.steps = steps
        self.on_end = on_end
        self.errors: dict[str, Exception] = {}
        self.records: dict[str, Record] = {
            key: history.last for key, history in planned.histories.items() if history.last is not None
        }
        self._shot_tasks: dict[str, ShotTask] = {}

    async def render(self) -> None:
        """Bring every shot as far as it goes. What goes wrong with a shot ends up in `errors`, not in its siblings.

        Cancelled, it first waits for what has begun to pay: a claim on its way is always followed by its outcome.
        """
        wanted = to_render(self.board, self.planned)
        self.session.planned = {key: self.planned.histories[key] for key in wanted}
        self._shot_tasks = {key: asyncio.create_task(self._end(shot)) for key, shot in wanted.items()}
        tasks = list(self._shot_tasks.values())
        try:
            await self.steps.together(tasks)
        finally:
            await cancelled_and_ended(tasks)

    async def _end(self, shot: BoardShot) -> None:
        key = shot.key or ""
        try:
            self.records[key] = await self._render_shot(shot)
        except Exception as error:  # a sibling's money is out: whatever it is, it ends this shot alone
            self.errors[key] = error
            if key in self.session.in_doubt:
                self.records[key] = self.session.in_doubt[key]
            with contextlib.suppress(SeedanceError):
                history = await self.session.ledger.load(key)
                known = self.records.get(key)
                if history.last is not None and (known is None or known.number < history.last.number):
                    self.records[key] = history.last
        with contextlib.suppress(Exception):  # nobody who watches can end a run
            await self.on_end(self._line(shot))

    def _line(self, shot: BoardShot) -> str:
        result = self._result(shot, shot.estimated_usd, None)
        paid = f" for {dollars(result.cost_usd)}" if result.paid_this_run and result.cost_usd is not None else ""
        error = f" ({result.error})" if result.error else ""
        return f"{shot.id}: {result.status}{paid}{error}"

    async def _render_shot(self, shot: BoardShot) -> Record:
        request, key = shot.request, shot.key
        assert request is not None  # a plan renders no blocked shot
        assert key is not None
        image, last_image = await self._first_frame(shot), None
        if (picture := shot.last_image) is not None:
            last_image = await self._published(shot, picture, request.size)
        references = [await self._published(shot, reference, request.size) for reference in shot.references]
        for attempt in range(self.session.retry_failed + 1):
            async with self.session.slot(key):
                record = await self._submitted(shot, request, image, last_image, references, retry=attempt > 0)
                self.records[key] = record
                if record.step is Step.ACCEPTED:
                    self.records[key] = record = await self._waited(shot, record)
                if record.step is Step.COMPLETED:
                    self.session.finished(key)
                    record = await self._persisted(shot, record)
            if record.step is not Step.FAILED:
                break
        return record

    async def _submitted(
        self,
        shot: BoardShot,
        request: Request,
        image: str | None,
        last_image: str | None,
        references: Sequence[str],
        *,
        retry: bool,
    ) -> Record:
        """Tried again like the others: the ledger knows what was claimed."""
        pictures = (image, last_image, references)
        return await self._mended(lambda: self.steps.submit(shot.id, request, *pictures, retry=retry))

    async def _waited(self, shot: BoardShot, record: Record) -> Record:
        return await self._mended(lambda: self.steps.wait(shot.id, record))

    async def _persisted(self, shot: BoardShot, record: Record) -> Record:
        return await self._mended(lambda: self.steps.persist(shot.id, record))

    async def _first_frame(self, shot: BoardShot) -> str | None:
        """The path or link of the shot's first picture; of a chained one after its predecessor is stored."""
        assert shot.request is not None
        size = shot.request.size
        if isinstance(shot.request.image, LastFrame):
            before = shot.request.image.of
            if before in self._shot_tasks:
                await asyncio.wait({self._shot_tasks[before]})
            record = self.records.get(before)
            if record is None or record.step is not Step.STORED:
                raise OverBudget(f"not submitted: it continues from {shot.continue_from}, which has no clip")
            return await self._mended(lambda: self.steps.last_frame(shot.id, record))
        if (picture := shot.image) is not None:
            return await self._published(shot, picture, size)
        return None

    async def _published(self, shot: BoardShot, picture: PictureSource, size: str) -> str:
        return await self._mended(lambda: self.steps.publish(shot.id, picture, size))

    async def _mended(self, step: Callable[[], Awaitable[T]]) -> T:
        """A step, taken again where another try can mend what went wrong."""
        pause = self.session.waiting.pause
        for _ in range(TRIES - 1):
            try:
                return await step()
            except LedgerUnreadable:
                raise
            except (StoreUnavailable, DownloadFailed):
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause *= 2
        return await step()

    def results(self, stopped: str | None = None) -> list[ShotResult]:
        """What became of every shot of the board, in its order. *stopped* is why a shot was not begun."""
        return [
            self._result(shot, planned.estimated_usd, planned.problem or stopped)
            for shot, planned in zip(self.board.shots, self.planned.plan.shots, strict=True)
        ]

    def narrations(self) -> dict[str, ShotResult]:
        """What became of every text that is spoken, by its id: SHOT.narration."""
        planned = {one.id: one for one in self.planned.plan.narrations}
        return {
            spoken.id: self._result(spoken, planned[spoken.id].estimated_usd, planned[spoken.id].why_not)
            for spoken in self.board.narrations
        }

    def _result(self, shot: BoardShot, estimated_usd: Decimal, held: str | None) -> ShotResult:
        record, error = self.records.get(shot.key or ""), self.errors.get(shot.key or "")
        return result_of(
            shot,
            record,
            estimated_usd=estimated_usd,
            claimed_here=record is not None and record.claim_id in self.session.claims,
            error=None if error is None else summary(error),
            held=held,
        )

    @property
    def spent_usd(self) -> Decimal:
        """What the claims of this run are known to have cost, in dollars."""
        paid = [r for r in self.records.values() if r.claim_id in self.session.claims and is_paid(r)]
        return sum((record.charged_usd for record in paid), Decimal(0))

    @property
    def resumed_usd(self) -> Decimal:
        """What the clips that this run brought home had cost the runs that paid them, in dollars."""
        home = [self.records[key] for key in self._shot_tasks if key in self.records]
        earlier = [r for r in home if r.step is Step.STORED and r.claim_id not in self.session.claims]
        return sum((record.charged_usd for record in earlier), Decimal(0))


async def cancelled_and_ended(tasks: list[ShotTask]) -> None:
    """Cancel what still runs of *tasks* and wait until all have ended, however often the caller is cancelled."""
    for task in tasks:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while waited := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(waited)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
