"""What one process does until it is killed: render a board, collect, or answer for a person who knows the truth."""

from __future__ import annotations

import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx

from prefect_seedance.budget.limits import Limits
from prefect_seedance.budget.months import MonthlySpend
from prefect_seedance.budget.run_budget import Priced, RunBudget
from prefect_seedance.catalog.endpoints import KNOWN
from prefect_seedance.cli.run_direct import TerminalHost, run
from prefect_seedance.errors import OverBudget, SeedanceError
from prefect_seedance.generation.collect import collect
from prefect_seedance.generation.poll_times import Waiting
from prefect_seedance.generation.resolve import settle, waiting
from prefect_seedance.generation.session import RenderSession
from prefect_seedance.ledger.durable import run_to_completion
from prefect_seedance.ledger.ledger import Ledger, record_path
from prefect_seedance.ledger.record import Record, Step
from prefect_seedance.ledger.writer import this_writer
from prefect_seedance.rendering.board_run import BoardRun
from prefect_seedance.rendering.options import Options
from prefect_seedance.rendering.plan import Planned, make_plan
from prefect_seedance.rendering.render import render_board
from prefect_seedance.rendering.steps import DirectSteps
from prefect_seedance.runpod.account import Account
from prefect_seedance.runpod.client import RunpodClient
from prefect_seedance.runpod.connections import certificates
from prefect_seedance.storage import open_store
from prefect_seedance.storage import s3 as _s3  # noqa: F401 - forked processes then need not import it
from prefect_seedance.storage.store import Store
from prefect_seedance.storyboard.board import Board
from prefect_seedance.storyboard.reading import Storyboard, read_board

API_KEY = "key-of-the-torture"
SCALED = Waiting(first=0.05, pause=0.1, longest=0.5, grace=1.5, deadline=15)
ANSWER_SECONDS = 2.0
RESERVED_FOR_SECONDS = 4.0
UNFORESEEN = 3
"""The exit code of a process that met an error which is none of ours."""

certificates()  # loaded once, for all that are forked


@dataclass(frozen=True)
class Place:
    """The world of a round: where its processes work and what they leave."""

    base_url: str
    store_url: str
    environment: dict[str, str]
    log: Path

    @property
    def account(self) -> Account:
        return Account(API_KEY, self.base_url)


@dataclass(frozen=True)
class Task:
    """What a process is to do. Without a limit *per_day* its spending is only entered."""

    kind: str
    prompts: tuple[str, ...] = ()
    per_day: str | None = None
    retry_failed: int = 0
    in_flight: int = 5
    seed: int = 0
    peace: bool = False

    @property
    def limits(self) -> Limits:
        return Limits(per_day=Decimal(self.per_day) if self.per_day else None)


class Watched(TerminalHost):
    """The host of the command line, which also tells the killer of every step."""

    def __init__(self, step_taken: Callable[[Record], None]) -> None:
        super().__init__()
        self._killer = step_taken

    def step_taken(self, record: Record) -> None:
        self._killer(record)

    async def plan_made(self, planned: Planned) -> None:
        """Nobody reads it."""


