"""Runs boards, an inbox and the collector for the command line without Prefect, so without waiting for a server."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.catalog.endpoints import Catalog
from prefect_seedance.cli import terminal
from prefect_seedance.cli.options import Place
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.inbox.process import process
from prefect_seedance.ledger.ledger import Ledger
from prefect_seedance.ledger.record import Record
from prefect_seedance.production.manifest import Manifest
from prefect_seedance.production.write import Content, write_production
from prefect_seedance.rendering.approval import not_approved
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.plan import Planned
from prefect_seedance.rendering.render import render_board
from prefect_seedance.rendering.steps import DirectSteps, Steps
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import open_client
from prefect_seedance.sources.catalog import catalog_of
from prefect_seedance.storage.store import Store, refuse_other_kind
from prefect_seedance.storyboard.board import Board

T = TypeVar("T")


class Read(Protocol):
    """Reads the board of a command. Only a pretend run may read from private addresses."""

    def __call__(self, store: Store, catalog: Catalog, *, pretend: bool) -> Awaitable[Board]: ...


class TerminalHost:
    """Says on stderr what a board run does."""

    flow_run_id: str | None = None

    def __init__(self) -> None:
        self.planned: Planned | None = None

    def steps(self, session: RenderSession, shots: int) -> Steps:
        return DirectSteps(session)

    async def write(self, session: RenderSession, content: Content) -> tuple[Manifest, str]:
        return await write_production(session.ledger.store, content)

    def say(self, line: str) -> None:
        terminal.say(line)

    def step_taken(self, record: Record) -> None:
        """Says nothing: the line of the shot says it."""

    def budget_refused(self, why: str) -> None:
        """Says nothing: the error that follows does."""

    async def plan_made(self, planned: Planned) -> None:
        self.planned = planned
        terminal.show_plan(planned, as_json=False)
        if planned.to_pay:
            terminal.say("Rendering here; add --prefect, or set PREFECT_API_URL, to see the run in Prefect's UI.")

    async def approval(self, planned: Planned, money: Sequence[str]) -> None:
        raise not_approved(planned.plan)

    @asynccontextmanager
    async def slots(self, wanted: int) -> AsyncIterator[int]:
        yield wanted

    async def shots_begin(self, total: int) -> None:
        """Says nothing: a line follows for each shot."""

    async def shot_ended(self, line: str) -> None:
        terminal.say(line)

    async def production_made(self, manifest: Manifest, folder: str, store: Store, money: Sequence[str]) -> None:
        """Says nothing: the command shows the manifest."""


def render(read: Read, place: Place, options: Options, host: TerminalHost) -> Manifest:
    """Render the board that *read* reads, or raise what stopped it; `host.planned` is the plan, once there is one."""

    async def work() -> Manifest:
        account, store = place.who(), place.open()
        try:
            catalog = await catalog_of(store)
            board = await read(store, catalog, pretend=account.kind == "pretend")
            return await render_board(board, account, store, options, catalog, host)
        finally:
            await store.aclose()

    return run(work)


def process_inbox(place: Place, options: Options) -> dict[str, Any]:
    """Process the inbox of the store once; returns the JSON of `inbox.report.Report`."""

    async def work() -> dict[str, Any]:
        account, store = place.who(), place.open()
        account.check()
        try:
            catalog = await catalog_of(store)
            report = await process(account, store, options, catalog, TerminalRenderer(account, store, catalog))
        finally:
            await store.aclose()
        return report.model_dump(mode="json")

    return run(work)


def collect_finished(place: Place) -> dict[str, Any]:
    """Bring home what other runs left open; returns what `Collected.as_json` makes."""

    async def work() -> dict[str, Any]:
        account, store = place.who(), place.open()
        try:
            await refuse_other_kind(store, account.kind)
            async with open_client(account) as client:
                return (await collect(RenderSession(client, Ledger(store)), MonthlySpend(store))).as_json()
        finally:
            await store.aclose()

    return run(work)


class TerminalRenderer:
    """Renders the boards of an inbox one beside the other, each said on stderr."""

    flow_run_id: str | None = None

    def __init__(self, account: Account, store: Store, catalog: Catalog) -> None:
        self.account = account
        self.store = store
        self.catalog = catalog

    async def render(self, file: str, board: Board, options: Options) -> Manifest:
        return await render_board(board, self.account, self.store, options, self.catalog, TerminalHost())

    async def run_is_over(self, flow_run_id: str) -> bool:
        """Only a Prefect server knows; without one a lease is free when its process is gone, or after six hours."""
        return False

    def budget_refused(self, why: str) -> None:
        """Says nothing: the report does."""


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run *work* to its end; Ctrl-C, SIGTERM and SIGHUP stop it once what it has begun to pay is written down."""
    stopped_by: list[signal.Signals] = []

    async def stoppable() -> T:
        task = asyncio.current_task()
        assert task is not None

        def stop(number: signal.Signals) -> None:
            stopped_by.append(number)
            task.cancel()

        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                asyncio.get_running_loop().add_signal_handler(number, stop, number)
        return await work()

    try:
        return asyncio.run(stoppable())
    except asyncio.CancelledError:
        if not stopped_by:
            raise
        terminal.say(terminal.STOPPED)
        raise SystemExit(128 + stopped_by[0]) from None
