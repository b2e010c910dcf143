"""The shots of one board on their way to stored clips: chains in order, everything else at once, siblings apart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from prefect_seedance.errors import OverBudget, SeedanceError, told
from prefect_seedance.generation.session import Run
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.rules import remedy
from prefect_seedance.models import LastFrame
from prefect_seedance.orchestration import shown, tasks
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore
from prefect_seedance.production.manifest import ShotResult, ShotStatus
from prefect_seedance.rendering.plan import Planned
from prefect_seedance.storyboard.reading import Board, BoardShot
from prefect_seedance.text import dollars

SHOWN_ONE_BY_ONE = 30
"""Up to so many shots each shows as its own task runs; the Prefect server spends 40 ms of CPU on every task run."""

TASK_RUNS_ABOVE = 100
"""Above that groups of shots share so many task runs in all, whatever the size of the board."""

PAID = frozenset({Step.COMPLETED, Step.STORED})

SHOWN_AS: dict[Step, ShotStatus] = {
    Step.STORED: "stored",
    Step.FAILED: "failed",
    Step.REFUSED: "refused",
    Step.UNCLEAR: "unclear",
    Step.LOST: "lost",
}


class Shots:
    """Renders the shots of a plan. One that is refused, failed or unclear never stops its siblings."""

    def __init__(
        self,
        board: Board,
        planned: Planned,
        run: Run,
        credentials: RunpodCredentials,
        store: VideoStore,
        on_end: Callable[[], Awaitable[None]],
    ) -> None:
        self.board = board
        self.planned = planned
        self.run = run
        self.blocks = (credentials, store)
        self.store = store
        self.on_end = on_end
        self.errors: dict[str, str] = {}
        self.records: dict[str, Record] = {
            key: history.last for key, history in planned.histories.items() if history.last is not None
        }
        self._ways: dict[str, asyncio.Task[None]] = {}
        self._one_by_one = len(self.to_render) <= SHOWN_ONE_BY_ONE

    @property
    def to_render(self) -> dict[str, BoardShot]:
        """The first shot of every key that is not there yet and may go on."""
        wanted: dict[str, BoardShot] = {}
        for shot, planned in zip(self.board.shots, self.planned.plan.shots, strict=True):
            if shot.key and planned.action in ("generate", "retry", "resume"):
                wanted.setdefault(shot.key, shot)
        return wanted

    async def render(self) -> None:
        """Bring every shot as far as it goes. What goes wrong with a shot ends up in `errors`, not in its siblings.

        Cancelled or not, it returns only when all that it began has ended: a claim on its way can't be called back.
        """
        self._ways = {key: asyncio.create_task(self._go(shot)) for key, shot in self.to_render.items()}
        ways = list(self._ways.values())
        try:
            if self._one_by_one:
                await asyncio.gather(*ways)
            else:
                size = -(-len(ways) // TASK_RUNS_ABOVE)
                await asyncio.gather(*(_show(n, Group(ways[n : n + size])) for n in range(0, len(ways), size)))
        finally:
            for way in ways:
                way.cancel()
            await _all_ended(ways)

    async def _go(self, shot: BoardShot) -> None:
        key = shot.key or ""
        try:
            self.records[key] = await self._generate(shot)
        except Exception as error:  # a sibling's money is out: whatever it is, it ends this shot alone
            self.errors[key] = told(error)
            with contextlib.suppress(SeedanceError):
                history = await self.run.ledger.load(key)
                if history.last is not None:
                    self.records[key] = history.last
        self._tell(shot)
        await self.on_end()

    def _tell(self, shot: BoardShot) -> None:
        """One line for whoever watches the run."""
        result = self._result(shot, shot.estimated_usd, None)
        paid = f" for {dollars(result.cost_usd)}" if result.paid_this_run and result.cost_usd is not None else ""
        error = f" ({result.error})" if result.error else ""
        shown.tell(f"{shot.id}: {result.status}{paid}{error}", logged=self._one_by_one)

    async def _generate(self, shot: BoardShot) -> Record:
        request = shot.request
        assert request is not None  # a plan renders no blocked shot
        image, last_image = await self._first_frame(shot), None
        if shot.last_image is not None:
            size = request.size
            last_image = await self._call(shot, tasks.publish_image, shot.last_image, size, self.store, run=self.run)
        for attempt in range(self.run.retry_failed + 1):
            async with self.run.slot():
                record: Record = await self._call(
                    shot, tasks.submit_clip, request, *self.blocks, image, last_image, retry=attempt > 0, run=self.run
                )
                if record.step is Step.ACCEPTED:
                    record = await self._call(shot, tasks.wait_for_clip, record, *self.blocks, run=self.run)
            if record.step is not Step.FAILED:
                break
        if record.step is Step.COMPLETED:
            record = await self._call(shot, tasks.persist_clip, record, *self.blocks, run=self.run)
        return record

    async def _first_frame(self, shot: BoardShot) -> str | None:
        """The path or link of the shot's first picture; of a chained one after its predecessor is stored."""
        assert shot.request is not None
        if isinstance(shot.request.image, LastFrame):
            before = shot.request.image.of
            if before in self._ways:
                await asyncio.wait({self._ways[before]})
            record = self.records.get(before)
            if record is None or record.step is not Step.STORED:
                raise OverBudget(f"not submitted: it continues from {shot.continue_from}, which has no clip")
            return str(await self._call(shot, tasks.take_last_frame, record, self.store, run=self.run))
        if shot.image is not None:
            size = shot.request.size
            return str(await self._call(shot, tasks.publish_image, shot.image, size, self.store, run=self.run))
        return None

    async def _call(self, shot: BoardShot, task: Any, *args: Any, **kwargs: Any) -> Any:
        """As a task run of its own, named after the shot, or, in a large board, as the plain function of the task."""
        if not self._one_by_one:
            return await task.fn(*args, **kwargs)
        name = f"{task.name.replace('_', ' ')}: {shot.id}"
        return await task.with_options(task_run_name=lambda: name)(*args, **kwargs)

    def results(self, stopped: str | None = None) -> list[ShotResult]:
        """What became of every shot of the board, in its order."""
        return [
            self._result(shot, planned.estimated_usd, planned.problem or stopped)
            for shot, planned in zip(self.board.shots, self.planned.plan.shots, strict=True)
        ]

    def _result(self, shot: BoardShot, estimated_usd: Decimal, held: str | None) -> ShotResult:
        record = self.records.get(shot.key or "")
        error = self.errors.get(shot.key or "")
        nothing_out = record is None or (record.step in (Step.REFUSED, Step.FAILED) and error is not None)
        if record is None or nothing_out:
            return ShotResult(
                id=shot.id,
                status="blocked",
                key=shot.key,
                take=shot.take,
                estimated_usd=estimated_usd,
                error=error or held or "not submitted: the run was stopped before",
            )
        footage = record.footage
        return ShotResult(
            id=shot.id,
            status=SHOWN_AS.get(record.step, "running"),
            key=record.key,
            take=shot.take,
            record=record.number,
            attempt=record.attempt,
            job_id=record.job_id,
            clip=record.clip if record.step is Step.STORED else None,
            sha256=record.sha256,
            bytes=record.bytes,
            width=footage.width if footage else None,
            height=footage.height if footage else None,
            fps=footage.fps if footage else None,
            frames=footage.frames if footage else None,
            seconds=footage.seconds if footage else None,
            duration_mismatch=record.duration_mismatch,
            estimated_usd=estimated_usd,
            cost_usd=record.cost_usd,
            paid_this_run=record.claim_id in self.run.claims and record.step in PAID,
            error=None if record.step is Step.STORED else (error or remedy(record)),
        )

    @property
    def spent_usd(self) -> Decimal:
        """What the claims of this run are known to have cost."""
        paid = [r for r in self.records.values() if r.claim_id in self.run.claims and r.step in PAID]
        return sum((record.charged_usd for record in paid), Decimal(0))


async def _all_ended(ways: Sequence[asyncio.Task[None]]) -> None:
    cancelled: asyncio.CancelledError | None = None
    while pending := [way for way in ways if not way.done()]:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


class Group:
    """Shots that share one task run. A plain class: Prefect does not walk through it."""

    def __init__(self, ways: Sequence[asyncio.Task[None]]) -> None:
        self.ways = ways


@task(task_run_name="shots from {first}", cache_policy=NO_CACHE, persist_result=False)
async def _show(first: int, group: Group) -> None:
    """Show a group of shots as one task run; each of them runs as it would alone."""
    await asyncio.gather(*group.ways)
