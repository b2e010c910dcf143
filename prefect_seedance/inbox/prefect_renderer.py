"""The boards of an inbox as Prefect shows them: each production is a flow run of its own below the inbox's run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.orchestration import events
from prefect_seedance.orchestration.blocks import RunpodCredentials, VideoStore
from prefect_seedance.orchestration.display import watching
from prefect_seedance.orchestration.production import Production
from prefect_seedance.orchestration.render import render_board
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.rendering.options import Options
from prefect_seedance.storyboard.board import Board


class PrefectRenderer:
    """Renders the boards of an inbox inside the flow run that processes it."""

    def __init__(self, credentials: RunpodCredentials, store: VideoStore, catalog: Catalog) -> None:
        self.flow_run_id: str | None = flow_run.get_id()
        self.credentials = credentials
        self.store = store
        self.catalog = catalog

    async def render(self, file: str, board: Board, options: Options) -> Manifest:
        # The flow is made anew for each board and closes over it: a board can't be a parameter that Prefect stores.
        @flow(name="inbox-production", flow_run_name="render {title}")
        async def inbox_production(file: str, title: str) -> State[Production]:
            return await render_board(board, self.credentials, self.store, options, self.catalog, self.flow_run_id)

        with watching() as made:
            try:
                rendering: Any = inbox_production(file, board.title, return_state=True)
                state: State[Production] = await rendering
                answer = await state.aresult(raise_on_failure=False)
                if isinstance(answer, BaseException):
                    raise answer
            except Exception:
                if not made:
                    raise
                answer = made[-1]  # the server has died; clips and production are there
        return await answer.aload(self.store)

    async def run_is_over(self, flow_run_id: str) -> bool:
        """Whether that run has ended, or is this one, started again. False for a run of another Prefect server."""
        if flow_run_id == self.flow_run_id:
            return True
        async with get_client() as client:
            try:
                run = await client.read_flow_run(UUID(flow_run_id))
            except ObjectNotFound:  # a run of another Prefect server
                return False
        return run.state is not None and run.state.is_final()

    def budget_refused(self, why: str) -> None:
        events.budget_refused(why)
