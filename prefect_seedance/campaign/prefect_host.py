"""Shards inside a flow run: no task run and no event for each clip, but for those that a person has to see to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from prefect.runtime import flow_run

from prefect_seedance.campaign.host import FOR_A_PERSON, QuietHost
from prefect_seedance.ledger.record import Record
from prefect_seedance.orchestration import events, logs
from prefect_seedance.orchestration.artifacts import Progress
from prefect_seedance.orchestration.display import Display
from prefect_seedance.orchestration.render import GLOBAL_LIMIT, global_slots


class FlowHost(QuietHost):
    """Runs a shard beside others inside the run of their campaign."""

    def __init__(self) -> None:
        super().__init__(logs.log_line)
        self._events = events.StepEvents()

    def step_taken(self, record: Record) -> None:
        super().step_taken(record)
        if record.step in FOR_A_PERSON:
            self._events(record)

    def budget_refused(self, why: str) -> None:
        events.budget_refused(why)

    @asynccontextmanager
    async def slots(self, wanted: int) -> AsyncIterator[int]:
        places = wanted
        async with AsyncExitStack() as stack:
            try:
                places = await stack.enter_async_context(global_slots(wanted))
            except Exception as error:  # the server has gone since the campaign began
                logs.log().warning("The places of %s could not be asked for: %s", GLOBAL_LIMIT, error)
            yield places


class ShardRunHost(FlowHost):
    """Runs a shard as a flow run of its own, which claims its jobs and shows how far it is."""

    def __init__(self) -> None:
        super().__init__()
        self.flow_run_id: str | None = flow_run.get_id()
        self._display = Display()
        self._progress: Progress | None = None

    async def shots_begin(self, total: int) -> None:
        self._progress = Progress(total)
        await self._display.show(self._progress.begin())

    async def shot_ended(self, line: str) -> None:
        if self._progress:
            await self._display.show(self._progress.one_more())

    async def ended(self) -> None:
        if self._progress:
            await self._display.show(self._progress.end())