@dataclass
class Work:
    """One task on an open store."""

    place: Place
    task: Task
    store: Store
    step_taken: Callable[[Record], None]
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.store)

    async def board(self) -> Board:
        shots = [{"id": f"s{number}", "prompt": prompt} for number, prompt in enumerate(self.task.prompts)]
        defaults = {"model": "seedance-1-0-pro", "size": "480x864", "duration": 2}
        board = Storyboard.model_validate({"title": "Torture", "defaults": defaults, "shots": shots})
        return await read_board(board, catalog=KNOWN, store=None)

    async def render(self) -> None:
        """The loop that the command line runs, with all its times."""
        options = Options(
            limits=self.task.limits,
            max_in_flight=self.task.in_flight,
            retry_failed=self.task.retry_failed,
            wait_seconds=30,
        )
        await render_board(await self.board(), self.place.account, self.store, options, KNOWN, Watched(self.step_taken))

    async def render_scaled(self) -> None:
        """The same loop with short times: reservations of seconds, a quick grace, a client that soon gives up."""
        board = await self.board()
        planned = await make_plan(
            board, self.ledger, account=self.place.account, catalog=KNOWN, retry_failed=self.task.retry_failed
        )
        await self.store.belongs_to(self.place.account.kind)
        spend = MonthlySpend(self.store, reserved_for_seconds=RESERVED_FOR_SECONDS)
        priced = Priced(planned.to_pay, self.task.limits, spend, self.ledger.load_whole, this_writer())
        async with self.client() as client:
            session = self.session(client, budget=RunBudget(priced=priced), retry_failed=self.task.retry_failed)
            run = BoardRun(board, planned, session, DirectSteps(session), self.shot_ended)
            try:
                await session.budget.reserve()
                await run.render()
            finally:
                await run_to_completion(session.budget.close)
            await spend.release_ended(self.ledger.load_whole)

    async def collect(self) -> None:
        async with self.client() as client:
            collected = await collect(self.session(client), MonthlySpend(self.store))
        for key, error in collected.errors.items():
            await self.shot_ended(f"collect: {key}: {error}")

    async def person(self) -> None:
        """Answer truthfully for what is unclear, by the bill; now and then look again for what was lost."""
        chance = random.Random(self.task.seed)
        async with httpx.AsyncClient() as http:
            bill = (await http.get(f"{self.place.base_url.removesuffix('/v2')}/bill")).json()["charges"]
        async with self.client() as client:
            for record in (await waiting(self.ledger, self.place.account.fingerprint)).records:
                history = await self.ledger.load(record.key)
                mine = [charge for charge in bill if charge["prompt"] == record.request.prompt and charge["usd"] > 0]
                unnamed = [charge["job_id"] for charge in mine if not history.names_job(charge["job_id"])]
                handle = f"{record.key}@{record.number}"
                with suppress(SeedanceError):
                    if unnamed and chance.random() < 0.75:
                        await settle(self.ledger, handle, "job id", job_id=unnamed[0], client=client)
                    elif unnamed:
                        await settle(self.ledger, handle, "charged")
                    elif self.task.peace and self._make_an_hour_old(record):
                        await settle(self.ledger, handle, "not charged")
            for history in await self.ledger.load_many([] if self.task.peace else await self.ledger.keys()):
                if history.state is Step.LOST and chance.random() < 0.3:
                    with suppress(SeedanceError):
                        await settle(self.ledger, f"{history.key}@{history.number}", "retry")

    def _make_an_hour_old(self, record: Record) -> bool:
        """Only on disk can the claim of *record* be given another date."""
        if self.store.url.startswith("s3://"):
            return False
        for number in range(record.number, 0, -1):
            file = Path(self.store.url) / record_path(record.key, number)
            if '"claimed"' in file.read_text(encoding="utf-8"):
                os.utime(file, (time.time() - 7200,) * 2)
                return True
        return False

    def client(self) -> RunpodClient:
        return RunpodClient(self.place.account, answer_seconds=ANSWER_SECONDS)

    def session(self, client: RunpodClient, **more: Any) -> RenderSession:
        return RenderSession(
            client, self.ledger, waiting=SCALED, max_in_flight=self.task.in_flight, on_step=self.step_taken, **more
        )

    async def shot_ended(self, line: str) -> None:
        sys.stderr.write(f"{line}\n")


def live(place: Place, task: Task, say: Connection) -> None:
    """What a forked process does. Its words go to the log of the round."""
    os.environ.update(place.environment)
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)

    def step_taken(record: Record) -> None:
        with suppress(OSError):
            say.send(f"{record.key}@{record.number} {record.step}")

    async def work() -> None:
        store = open_store(place.store_url)
        try:
            await getattr(Work(place, task, store, step_taken), task.kind)()
        finally:
            await store.aclose()

    try:
        run(work)
    except OverBudget:
        return
    except SeedanceError as error:
        sys.stderr.write(f"{task.kind}: {type(error).__name__}: {error}\n")
        raise SystemExit(1) from None
    except Exception:
        sys.stderr.write(f"UNFORESEEN in {task.kind}:\n{traceback.format_exc()}")
        raise SystemExit(UNFORESEEN) from None
